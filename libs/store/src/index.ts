/** Where state lives: PostgreSQL (embedded or given), migrations, configuration, logs. */
export * from './config.js';
export * from './crash.js';
export * from './copy.js';
export * from './data-source.js';
export * from './databases.js';
export * from './embedded-postgres.js';
export * from './log.js';
export * from './ports.js';
export * from './process-end.js';
export * from './root.js';
export * from './test-database.js';
export * from './test-wallet.js';
