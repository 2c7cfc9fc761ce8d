export function toBaseUnits(written: string, decimals: number): string | null;
export function fromBaseUnits(units: string, decimals: number): string;
