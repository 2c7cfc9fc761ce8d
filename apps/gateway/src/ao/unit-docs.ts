/** The AO units and AO-Core's paths in the API's documentation: what each is for, in a line. Their answers are AO's own, and are told in docs/. */
import type { OpenAPIObject } from '@nestjs/swagger';

type Method = 'get' | 'post' | 'delete';
type Entry = readonly [method: Method, path: string, summary: string];

const UNITS: readonly Entry[] = [
  ['get', '/su', 'Scheduler unit: its address'],
  ['post', '/su', 'Places a signed data item; answers once that is durable'],
  ['get', '/su/health', 'Whether the scheduler unit answers'],
  ['get', '/su/timestamp', 'Its time and block height'],
  ['get', '/su/processes/{process}', 'A process: its spawn'],
  ['get', '/su/{process}/latest', 'The newest entry of a schedule'],
  [
    'get',
    '/su/{id}',
    'A schedule (from, to, from-nonce, to-nonce, limit), or one entry; as a bundle with Accept: application/octet-stream',
  ],
  ['get', '/mu', 'Messenger unit: its address'],
  ['post', '/mu', 'Sends a signed data item; with process-id and assign: assigns a known one'],
  ['post', '/mu/push/{id}/{position}', 'Has a message of a result delivered that is not yet'],
  ['post', '/mu/monitor/{process}', 'Starts the clocks of a process; an item signed by its owner'],
  ['delete', '/mu/monitor/{process}', 'Stops them'],
  ['get', '/cu', 'Compute unit: its address'],
  ['get', '/cu/result/{message}', 'The result of a message, evaluated first where needed'],
  ['get', '/cu/results/{process}', 'Results of a process, in pages (from, to, sort, limit)'],
  ['get', '/cu/cron/{process}', 'Results of the ticks of its clocks'],
  ['post', '/cu/dry-run', 'Evaluates a message on the newest state, without effect'],
  ['post', '/graphql', 'Items by id, owner, recipient or tags, as an Arweave gateway answers'],
  ['get', '/graphql', 'The same, asked in the URL (query, variables, operationName)'],
  ['get', '/raw/{id}', 'The exact bytes of an item'],
  ['get', '/{id}', 'The data of an item, with the tags units look for as headers'],
  ['get', '/info', 'The height that assignments carry, as an Arweave gateway says it'],
];

/** What AO-Core's middleware answers, for the most part. */
const CORE: readonly Entry[] = [
  ['get', '/~meta@1.0/info', 'The addresses of this node, and the key that signs its answers'],
  ['post', '/push', 'Places a signed data item: a module, a process, a message'],
  ['post', '/{process}~process@1.0/push', 'Places a message and waits for its result'],
  ['get', '/{process}~process@1.0/slot/current', 'The newest slot of a process'],
  ['get', '/{process}~process@1.0/schedule', 'Entries of its schedule by slot (from, to, limit)'],
  ['get', '/{process}~process@1.0/compute/results={slot}', 'The result of a slot'],
  ['get', '/{process}~process@1.0/now/{path}', 'What the process shows of its state (patch@1.0)'],
];

/** Adds what is missing to the document: summaries of the units' routes, and, where this gateway answers them, AO-Core's paths. */
export function describeUnits(document: OpenAPIObject, answersCore: boolean): void {
  const { paths } = document;
  for (const [method, path, summary] of UNITS) {
    const operation = paths[path]?.[method];
    if (operation) Object.assign(operation, { summary, tags: ['ao units'] });
  }
  if (!answersCore) return;
  for (const [method, path, summary] of CORE) {
    const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
      name,
      in: 'path' as const,
      required: true,
      schema: { type: 'string' as const },
    }));
    const responses = { 200: { description: `${summary}; docs/ao-http.md tells the whole` } };
    paths[path] = { ...paths[path], [method]: { summary, tags: ['ao-core'], parameters, responses } };
  }
}
