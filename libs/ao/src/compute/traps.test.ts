/** What a result says of a failure is ours, and what may be the host's failure is none. */
import { HostFailure, LONGJMP, ProcessError, reasonOf } from './traps.js';

it.each([
  [new WebAssembly.RuntimeError('unreachable'), 'unreachable'],
  [new WebAssembly.RuntimeError('Unreachable code should not be executed: unreachable'), 'unreachable'],
  [new WebAssembly.RuntimeError('memory access out of bounds'), 'memory access out of bounds'],
  [new WebAssembly.RuntimeError('divide by zero'), 'integer divide by zero'],
  [new WebAssembly.RuntimeError('remainder by zero'), 'integer divide by zero'],
  [new WebAssembly.RuntimeError('divide result unrepresentable'), 'integer overflow'],
  [new WebAssembly.RuntimeError('float unrepresentable in integer range'), 'invalid conversion to integer'],
  [new WebAssembly.RuntimeError('table index is out of bounds'), 'indirect call to no such function'],
  [new WebAssembly.RuntimeError('null function or function signature mismatch'), 'indirect call to no such function'],
  [new ProcessError('out of work'), 'out of work'],
  [LONGJMP, 'a jump to nowhere'],
])('I13 %s is told as "%s"', (error, reason) => expect(reasonOf(error)).toBe(reason));

it.each([
  new RangeError('Maximum call stack size exceeded'),
  new RangeError('Array buffer allocation failed'),
  new TypeError('Cannot convert 1 to a BigInt'),
  new WebAssembly.RuntimeError('a trap nobody knows'),
  new HostFailure('no memory'),
  'anything else',
])('I13 %s is no result, but a failure of this host', (error) => expect(() => reasonOf(error)).toThrow(HostFailure));
