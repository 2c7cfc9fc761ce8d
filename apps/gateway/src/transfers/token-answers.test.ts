import type { EvaluationResult } from '@isthmus/ao';
import { answerIn, BRIDGE_INFO } from './token-answers.js';

const said = (Data: string): EvaluationResult => ({
  Messages: [{ Target: 'T', Anchor: '', Data, Tags: [] }],
  Spawns: [],
  Assignments: [],
  Output: '',
  GasUsed: 0,
});

it('an answer is its first message’s JSON, and none is null', () => {
  expect(answerIn('p', BRIDGE_INFO, said('{"minted":"7"}'))).toEqual({ minted: '7' });
  expect(answerIn('p', BRIDGE_INFO, { ...said(''), Messages: [] })).toBeNull();
});

it('a process that refuses, or says what is no JSON, gives none', () => {
  const refused = { ...said('{}'), Error: 'no handler' };
  expect(() => answerIn('p', BRIDGE_INFO, refused)).toThrow('Process p cannot answer Bridge-Info: no handler');
  expect(() => answerIn('p', BRIDGE_INFO, said('{'))).toThrow(SyntaxError);
});
