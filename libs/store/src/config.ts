/** Configuration from one JSON file, checked as a whole at start: a wrong value is refused with its key's name. Secrets are files, never values. */
import fs from 'node:fs';
import type { z } from 'zod';

/** Configuration that must not be run with; the message lists each wrong key. */
export class ConfigError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConfigError';
  }
}

/**
 * Reads and checks a configuration file; `overrides` (from the environment) replace top-level keys before checking.
 * @throws ConfigError naming every wrong key and what is expected there.
 */
export function loadConfig<S extends z.ZodType>(
  schema: S,
  file: string,
  overrides: Record<string, unknown> = {},
): z.output<S> {
  const set = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
  const result = schema.safeParse({ ...readJson(file), ...set });
  if (result.success) return result.data;
  const wrong = result.error.issues.map((issue) => `${issue.path.join('.') || '(whole file)'}: ${issue.message}`);
  throw new ConfigError(`Configuration ${file} is wrong:\n  ${wrong.join('\n  ')}`);
}

function readJson(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch {
    throw new ConfigError(`Cannot read the configuration file ${file}: name it with ISTHMUS_CONFIG.`);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // said below, the same as for a file that holds another kind of value
  }
  throw new ConfigError(`Configuration ${file} is not a JSON object.`);
}

/**
 * Reads a key file `{"privateKey": "0x…"}`.
 * @throws ConfigError when it is missing, malformed, or readable by others.
 */
export function readKeyFile(file: string): `0x${string}` {
  assertPrivate(file, 'make one with "isthmus keys"');
  const key = readJson(file)['privateKey'];
  if (typeof key !== 'string' || !/^0x[0-9a-f]{64}$/.test(key)) {
    throw new ConfigError(`Key file ${file} does not hold {"privateKey": "0x<64 lower-case hex digits>"}.`);
  }
  return key as `0x${string}`;
}

/** The bytes of a key file. @throws ConfigError as `readKeyFile` does */
export function readSecret(file: string): Buffer {
  return Buffer.from(readKeyFile(file).slice(2), 'hex');
}

function assertPrivate(file: string, remedy: string): void {
  let mode: number;
  try {
    mode = fs.statSync(file).mode;
  } catch {
    throw new ConfigError(`Key file ${file} is missing: ${remedy}.`);
  }
  if ((mode & 0o077) !== 0) throw new ConfigError(`Key file ${file} is open to others: chmod 600 it.`);
}

/** Writes a key file only its owner reads. @throws when the file exists: a key is never overwritten. */
export function writeKeyFile(file: string, privateKey: `0x${string}`): void {
  fs.writeFileSync(file, `${JSON.stringify({ privateKey })}\n`, { mode: 0o600, flag: 'wx' });
}
