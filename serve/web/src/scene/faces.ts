// The visible faces of a volume, as instances for the GPU. This file knows nothing of WebGL.

// VolumeData is a grid of bytes: palette indices, or values scaled to 0 to 255.
export interface VolumeData {
  dims: [number, number, number]; // depth, height, width: z, y, x
  cells: Uint8Array; // one per cell, x fastest
  paint?: Uint8Array; // what cells are coloured by, if not by themselves
  lo: number; // the value of byte 0
  hi: number; // the value of byte 255
}

export interface Cut {
  mode: "cubes" | "slices";
  threshold: number; // cells below it are empty: 0 to 255
  at: [number, number, number]; // x, y, z: cubes beyond it are cut away; slices are there
}

export interface Faces {
  cells: Uint16Array; // x, y, z, face for each
  info: Uint8Array; // colour, shade of four corners (2 bits each) for each
  count: number;
  leftOut: number; // faces that were too many
}

export const mostFaces = 2_000_000;

// The axes of the faces: that of the normal, and those along its sides. Face 2a+1 looks along axis a, 2a against it.
const sides = [
  [0, 1, 2],
  [1, 2, 0],
  [2, 0, 1],
] as const;

const empty = (): Faces => ({ cells: new Uint16Array(4096), info: new Uint8Array(2048), count: 0, leftOut: 0 });

// buildFaces lists the faces between a cell and an empty one. It uses the arrays of an earlier result.
export function buildFaces(v: VolumeData, cut: Cut, into: Faces = empty()): Faces {
  into.count = 0;
  into.leftOut = 0;
  const paint = v.paint ?? v.cells;
  return cut.mode === "slices" ? slices(v, paint, cut, into) : cubes(v, paint, cut, into);
}

function push(f: Faces, x: number, y: number, z: number, face: number, colour: number, shade: number): void {
  if (f.count === mostFaces) {
    f.leftOut++;
    return;
  }
  const i = f.count++;
  if (4 * i === f.cells.length) {
    const cells = new Uint16Array(2 * f.cells.length);
    const info = new Uint8Array(2 * f.info.length);
    cells.set(f.cells);
    info.set(f.info);
    f.cells = cells;
    f.info = info;
  }
  f.cells[4 * i] = x;
  f.cells[4 * i + 1] = y;
  f.cells[4 * i + 2] = z;
  f.cells[4 * i + 3] = face;
  f.info[2 * i] = colour;
  f.info[2 * i + 1] = shade;
}

let full = new Uint8Array(0); // 1 where a cell is not empty, with a margin of 1 all around

function cubes(v: VolumeData, paint: Uint8Array, cut: Cut, f: Faces): Faces {
  const [d, h, w] = v.dims;
  const step = [1, w + 2, (w + 2) * (h + 2)] as const;
  const size = step[2] * (d + 2);
  if (full.length < size) full = new Uint8Array(size);
  else full.fill(0, 0, size);
  const limit = [Math.min(cut.at[0], w - 1), Math.min(cut.at[1], h - 1), Math.min(cut.at[2], d - 1)] as const;
  const least = Math.max(cut.threshold, 1);
  for (let z = 0; z <= limit[2]; z++) {
    for (let y = 0; y <= limit[1]; y++) {
      const from = (z * h + y) * w;
      const to = (z + 1) * step[2] + (y + 1) * step[1] + 1;
      for (let x = 0; x <= limit[0]; x++) if (v.cells[from + x]! >= least) full[to + x] = 1;
    }
  }
  for (let z = 0; z <= limit[2]; z++) {
    for (let y = 0; y <= limit[1]; y++) {
      const from = (z * h + y) * w;
      const to = (z + 1) * step[2] + (y + 1) * step[1] + 1;
      for (let x = 0; x <= limit[0]; x++) {
        const at = to + x;
        if (!full[at]) continue;
        for (let face = 0; face < 6; face++) {
          const [n, a, b] = sides[face >> 1]!;
          const out = at + (face & 1 ? step[n] : -step[n]);
          if (full[out]) continue;
          push(f, x, y, z, face, paint[from + x]!, shades(out, step[a], step[b]));
        }
      }
    }
  }
  return f;
}

// shades is how much light reaches the four corners of a face: 3 for all, 2 bits each. The neighbours of the cell in
// front of the face take it away.
function shades(out: number, a: number, b: number): number {
  let all = 0;
  for (let corner = 0; corner < 4; corner++) {
    const da = corner & 1 ? a : -a;
    const db = corner & 2 ? b : -b;
    const s = full[out + da]! + full[out + db]!;
    all |= (s === 2 ? 0 : 3 - s - full[out + da + db]!) << (2 * corner);
  }
  return all;
}

function slices(v: VolumeData, paint: Uint8Array, cut: Cut, f: Faces): Faces {
  const [d, h, w] = v.dims;
  const extent = [w, h, d] as const;
  for (const [n, a, b] of sides) {
    const p = [0, 0, 0];
    p[n] = Math.min(cut.at[n], extent[n] - 1);
    for (p[a] = 0; p[a] < extent[a]; p[a]++) {
      for (p[b] = 0; p[b] < extent[b]; p[b]++) {
        const [x, y, z] = p as [number, number, number];
        push(f, x, y, z, 2 * n + 1, paint[(z * h + y) * w + x]!, 255);
      }
    }
  }
  return f;
}

export interface Hit {
  cell: [number, number, number]; // x, y, z
  byte: number;
}

// pick returns the first cell that a ray meets, in units of cells, or null.
export function pick(v: VolumeData, cut: Cut, from: readonly number[], way: readonly number[]): Hit | null {
  const [d, h, w] = v.dims;
  const extent = [w, h, d] as const;
  const byte = (c: readonly number[]) => v.cells[(c[2]! * h + c[1]!) * w + c[0]!]!;
  if (cut.mode === "slices") {
    let best = Infinity;
    let hit: Hit | null = null;
    for (const [n, a, b] of sides) {
      const t = (Math.min(cut.at[n], extent[n] - 1) + 1 - from[n]!) / way[n]!;
      const cell: [number, number, number] = [0, 0, 0];
      cell[n] = Math.min(cut.at[n], extent[n] - 1);
      cell[a] = Math.floor(from[a]! + t * way[a]!);
      cell[b] = Math.floor(from[b]! + t * way[b]!);
      const inside = cell[a] >= 0 && cell[a] < extent[a] && cell[b] >= 0 && cell[b] < extent[b];
      if (!(t > 0) || t >= best || !inside) continue;
      best = t;
      hit = { cell, byte: byte(cell) };
    }
    return hit;
  }
  // Where the ray enters and leaves the part that is not cut away.
  let near = 0;
  let far = Infinity;
  for (let n = 0; n < 3; n++) {
    const end = Math.min(cut.at[n]!, extent[n]! - 1) + 1;
    const t0 = -from[n]! / way[n]!;
    const t1 = (end - from[n]!) / way[n]!;
    near = Math.max(near, Math.min(t0, t1));
    far = Math.min(far, Math.max(t0, t1));
  }
  if (!(near < far)) return null;
  const least = Math.max(cut.threshold, 1);
  const p = from.map((x, n) => x + (near + 1e-6) * way[n]!);
  const cell = p.map(Math.floor) as [number, number, number];
  const step = way.map((x) => (x < 0 ? -1 : 1));
  const next = way.map((x, n) => near + ((x < 0 ? cell[n]! : cell[n]! + 1) - p[n]!) / x);
  const delta = way.map((x) => Math.abs(1 / x));
  for (let t = near; t < far; ) {
    const inside = cell.every((c, n) => c >= 0 && c < extent[n]!);
    if (inside && byte(cell) >= least) return { cell, byte: byte(cell) };
    const n = next[0]! < next[1]! ? (next[0]! < next[2]! ? 0 : 2) : next[1]! < next[2]! ? 1 : 2;
    t = next[n]!;
    next[n]! += delta[n]!;
    cell[n]! += step[n]!;
  }
  return null;
}

// autoThreshold is where a volume's cells fall into two kinds: 1 if most are empty, Otsu's threshold otherwise.
export function autoThreshold(cells: Uint8Array): number {
  const counts = new Float64Array(256);
  for (let i = 0; i < cells.length; i++) counts[cells[i]!]!++;
  if (counts[0]! > 0.5 * cells.length) return 1;
  let all = 0;
  for (let i = 0; i < 256; i++) all += i * counts[i]!;
  let below = 0;
  let sum = 0;
  let best = 0;
  let at = 1;
  for (let i = 0; i < 255; i++) {
    below += counts[i]!;
    sum += i * counts[i]!;
    const above = cells.length - below;
    if (below === 0 || above === 0) continue;
    const between = below * above * (sum / below - (all - sum) / above) ** 2;
    if (between > best) {
      best = between;
      at = i + 1;
    }
  }
  return at;
}

// thinAxis is the axis (0: x, 1: y, 2: z) along which the contents of a volume are thinnest, or -1 if they are as thick
// along all.
export function thinAxis(v: VolumeData, threshold: number): 0 | 1 | 2 | -1 {
  const [d, h, w] = v.dims;
  const least = Math.max(threshold, 1);
  const extent = [w, h, d] as const;
  const lo = [w, h, d];
  const hi = [0, 0, 0];
  for (let z = 0, i = 0; z < d; z++) {
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++, i++) {
        if (v.cells[i]! < least) continue;
        for (let k = 0; k < 3; k++) {
          const p = k === 0 ? x : k === 1 ? y : z;
          if (p < lo[k]!) lo[k] = p;
          if (p > hi[k]!) hi[k] = p;
        }
      }
    }
  }
  const size = lo.map((x, k) => (hi[k]! + 1 - x) / extent[k]!);
  const thin = Math.min(...size);
  return thin > 0.75 * Math.max(...size) ? -1 : (size.indexOf(thin) as 0 | 1 | 2);
}
