/** Structured log lines, one JSON object each, with secrets cut out whatever object they hide in. */
import pino, { type Logger } from 'pino';

export type { Logger } from 'pino';

/** A logger named after its app. Level from ISTHMUS_LOG (`info` unless told). */
export function createLogger(name: string, destination?: pino.DestinationStream): Logger {
  const options: pino.LoggerOptions = {
    name,
    level: process.env['ISTHMUS_LOG'] ?? 'info',
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: ['privateKey', '*.privateKey', 'password', '*.password', 'databaseUrl', '*.databaseUrl'],
      censor: '[secret]',
    },
  };
  return destination ? pino(options, destination) : pino(options);
}
