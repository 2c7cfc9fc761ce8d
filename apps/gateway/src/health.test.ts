/** What the gateway says of itself: true of the bridge, whatever strangers do, and without its secrets. */
import { createItem, ethereumSigner, Scheduler } from '@isthmus/ao';
import { devKey } from '@isthmus/devnet';
import { createLogger } from '@isthmus/store';
import { HttpRequestError } from 'viem';
import { GatewayStage } from '../harness.js';
import { Health } from './health.js';

it('X13 an RPC address, which may hold a key, is in no health and no log', () => {
  const lines: string[] = [];
  const health = new Health(createLogger('test', { write: (line: string) => void lines.push(line) }));
  health.bad('relayer', new HttpRequestError({ url: 'https://node.example/v2/S3CRET', details: 'down' }));
  expect(health.parts['relayer']).toMatchObject({ ok: false, detail: expect.any(String) as string });
  expect(JSON.stringify([health.parts, lines])).not.toContain('S3CRET');
  health.recovered('relayer');
  health.recovered('never failed');
  expect(Object.entries(health.parts).map(([part, { ok }]) => [part, ok])).toEqual([['relayer', true]]);
});

it('I13 a stranger’s process that cannot be computed does not make the gateway unready', async () => {
  const world = await GatewayStage.open();
  try {
    const tags = (more: Record<string, string>) =>
      Object.entries({ 'Data-Protocol': 'ao', Variant: 'ao.TN.1', ...more }).map(([name, value]) => ({ name, value }));
    const signer = ethereumSigner(devKey(3));
    const module = await createItem(
      { tags: tags({ Type: 'Module', 'Module-Format': 'nothing-known' }), data: 'x' },
      signer,
    );
    // As a release left it that had a machine for this format: the gateway itself would refuse the spawn now.
    const scheduler = new Scheduler({ database: world.gateway.database, signer });
    const own = { Type: 'Process', Module: module.id, Scheduler: scheduler.address };
    const spawn = await createItem({ tags: tags(own), data: '' }, signer);
    await scheduler.schedule(module.raw);
    await scheduler.schedule(spawn.raw);
    await scheduler.stop();
    await world.pipeline.compute.advance(spawn.id).catch(() => undefined);
    const health = await world.get<{ parts: Record<string, unknown> }>('/health');
    expect(Object.keys(health.parts).filter((part) => part.startsWith('compute'))).toEqual([]);
    expect(world.pipeline.compute.stopped()).toMatchObject([{ process: spawn.id, reason: 'unknown-format' }]);
    await world.get('/ready');
  } finally {
    await world.close();
  }
});
