import fs from 'node:fs';

// Jest compiles TypeScript with the same swc settings as the build, but as plain ES modules:
// path aliases are resolved by moduleNameMapper instead of being rewritten.
const swc = JSON.parse(fs.readFileSync(new URL('.swcrc', import.meta.url), 'utf8'));
delete swc.$schema;
delete swc.jsc.paths;
delete swc.jsc.baseUrl;
swc.module = { type: 'es6' };
swc.swcrc = false;

const common = {
  testEnvironment: '<rootDir>/scripts/jest/environment.cjs',
  runtime: '<rootDir>/scripts/jest/runtime.cjs',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '^.+\\.ts$': ['@swc/jest', swc] },
  moduleNameMapper: {
    '^@isthmus/migrations$': '<rootDir>/migrations/index.ts',
    '^@isthmus/([a-z]+)$': '<rootDir>/libs/$1/src/index.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/.isthmus'],
};

export default {
  // Most of a test is waiting for other processes: two files at once, also on a machine of two cores.
  maxWorkers: 2,
  globalSetup: './scripts/jest/setup.mjs',
  globalTeardown: './scripts/jest/teardown.mjs',
  testSequencer: './scripts/jest/sequencer.cjs',
  // A bound, not a wait: real processes start in each of many tests, and machines are shared.
  testTimeout: 600_000,
  projects: [
    { ...common, displayName: 'unit', testMatch: ['<rootDir>/{apps,libs,contracts}/**/*.test.ts'] },
    { ...common, displayName: 'e2e', testMatch: ['<rootDir>/test/**/*.test.ts'] },
    // What takes too long for every run: npm run test:soak.
    { ...common, displayName: 'soak', testMatch: ['<rootDir>/{apps,libs,contracts,test}/**/*.soak.ts'] },
  ],
};
