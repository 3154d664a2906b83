// Ramps of colours between two, as 256 x RGBA like those of scene/palette.ts.

export type Ramp = Uint8Array;

// between runs from one colour to another, both as "rgb(r, g, b)".
export function between(from: string, to: string): Ramp {
  const [a, b] = [bytes(from), bytes(to)];
  const out = new Uint8Array(1024);
  for (let i = 0; i < 256; i++) {
    for (let c = 0; c < 3; c++) out[4 * i + c] = Math.round(a[c]! + (i / 255) * (b[c]! - a[c]!));
    out[4 * i + 3] = 255;
  }
  return out;
}

const bytes = (rgb: string): number[] => (rgb.match(/[\d.]+/g) ?? ["0", "0", "0"]).map(Number);

// Signed values: what speaks for a class, and what speaks against it.
export const speaksFor = [0xe8, 0x59, 0x0c] as const;
export const speaksAgainst = [0x1c, 0x7e, 0xd6] as const;
