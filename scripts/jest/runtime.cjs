/**
 * Loads our own modules anew for each test file, and packages once for all files of a worker, by Node's own loader. Jest by itself compiles and
 * links every package again for each file and frees little of it: a worker became twice as large. It has no place to say so, which is why this
 * reaches into its loader, and refuses any other version of it than the one it was written for.
 */
const { compileFunction, SyntheticModule } = require('node:vm');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { default: Runtime } = require('jest-runtime');

const WRITTEN_FOR = '30.5.2';
const { version } = require('jest-runtime/package.json');
if (version !== WRITTEN_FOR)
  throw new Error(
    `scripts/jest/runtime.cjs reaches into jest-runtime ${WRITTEN_FOR}, and this is ${version}: see whether what it overrides is still there.`,
  );

const PACKAGES = `${path.sep}node_modules${path.sep}`;

module.exports = class PackagesOnceRuntime extends Runtime {
  constructor(...options) {
    super(...options);
    const { esmLoader, executor } = this;
    const ours = esmLoader.resolveModule.bind(esmLoader);
    const packages = new Map();
    // No context is the main one.
    esmLoader.getContext = () => undefined;
    esmLoader.resolveModule = async (specifier, from, context) => {
      const file = await this.packageFile(specifier, from);
      if (file === null) return ours(specifier, from, context);
      if (!packages.has(file)) packages.set(file, ofPackage(file));
      return packages.get(file);
    };
    executor.compile = (source, filename) => compileFunction(source, executor.injectedModuleParameters, { filename });
  }

  /** The file of a package that is meant, or null when it is one of ours or of Node's. */
  async packageFile(specifier, from) {
    if (specifier.startsWith('.') || specifier.startsWith('node:') || specifier === '@jest/globals') return null;
    const file = await this._resolution.resolveEsmAsync(from, specifier);
    return path.isAbsolute(file) && file.includes(PACKAGES) ? file : null;
  }
};

async function ofPackage(file) {
  const exports = await import(pathToFileURL(file).href);
  const names = Object.keys(exports);
  const module = new SyntheticModule(names, () => names.forEach((name) => module.setExport(name, exports[name])), {
    identifier: file,
  });
  await module.link(() => undefined);
  await module.evaluate();
  return module;
}
