/** The `X-` tags inside a deposit: UTF-8 lines `X-Name=value`. What breaks the rules is no tags at all, and never stops the money. */
import { BridgeError } from './errors.js';

/** One `X-` tag that travels with a deposit. */
export interface DepositTag {
  name: string;
  value: string;
}

export const MAX_TAG_BYTES = 2048;
export const MAX_TAGS = 16;
const MAX_VALUE_BYTES = 1024;
const NAME = /^X-[A-Za-z0-9-]{1,61}$/;

/** Writes tags as the bytes a deposit carries. @throws BridgeError `bad-tags` naming the first tag that breaks a rule. */
export function encodeTags(tags: readonly DepositTag[]): Uint8Array {
  if (tags.length === 0) return new Uint8Array();
  const text = tags.map(({ name, value }) => `${name}=${value}`).join('\n');
  const bytes = Buffer.from(text, 'utf8');
  const decoded = decodeTags(bytes);
  const same =
    decoded?.length === tags.length &&
    decoded.every((tag, i) => tag.name === tags[i]?.name && tag.value === tags[i]?.value);
  if (!same) {
    throw new BridgeError(
      'bad-tags',
      'Tags are at most 16 pairs X-Name=value: names of letters, digits and dashes, each once; values of 1 to 1,024 printable bytes; 2,048 bytes in all.',
    );
  }
  return bytes;
}

/** Reads a deposit's tag bytes; `null` when they break the rules of docs/protocol.md. */
export function decodeTags(bytes: Uint8Array): DepositTag[] | null {
  if (bytes.length === 0) return [];
  if (bytes.length > MAX_TAG_BYTES) return null;
  const text = decodeUtf8(bytes);
  if (text === null) return null;
  const tags: DepositTag[] = [];
  const seen = new Set<string>();
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    const name = line.slice(0, Math.max(at, 0));
    const value = line.slice(at + 1);
    const fits =
      NAME.test(name) && value.length > 0 && Buffer.byteLength(value) <= MAX_VALUE_BYTES && !hasControl(value);
    if (!fits || seen.has(name) || tags.length === MAX_TAGS) return null;
    seen.add(name);
    tags.push({ name, value });
  }
  return tags;
}

/** The text; null when the bytes are none. */
export function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Bytes below 0x20 and 0x7f: they end lines, headers or terminals' patience somewhere on the way. */
function hasControl(value: string): boolean {
  return Array.from(value).some((c) => c < ' ' || c === '\u007f');
}
