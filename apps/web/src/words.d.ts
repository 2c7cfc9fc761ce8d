export function wordsOf(
  problem: { code?: string; detail?: string; errors?: { name: string; reason: string }[] } | null,
): string | null;
export function findMarks(text: string): string[];
export function isSignature(text: string): boolean;
export function progressWords(progress: { state: string; slot: number | null; confirmations: number | null }): string;
export function tagsOf(text: string): { name: string; value: string }[];
