/** The paths of AO-Core that are answered here, read from a request's raw path. Pure. What is AO-Core's and not answered is told apart from what is not AO-Core's. */

/** What is asked for. */
export type CoreCall =
  | { kind: 'meta'; key: '' | 'address' | 'keys' }
  | { kind: 'place'; process: string | null; push: boolean }
  | { kind: 'slot'; process: string }
  | { kind: 'schedule'; process: string }
  | { kind: 'state'; process: string; now: boolean; path: string[]; json: boolean }
  | { kind: 'at-slot'; process: string; now: boolean }
  | { kind: 'result'; process: string; now: boolean; of: string | null }
  | { kind: 'dry-run'; process: string; tags: { name: string; value: string }[] }
  | { kind: 'wrong-method'; allow: string }
  | { kind: 'unanswered'; reason: string }
  | { kind: 'malformed'; reason: string };

const PROCESS = /^([A-Za-z0-9_-]{43})(~[^/]*)?$/;
const DEVICE = /(^|[^%])~[a-z][a-z0-9-]*@[0-9]/;
const SLOT = /^[0-9]{1,15}$/;
const ID = /^[A-Za-z0-9_-]{43}$/;

/** Query parameters that say how to answer, not what is asked. */
const MANNERS = new Set(['accept', 'accept-bundle', 'accept-codec', 'require-codec', 'signing-format', 'codec-device']);

const READS = 'GET, HEAD, POST, OPTIONS';
const PLACES = 'POST, OPTIONS';

/** Null when the path is no path of AO-Core. `path` is raw: percent-encoded, without its query. `method` is as sent, but GET for HEAD. */
export function readCorePath(path: string, query: URLSearchParams, method: string): CoreCall | null {
  const call = callOf(path, query, method);
  if (!call || method === 'GET' || method === 'POST') return call;
  return wrongMethod(path.endsWith('/push') || path === '/schedule' ? PLACES : READS);
}

const wrongMethod = (allow: string): CoreCall => ({ kind: 'wrong-method', allow });

function callOf(path: string, query: URLSearchParams, method: string): CoreCall | null {
  const segments = path.split('/').slice(1);
  const first = segments[0] ?? '';
  if (path === '/push' || path === '/schedule')
    return method === 'POST' ? { kind: 'place', process: null, push: path === '/push' } : wrongMethod(PLACES);
  if (first.startsWith('~')) return metaCall(segments);
  const [, process, device] = PROCESS.exec(first) ?? [];
  if (process === undefined)
    return DEVICE.test(first)
      ? malformed(
          `${first.slice(0, first.indexOf('~'))} is no process: an id has 43 characters of A-Z, a-z, 0-9, - and _.`,
        )
      : null;
  if (device !== undefined && device !== '~process@1.0')
    return unanswered(`Only ~process@1.0 is answered for a process, not ${device}.`);
  const call = processCall(process, segments.slice(1), query, method);
  // Without a device the rest of such a path may be somebody else's.
  return (
    call ?? (device === undefined ? null : unanswered(`/${segments.slice(1).join('/')} of a process is not answered.`))
  );
}

const unanswered = (reason: string): CoreCall => ({ kind: 'unanswered', reason });
const malformed = (reason: string): CoreCall => ({ kind: 'malformed', reason });

function metaCall([device, info, key, ...rest]: string[]): CoreCall {
  if (device !== '~meta@1.0' || info !== 'info' || rest.length > 0)
    return unanswered('Of devices without a process only ~meta@1.0/info, /info/address and /info/keys are answered.');
  if (key === undefined || key === 'address' || key === 'keys') return { kind: 'meta', key: key ?? '' };
  return unanswered(`~meta@1.0/info has address and keys, not ${key}.`);
}

function processCall(process: string, rest: string[], query: URLSearchParams, method: string): CoreCall | null {
  const [verb = '', ...path] = rest;
  const alone = path.length === 0;
  if (verb === 'push' || verb === 'schedule') {
    if (!alone) return unanswered(`Nothing below /${verb} is answered.`);
    if (method === 'POST') return { kind: 'place', process, push: verb === 'push' };
    return verb === 'push' ? wrongMethod(PLACES) : { kind: 'schedule', process };
  }
  if (verb === 'slot')
    return path.join('/') === 'current'
      ? { kind: 'slot', process }
      : unanswered('Of /slot only /slot/current is answered.');
  if (verb.startsWith('as=')) return dryRun(process, verb, path, query);
  const [head = '', ...parameters] = verb.split('&');
  if (head !== 'compute' && head !== 'now') return null;
  const slot = slotIn(parameters, query);
  if (slot === null) return unanswered('Of parameters only a slot is answered: /compute&slot=<slot>/results.');
  return computeCall(process, head === 'now', path, slot);
}

/** The slot a path names (`&slot=7`, `&slot+integer=7`, `?slot=7`); undefined when none, null for other parameters. */
function slotIn(parameters: readonly string[], query: URLSearchParams): string | undefined | null {
  const [only] = parameters;
  if (only === undefined) return query.get('slot') ?? undefined;
  const [, slot] = /^slot(?:\+integer)?=([0-9]{1,15})$/.exec(only) ?? [];
  return parameters.length === 1 && slot !== undefined ? slot : null;
}

function computeCall(process: string, now: boolean, path: string[], slot: string | undefined): CoreCall {
  const json = withoutJson(path);
  const keys = json ?? path;
  if (keys.some((key) => DEVICE.test(key)))
    return unanswered('Of devices after /compute and /now only ~json@1.0/serialize is answered, at the end.');
  if (keys.some((key) => key.includes('&')))
    return unanswered('Parameters inside a path are not answered; a key with & is written %26.');
  const [first = ''] = keys;
  if (first === 'results' || first.startsWith('results=')) {
    if (keys.length > 1) return unanswered('Results are answered whole, not by what is in them.');
    const of = first === 'results' ? slot : first.slice('results='.length);
    if (of !== undefined && !SLOT.test(of) && !ID.test(of))
      return malformed(`${of} is neither a slot nor the id of a message.`);
    return { kind: 'result', process, now, of: of ?? null };
  }
  if (slot !== undefined)
    return unanswered('State is kept as it is now, not as it was at a slot; results are kept of every slot.');
  if (first === 'at-slot' && keys.length === 1) return { kind: 'at-slot', process, now };
  const decoded = keys.map(decode);
  if (decoded.some((key) => key === null)) return malformed('The path is not percent-encoded text.');
  // A slash at the end says nothing.
  const state = (decoded as string[]).filter((key, i) => key !== '' || i < decoded.length - 1);
  return { kind: 'state', process, now, path: state, json: json !== null };
}

/** The path before `~json@1.0/serialize` or `serialize~json@1.0`; null when it does not end so. */
function withoutJson(path: string[]): string[] | null {
  if (path.at(-1) === 'serialize~json@1.0') return path.slice(0, -1);
  return path.at(-2) === '~json@1.0' && path.at(-1) === 'serialize' ? path.slice(0, -2) : null;
}

/** `/as=execution/compute&Action=Balance&Target=...`: the tags of a message that is evaluated without effect. */
function dryRun(process: string, verb: string, path: string[], query: URLSearchParams): CoreCall {
  const [compute, ...parameters] = path.join('/').split('&');
  if (verb !== 'as=execution' || compute !== 'compute')
    return unanswered('A dry-run is asked for by /as=execution/compute&<tag>=<value>...');
  const tags: { name: string; value: string }[] = [];
  for (const parameter of parameters) {
    const at = parameter.indexOf('=');
    const [name, value] = [decode(parameter.slice(0, at)), decode(parameter.slice(at + 1))];
    if (at < 1 || name === null || value === null)
      return malformed('The tags of a dry-run are written &<name>=<value>, percent-encoded.');
    tags.push({ name, value });
  }
  for (const [name, value] of query) if (!MANNERS.has(name)) tags.push({ name, value });
  return { kind: 'dry-run', process, tags };
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
