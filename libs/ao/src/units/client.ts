/** Whose requests are counted together: those of one address; of IPv6, of one /64, which one customer has. */
import { isIPv6 } from 'node:net';

/** Who is counted together. */
export function clientOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
  if (!isIPv6(plain)) return plain;
  const [before = '', after] = plain.split('::');
  const groups = (text: string | undefined): string[] => (text ? text.split(':') : []);
  const head = groups(before);
  const zeros = after === undefined ? 0 : 8 - head.length - groups(after).length;
  const all = [...head, ...Array.from({ length: zeros }, () => '0'), ...groups(after)];
  return `${all
    .slice(0, 4)
    .map((g) => Number.parseInt(g, 16).toString(16))
    .join(':')}::/64`;
}
