export function wordsOf(
  problem: { code?: string; detail?: string; errors?: { name: string; reason: string }[] } | null,
): string | null;
export function findMarks(text: string): string[];
