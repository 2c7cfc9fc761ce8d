/** The results chains of many processes at once, hashed where the results are stored: their texts, megabytes each, stay in the database. */
import type { DataSource } from 'typeorm';
import { NO_RESULTS, withHash } from '../format/index.js';

/** Results of one statement. */
const AT_ONCE = 10_000;

/** A chain as far as it is known: r(slot), base64url; slot -1 before the first. */
export interface ChainEnd {
  process: string;
  slot: number;
  results: string | null;
}

interface HashRow {
  place: string;
  nonce: string;
  hash: Buffer;
}

/** r(to) of each chain, base64url. @throws Error when a result that should be there is not */
export async function extendChains(
  database: DataSource,
  wanted: readonly (ChainEnd & { to: number })[],
): Promise<string[]> {
  const chains = wanted.map(({ process, slot, results, to }) => ({
    process,
    slot,
    to,
    value: results === null ? NO_RESULTS : Buffer.from(results, 'base64url'),
  }));
  for (;;) {
    const behind = chains.filter(({ slot, to }) => slot < to);
    if (behind.length === 0) return chains.map(({ value }) => value.toString('base64url'));
    const rows: HashRow[] = await database.query(
      `select w.place, r.nonce, r.hash from unnest($1::text[], $2::bigint[], $3::bigint[]) with ordinality as w(process, after, upto, place)
       cross join lateral (
         select nonce, sha256(convert_to(outcome, 'UTF8')) as hash from result
         where process = w.process and nonce > w.after and nonce <= w.upto order by nonce limit $4
       ) as r order by w.place, r.nonce`,
      [
        behind.map((c) => c.process),
        behind.map((c) => c.slot),
        behind.map((c) => c.to),
        Math.ceil(AT_ONCE / behind.length),
      ],
    );
    const before = behind.map(({ slot }) => slot);
    for (const { place, nonce, hash } of rows) {
      const chain = behind[Number(place) - 1];
      if (chain?.slot !== Number(nonce) - 1)
        throw new Error(`A result before slot ${nonce} of process ${chain?.process} is missing.`);
      chain.value = withHash(chain.value, hash);
      chain.slot += 1;
    }
    const stuck = behind.find(({ slot }, i) => slot === before[i]);
    if (stuck) throw new Error(`Process ${stuck.process} has no result of slot ${stuck.slot + 1}.`);
  }
}
