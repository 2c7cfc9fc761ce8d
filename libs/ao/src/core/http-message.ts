/**
 * An HTTP answer as it is saved in a file: status line, fields, an empty line, the body. What `curl -i` saves is read too, whatever version
 * of HTTP and whatever ends of lines it has; what is written here is HTTP/1.1 with CRLF.
 */
import { HttpSignatureError, type Fields } from './http-signature.js';

export interface HttpMessage {
  /** As the status line has it: `1.1`, `2`. */
  version: string;
  status: number;
  reason: string;
  /** Names as they were written, in their order; a name may come several times. */
  fields: readonly (readonly [name: string, value: string])[];
  body: Buffer;
}

/** Bytes before the body, and fields in them: more than any server sends. */
const MAX_HEAD = 64 * 1024;
const MAX_FIELDS = 256;

const STATUS_LINE = /^HTTP\/(1\.0|1\.1|2|3)(?:\.0)? ([1-9][0-9]{2})(?: ([^\r\n]*))?$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/;
const FORBIDDEN = /[\0\r\n]/;

/** @throws HttpSignatureError `malformed` */
export function parseHttpMessage(raw: Buffer): HttpMessage {
  let rest = raw;
  for (;;) {
    const { lines, body } = splitHead(rest);
    // Before the answer itself there may be interim ones, and the one of a proxy.
    if (!isAnswer(body)) return { ...headOf(lines), body };
    headOf(lines);
    rest = body;
  }
}

const isAnswer = (bytes: Buffer): boolean => bytes.subarray(0, 5).toString('latin1') === 'HTTP/';

function splitHead(raw: Buffer): { lines: string[]; body: Buffer } {
  const lines: string[] = [];
  for (let at = 0; ;) {
    const end = raw.indexOf(0x0a, at);
    if (end < 0 || end > MAX_HEAD) throw malformed('It is no HTTP answer: no empty line ends its fields.');
    const line = raw.toString('latin1', at, raw[end - 1] === 0x0d && end > at ? end - 1 : end);
    at = end + 1;
    if (line === '') return { lines, body: raw.subarray(at) };
    lines.push(line);
  }
}

function headOf([first = '', ...rest]: readonly string[]): Omit<HttpMessage, 'body'> {
  const [, version, status, reason = ''] = STATUS_LINE.exec(first) ?? [];
  if (version === undefined || status === undefined)
    throw malformed('It is no HTTP answer: it does not begin with a status line such as HTTP/1.1 200 OK.');
  if (rest.length > MAX_FIELDS) throw malformed(`An answer has at most ${MAX_FIELDS} fields.`);
  const fields = rest.map((line): [string, string] => {
    const [, name, value] = FIELD.exec(line) ?? [];
    if (name === undefined || value === undefined || FORBIDDEN.test(value))
      throw malformed('A line among its fields is none: name, colon, value.');
    return [name, value];
  });
  return { version, status: Number(status), reason: reason.trimEnd(), fields };
}

/** The bytes to save. @throws HttpSignatureError `malformed` for what no message can hold */
export function writeHttpMessage({ version, status, reason, fields, body }: HttpMessage): Buffer {
  const head = [`HTTP/${version} ${status} ${reason}`, ...fields.map(([name, value]) => `${name}: ${value}`)];
  const raw = Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'), body]);
  const read = parseHttpMessage(raw);
  const same =
    read.status === status &&
    read.reason === reason &&
    read.body.equals(body) &&
    read.fields.length === fields.length &&
    read.fields.every(([name, value], i) => name === fields[i]?.[0] && value === fields[i]?.[1]);
  if (!same) throw malformed('This answer cannot be written down: something in it would be read as something else.');
  return raw;
}

/** Fields as a signature covers them: names in lower case, values of one name joined. */
export function joinFields(fields: Iterable<readonly [name: string, value: string]>): Fields {
  const joined = Object.create(null) as Record<string, string>;
  for (const [name, value] of fields) {
    const key = name.toLowerCase();
    const before = joined[key];
    joined[key] = before === undefined ? value.trim() : `${before}, ${value.trim()}`;
  }
  return joined;
}

/** Node's list of names and values in turn, as pairs. */
export function pairsOf(raw: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) pairs.push([raw[i] as string, raw[i + 1] as string]);
  return pairs;
}

function malformed(message: string): HttpSignatureError {
  return new HttpSignatureError('malformed', message);
}
