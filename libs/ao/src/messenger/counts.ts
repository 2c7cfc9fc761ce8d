/** How much one signed message has led to: answers, and new processes. Counted in the transaction of the results, so that nothing counts twice. */
import type { EntityManager } from 'typeorm';

/** Whose share an answer takes. */
export interface Share {
  root: string;
  process: string;
  cause: string;
}

/** All that a root has led to, as a share of its own: nobody else's has no process. */
export const allOf = ({ root }: Share): Share => ({ root, process: '', cause: '' });

/** Adds to each share what is asked of it; the counts before. Written in one order, so that two never wait for each other. */
export async function countAnswers(
  manager: EntityManager,
  asked: ReadonlyMap<string, { share: Share; count: number }>,
): Promise<Map<string, number>> {
  const groups = [...asked].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
  if (groups.length === 0) return new Map();
  const rows: (Share & { messages: string })[] = await manager.query(
    `insert into pushed (root, process, cause, messages) select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
     on conflict (root, process, cause) do update set messages = pushed.messages + excluded.messages, touched = now() returning root, process, cause, messages`,
    [
      groups.map((g) => g.share.root),
      groups.map((g) => g.share.process),
      groups.map((g) => g.share.cause),
      groups.map((g) => g.count),
    ],
  );
  return new Map(rows.map((r) => [shareKey(r), Number(r.messages) - (asked.get(shareKey(r))?.count ?? 0)]));
}

export const shareKey = ({ root, process, cause }: Share): string => `${root} ${process} ${cause}`;

/** Adds to what roots and processes have spawned; the counts before, by `<scope> <id>`. In one order, too. */
export async function countSpawns(
  manager: EntityManager,
  asked: ReadonlyMap<string, { scope: 'root' | 'process'; id: string; count: number }>,
): Promise<Map<string, number>> {
  const groups = [...asked].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
  if (groups.length === 0) return new Map();
  const rows: { scope: string; id: string; spawns: string }[] = await manager.query(
    `insert into spawned (scope, id, spawns) select * from unnest($1::text[], $2::text[], $3::bigint[])
     on conflict (scope, id) do update set spawns = spawned.spawns + excluded.spawns, touched = now() returning scope, id, spawns`,
    [groups.map((g) => g.scope), groups.map((g) => g.id), groups.map((g) => g.count)],
  );
  return new Map(
    rows.map((r) => [`${r.scope} ${r.id}`, Number(r.spawns) - (asked.get(`${r.scope} ${r.id}`)?.count ?? 0)]),
  );
}
