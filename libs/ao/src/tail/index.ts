/** Tails of schedules: what followers have kept beyond what is settled, and how it is handed on. */
export * from './tail-client.js';
export * from './tail-lines.js';
