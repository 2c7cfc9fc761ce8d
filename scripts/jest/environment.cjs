/**
 * Tests run in the realm of the process that runs them, as the code does in production: what a package throws is an Error to us, and what is
 * tested is loaded once for all test files of a worker (`runtime.cjs`). What a file changes of the globals or the environment, or replaces by a
 * mock, ends with it.
 */
const { ModernFakeTimers } = require('@jest/fake-timers');
const { ModuleMocker } = require('jest-mock');

module.exports = class MainRealmEnvironment {
  #globals = new Map(Reflect.ownKeys(globalThis).map((key) => [key, Object.getOwnPropertyDescriptor(globalThis, key)]));
  #environment = { ...process.env };
  #exit = process.exit;

  constructor({ projectConfig }) {
    this.global = globalThis;
    this.moduleMocker = new ModuleMocker(globalThis);
    this.fakeTimersModern = new ModernFakeTimers({ config: projectConfig, global: globalThis });
  }

  async setup() {}

  async teardown() {
    this.fakeTimersModern.dispose();
    this.moduleMocker.restoreAllMocks();
    process.exit = this.#exit;
    for (const name of Object.keys(process.env)) if (!(name in this.#environment)) delete process.env[name];
    Object.assign(process.env, this.#environment);
    for (const key of Reflect.ownKeys(globalThis)) {
      const was = this.#globals.get(key);
      const is = Object.getOwnPropertyDescriptor(globalThis, key);
      if (!is.configurable) continue;
      if (!was) delete globalThis[key];
      else if (was.value !== is.value) Object.defineProperty(globalThis, key, was);
    }
  }

  exportConditions() {
    return ['node', 'node-addons'];
  }

  getVmContext() {
    return globalThis;
  }
};
