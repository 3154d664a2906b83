// Grids of numbers (depth, height, width, channels, the last index fastest) and their planes.
import type { Part } from "../frame.ts";
import type { VolumeData } from "../scene/faces.ts";

export interface Grid {
  dims: [number, number, number];
  channels: number;
  values: ArrayLike<number>;
  lo: number;
  hi: number;
}

export type Axis = 0 | 1 | 2;
export const axisNames = ["z", "y", "x"] as const;

// range returns the least and the greatest finite value. Both are 0 if there is none.
export function range(values: ArrayLike<number>): [number, number] {
  let lo = Infinity;
  let hi = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!;
    if (v < lo) lo = v;
    if (v > hi) hi = v;
  }
  return lo <= hi ? [lo, hi] : [0, 0];
}

// ofVolume is a volume as a grid of its bytes.
export function ofVolume(v: VolumeData): Grid {
  return { dims: v.dims, channels: 1, values: v.cells, lo: 0, hi: 255 };
}

// ofPart is a part of shape (D, H, W) or (D, H, W, C).
export function ofPart(p: Part): Grid {
  const [d = 1, h = 1, w = 1, channels = 1] = p.shape;
  const [lo, hi] = range(p.data);
  return { dims: [d, h, w], channels, values: p.data, lo, hi };
}

// heatOf is a part of shape (D, H, W) whose range begins at 0, or lies evenly around it if there are negative values.
export function heatOf(p: Part): Grid {
  const g = ofPart(p);
  const most = Math.max(-g.lo, g.hi);
  return { ...g, lo: g.lo < 0 ? -most : 0, hi: most };
}

export interface Plane {
  width: number;
  height: number;
  // at returns the index of the cell at a pixel, without the channel. Row 0 is the top: z and y grow upwards.
  at: (x: number, y: number) => number;
}

// plane returns plane i across an axis of a grid.
export function plane(dims: [number, number, number], axis: Axis, i: number): Plane {
  const [d, h, w] = dims;
  switch (axis) {
    case 0: // x to the right, y upwards
      return { width: w, height: h, at: (x, y) => (i * h + (h - 1 - y)) * w + x };
    case 1: // x to the right, z upwards
      return { width: w, height: d, at: (x, y) => ((d - 1 - y) * h + i) * w + x };
    case 2: // y to the right, z upwards
      return { width: h, height: d, at: (x, y) => ((d - 1 - y) * h + x) * w + i };
  }
}

// fullest returns the plane across an axis with the greatest sum of deviations from the most common value, which is
// the plane worth showing first.
export function fullest(g: Grid, axis: Axis): number {
  const n = g.dims[axis];
  const empty = g.values[0] ?? 0;
  let best = n >> 1;
  let most = 0;
  for (let i = 0; i < n; i++) {
    const p = plane(g.dims, axis, i);
    let sum = 0;
    for (let y = 0; y < p.height; y++) {
      for (let x = 0; x < p.width; x++) sum += Math.abs(g.values[p.at(x, y) * g.channels]! - empty);
    }
    if (sum > most) [most, best] = [sum, i];
  }
  return best;
}

// flattest returns the axis along which the grid has the least extent, so that planes across it show the most.
export function flattest(g: Grid): Axis {
  const empty = g.values[0] ?? 0;
  const lo = [Infinity, Infinity, Infinity];
  const hi = [-Infinity, -Infinity, -Infinity];
  const [d, h, w] = g.dims;
  for (let z = 0, i = 0; z < d; z++) {
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++, i++) {
        if (g.values[i * g.channels] === empty) continue;
        [z, y, x].forEach((v, k) => {
          lo[k] = Math.min(lo[k]!, v);
          hi[k] = Math.max(hi[k]!, v);
        });
      }
    }
  }
  const extent = lo.map((v, k) => (hi[k]! - v + 1) / g.dims[k as Axis]);
  return extent.indexOf(Math.min(...extent)) as Axis;
}
