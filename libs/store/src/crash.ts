/** Ends a process as a power cut would, where a test of I12 says so with ISTHMUS_CRASH_AT: `<point>`, or `<point>@<n>` the n-th time it is passed. */
const [at, nth = '1'] = (process.env['ISTHMUS_CRASH_AT'] ?? '').split('@');
let passed = 0;

/** Ends this process at once when it is told to end here, now; otherwise nothing. */
export function crashAt(point: string): void {
  if (at !== point) return;
  passed += 1;
  if (passed === Number(nth)) process.kill(process.pid, 'SIGKILL');
}
