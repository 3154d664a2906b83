// Colour maps of 256 entries, interpolated between a few colours. Oranges, viridis and gray are those of the Go package
// colormap to within rounding; magma, turbo and Blues follow matplotlib's.

const stops: Record<string, string> = {
  Oranges: "fff5eb fee6ce fdd0a2 fdae6b fd8d3c f16913 d94801 a63603 7f2704",
  viridis: "440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725",
  magma: "000004 180f3d 440f76 721f81 9e2f7f cd4071 f1605d fd9668 feca8d fcfdbf",
  turbo: "30123b 4145ab 4675ed 39a2fc 1bcfd4 24eca6 61fc6c a4fc3b d1e834 f3c63a fe9b2d f36315 d93806 b11901 7a0402",
  Blues: "f7fbff deebf7 c6dbef 9ecae1 6baed6 4292c6 2171b5 08519c 08306b",
  gray: "000000 ffffff",
  difference: "2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b",
};

export const palettes = Object.keys(stops);
export const paletteOptions = palettes.map((value) => ({ value, text: value[0]!.toUpperCase() + value.slice(1) }));

const made = new Map<string, Uint8Array<ArrayBuffer>>();

// lut returns 256 x RGBA. An unknown name is Oranges.
export function lut(name: string): Uint8Array<ArrayBuffer> {
  const have = made.get(name);
  if (have) return have;
  const list = (stops[name] ?? stops["Oranges"]!).split(" ").map((h) => [0, 2, 4].map((i) => parseInt(h.slice(i, i + 2), 16)));
  const out = new Uint8Array(1024);
  for (let i = 0; i < 256; i++) {
    const x = (i / 255) * (list.length - 1);
    const k = Math.min(Math.floor(x), list.length - 2);
    for (let c = 0; c < 3; c++) {
      out[4 * i + c] = Math.round(list[k]![c]! + (list[k + 1]![c]! - list[k]![c]!) * (x - k));
    }
    out[4 * i + 3] = 255;
  }
  made.set(name, out);
  return out;
}

// learn keeps a colour map that came with the data: 256 x RGB in base64. It returns its name.
export function learn(name: string, colours: string | undefined): string {
  const key = "data:" + name;
  if (made.has(key)) return key;
  if (typeof colours !== "string" || made.size > 32) return name;
  const bytes = atob(colours);
  if (bytes.length !== 768) return name;
  const out = new Uint8Array(1024).fill(255);
  for (let i = 0; i < 256; i++) for (let c = 0; c < 3; c++) out[4 * i + c] = bytes.charCodeAt(3 * i + c);
  made.set(key, out);
  return key;
}

// classColours are for classes and labels; they repeat after ten.
export const classColours = [
  0x4e79a7, 0xf28e2b, 0xe15759, 0x76b7b2, 0x59a14f, 0xedc948, 0xb07aa1, 0xff9da7, 0x9c755f, 0xbab0ac,
] as const;
