/** What a token process says when it is asked by nobody in particular. */
import type { EvaluationResult } from '@isthmus/ao';

/** Nobody, asking what anybody may. */
export const READER = '0x0000000000000000000000000000000000000001';
/** Asks for a token's own totals. */
export const BRIDGE_INFO = 'Bridge-Info';

/** What is in the answer; null in one that has none. @throws Error when the process refuses, or says what is no JSON */
export function answerIn(process: string, action: string, result: EvaluationResult): unknown {
  if (result.Error !== undefined) throw new Error(`Process ${process} cannot answer ${action}: ${result.Error}`);
  return JSON.parse(result.Messages[0]?.Data ?? 'null') as unknown;
}
