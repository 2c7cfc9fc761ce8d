/**
 * Loads a test file anew, and once for all files of a worker what they test and what that needs: packages by Node's own loader, our sources by
 * Jest's. Jest by itself compiles and links everything again for each file and frees little of it: a worker became twice as large, and ran code
 * that was never warm. So a source that keeps something keeps it for the files that follow, as it does for what follows in production. Jest has
 * no place to say so, which is why this reaches into its loader, and refuses any other version of it than the one it was written for.
 */
const { isBuiltin } = require('node:module');
const { compileFunction, SourceTextModule, SyntheticModule } = require('node:vm');
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
const SOURCES = ['apps', 'libs', 'contracts', 'migrations'].map((f) => path.resolve(__dirname, '../..', f) + path.sep);
/** How a source is transformed: as the ES module it is. */
const AS_MODULE = {
  isInternalModule: false,
  supportsDynamicImport: true,
  supportsExportNamespaceFrom: true,
  supportsStaticESM: true,
  supportsTopLevelAwait: true,
};

const packages = new Map();
const sources = new Map();
/** What of Jest itself is run for each file; nothing of ours is CommonJS. */
const compiled = new Map();
/** Where the lines of each source are, for stack traces. */
const sourceMaps = new Map();
/** Of the file that runs now. */
let loader;

module.exports = class OncePerWorkerRuntime extends Runtime {
  constructor(...options) {
    super(...options);
    const { esmLoader, executor, transformCache } = this;
    loader = esmLoader;
    transformCache.sourceMaps = sourceMaps;
    // What a file that failed has left half loaded.
    for (const [file, { status }] of sources) if (status !== 'evaluated') sources.delete(file);
    const anew = esmLoader.resolveModule.bind(esmLoader);
    // No context is the main one.
    esmLoader.getContext = () => undefined;
    esmLoader.resolveModule = async (specifier, from, context) => {
      if (specifier === '@jest/globals') return anew(specifier, from, context);
      const file = isBuiltin(specifier) ? specifier : await this._resolution.resolveEsmAsync(from, specifier);
      if (isBuiltin(file) || file.includes(PACKAGES)) {
        if (!packages.has(file)) packages.set(file, ofPackage(file));
        return packages.get(file);
      }
      if (!isSource(file)) return anew(specifier, from, context);
      if (!sources.has(file)) sources.set(file, ofSource(file, transformCache.transform(file, AS_MODULE)));
      return sources.get(file);
    };
    executor.compile = (source, filename) => {
      if (!compiled.has(filename)) compiled.set(filename, compileFunction(source, executor.injectedModuleParameters, { filename }));
      return compiled.get(filename);
    };
  }
};

const isSource = (file) =>
  SOURCES.some((folder) => file.startsWith(folder)) && file.endsWith('.ts') && !/\.(test|soak)\.ts$/.test(file);

function ofSource(file, code) {
  return new SourceTextModule(code, {
    identifier: file,
    initializeImportMeta: (meta) => (meta.url = pathToFileURL(file).href),
    importModuleDynamically: (...what) => loader.dynamicImport(...what),
  });
}

async function ofPackage(file) {
  const exports = await import(isBuiltin(file) ? file : pathToFileURL(file).href);
  const names = Object.keys(exports);
  const module = new SyntheticModule(names, () => names.forEach((name) => module.setExport(name, exports[name])), {
    identifier: file,
  });
  await module.link(() => undefined);
  await module.evaluate();
  return module;
}
