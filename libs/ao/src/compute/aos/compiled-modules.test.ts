/** Compiled modules are kept by their bytes as well as by their number. */
import { CompiledModules } from './compiled-modules.js';

const compiled: string[] = [];
const keep = (modules: CompiledModules<string>, key: string, bytes: number) =>
  modules.of(key, () => {
    compiled.push(key);
    return { module: `${key}!`, bytes };
  });
beforeEach(() => compiled.splice(0));

it('I13 large modules make room for each other, the last used stay', () => {
  const modules = new CompiledModules<string>(100);
  for (const key of ['a', 'b', 'a', 'c']) expect(keep(modules, key, 40)).toBe(`${key}!`);
  expect(compiled).toEqual(['a', 'b', 'c']); // 80 of 100 are kept: a and c
  for (const key of ['a', 'c', 'b']) keep(modules, key, 40);
  expect(compiled).toEqual(['a', 'b', 'c', 'b']);
});

it('I13 one that is larger than all may be is kept while it is in use, alone', () => {
  const modules = new CompiledModules<string>(100);
  for (const key of ['a', 'large', 'large', 'a']) keep(modules, key, key === 'large' ? 1000 : 1);
  expect(compiled).toEqual(['a', 'large', 'a']);
});

it('I13 small ones are so many and no more', () => {
  const modules = new CompiledModules<string>(100);
  for (let i = 0; i < 17; i += 1) keep(modules, String(i), 1);
  keep(modules, '16', 1);
  keep(modules, '0', 1);
  expect(compiled).toHaveLength(18);
});
