/** Where the keys of receipts are published, for checking them without this gateway. */
import { keySetOf, type KeySet } from '@isthmus/ao';
import { Controller, Get, Header, Inject } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Answers } from '../api/openapi.js';
import { notFound } from '../api/problem.js';
import { RECEIPT_KEYS } from '../api/tokens.js';
import type { ReceiptKeys } from './receipts.js';

@ApiTags('bridge')
@Controller()
export class ReceiptsController {
  constructor(@Inject(RECEIPT_KEYS) private readonly keys: ReceiptKeys | null) {}

  @Get(['v1/keys', '.well-known/http-message-signatures-directory'])
  @Answers('ReceiptKeys', 'Keys that sign receipts and audits (JWKS): keep them to check without this gateway')
  @Header('content-type', 'application/json')
  published(): KeySet {
    if (!this.keys) throw notFound('receipt key');
    return keySetOf(this.keys.published);
  }
}
