/** Reading from a gateway nobody has to trust: it answers itself, in time, and no more than is asked for. */
const TIMEOUT_MS = 20_000;

/** Status and body of a GET, whatever length the answer announces. @throws Error when there is none, late, or a larger one */
export async function fetchBounded(url: string, maxBytes: number): Promise<{ status: number; body: Buffer }> {
  const response = await fetch(url, {
    headers: { accept: 'application/octet-stream' },
    redirect: 'error', // the gateway that was configured answers, or none
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += (chunk as Uint8Array).byteLength;
    if (size > maxBytes) throw new Error('the answer is too large');
    chunks.push(chunk as Uint8Array);
  }
  return { status: response.status, body: Buffer.concat(chunks) };
}
