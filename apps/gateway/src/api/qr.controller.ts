/** Payment links as QR codes, drawn here: the page takes no image from elsewhere. */
import { Controller, Get, Header, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { toString } from 'qrcode';
import { qrQuery, readQuery } from './input.js';
import { Answers, QueryOf } from './openapi.js';

@ApiTags('bridge')
@Controller('v1/qr')
export class QrController {
  @Get()
  @Header('content-type', 'image/svg+xml')
  @Header('cache-control', 'public, max-age=86400, immutable')
  @Answers('Picture', 'A payment link as a QR code', 'image/svg+xml')
  @QueryOf(qrQuery)
  draw(@Query() query: unknown): Promise<string> {
    const { link } = readQuery(qrQuery, query);
    return toString(link, { type: 'svg', errorCorrectionLevel: 'M', margin: 4 });
  }
}
