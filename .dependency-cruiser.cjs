/** The direction of dependencies: rules know nothing of frameworks, libraries nothing of apps. */
module.exports = {
  forbidden: [
    {
      name: 'rules-import-no-framework',
      comment: 'libs/bridge holds the rules: no framework, no I/O, no other part of Isthmus.',
      severity: 'error',
      from: { path: '^libs/bridge/src', pathNot: '\\.test\\.ts$' },
      to: { path: '^(node_modules/(@nestjs|typeorm|pg|pino)|libs/(?!bridge)|apps|migrations)', },
    },
    {
      name: 'rules-do-no-io',
      severity: 'error',
      from: { path: '^libs/bridge/src', pathNot: '\\.test\\.ts$' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'settlement-format-is-pure',
      comment: 'libs/arweave/src/format is data in, data out: no framework, no database, no network, and nothing of who uses it.',
      severity: 'error',
      from: { path: '^libs/arweave/src/format', pathNot: '\\.test\\.ts$' },
      to: { path: '^(node_modules/(@nestjs|typeorm|pg|pino|arweave)|libs/(?!ao|arweave/src/format)|apps|migrations|(node:)?(http|https|fs|net)$)' },
    },
    {
      name: 'the-auditor-shares-no-books',
      comment: 'What checks the bridge shares none of its code: no rules, no watcher, no store; of AO the items, the replica and its machines.',
      severity: 'error',
      from: { path: '^libs/audit/src', pathNot: '\\.test\\.ts$' },
      to: { path: '^(node_modules/(@nestjs|typeorm|pg|pino)|libs/(bridge|chains|store|devnet)|apps|migrations)' },
    },
    {
      name: 'findings-do-no-io',
      severity: 'error',
      from: { path: '^libs/audit/src/domain', pathNot: '\\.test\\.ts$' },
      to: { path: '^(libs/(?!audit/src/domain)|(node:)?(http|https|fs|net|child_process|worker_threads)$)' },
    },
    { name: 'libs-never-import-apps', severity: 'error', from: { path: '^libs' }, to: { path: '^apps' } },
    { name: 'apps-stay-apart', severity: 'error', from: { path: '^apps/(gateway|guardian)/' }, to: { path: '^apps/', pathNot: '^apps/$1/' } },
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'require', 'node', 'default', 'types'] },
  },
};
