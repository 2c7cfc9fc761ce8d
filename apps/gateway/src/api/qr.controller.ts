/** Payment links as QR codes, drawn here: the page takes no image from elsewhere. */
import { Controller, Get, Header, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { toString } from 'qrcode';
import { qrQuery, readQuery } from './input.js';
import { QueryOf } from './openapi.js';

@ApiTags('bridge')
@Controller('v1/qr')
export class QrController {
  @Get()
  @Header('content-type', 'image/svg+xml')
  @Header('cache-control', 'public, max-age=86400, immutable')
  @ApiOperation({ summary: 'A payment link as a QR code' })
  @ApiOkResponse({ description: 'The code', content: { 'image/svg+xml': { schema: { type: 'string' } } } })
  @QueryOf(qrQuery)
  draw(@Query() query: unknown): Promise<string> {
    const { link } = readQuery(qrQuery, query);
    return toString(link, { type: 'svg', errorCorrectionLevel: 'M', margin: 4 });
  }
}
