/** Whether a request is this machine's own. */
import type { Request } from 'express';

const LOOPBACK = /^(127\.|::1$)/;
const PASSED_ON = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'];

/** Whether a request was made on this machine, and not passed on by a proxy nobody told us to trust. */
export function isOurs(request: Request): boolean {
  const address = (request.ip ?? '').replace(/^::ffff:/i, '');
  return LOOPBACK.test(address) && !PASSED_ON.some((name) => request.headers[name] !== undefined);
}
