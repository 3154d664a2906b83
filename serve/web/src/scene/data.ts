// From frames to what the scenes show.
import { part, type Frame, type FrameHeader, type Message, type VolumeHeader } from "../frame.ts";
import type { VolumeData } from "./faces.ts";

// volumeOf reads the volume of a frame; channel chooses one of several values of a cell. It returns null if the frame
// has no volume.
export function volumeOf(m: Message<Pick<FrameHeader, "volume">>, channel = 0): VolumeData | null {
  const header = m.header.volume;
  const p = m.parts.get("volume");
  if (!header || !p) return null;
  const [d, h, w] = header.dims;
  const n = d * h * w;
  const channels = channelsOf(header, p.data.length);
  if (!(n > 0) || p.data.length < n * channels) return null;
  const bytes = p.data instanceof Uint8Array;
  let lo = header.lo ?? 0;
  let hi = header.hi ?? (bytes ? 255 : 1);
  if (!bytes && !(hi > lo)) [lo, hi] = extent(p.data as Float32Array);
  let cells: Uint8Array;
  if (bytes && channels === 1) cells = p.data as Uint8Array;
  else {
    cells = new Uint8Array(n);
    const scale = bytes ? 1 : 255 / (hi - lo || 1);
    const offset = bytes ? 0 : lo;
    const c = Math.min(channel, channels - 1);
    for (let i = 0; i < n; i++) {
      const v = (p.data[i * channels + c]! - offset) * scale;
      cells[i] = v > 0 ? Math.min(Math.ceil(v), 255) : 0;
    }
  }
  return { dims: [d, h, w], cells, lo, hi };
}

// channelsOf is the number of values of a cell.
export function channelsOf(header: VolumeHeader, values: number): number {
  return Math.max(1, Math.floor(values / (header.dims[0] * header.dims[1] * header.dims[2])));
}

function extent(v: Float32Array): [number, number] {
  let lo = Infinity;
  let hi = -Infinity;
  for (const x of v) {
    if (x < lo) lo = x;
    if (x > hi) hi = x;
  }
  return lo < hi ? [lo, hi] : [0, 1];
}

// projection draws the highest value along an axis (0: x, 1: y, 2: z) into an image, the first row at the bottom for z.
export function projection(v: VolumeData, axis: 0 | 1 | 2, colours: Uint8Array): ImageData {
  const [d, h, w] = v.dims;
  const size = [w, h, d] as const;
  const step = [1, w, w * h] as const;
  const [a, b] = ([[1, 2], [0, 2], [0, 1]] as const)[axis];
  const image = new ImageData(size[a], size[b]);
  for (let j = 0; j < size[b]; j++) {
    for (let i = 0; i < size[a]; i++) {
      let most = 0;
      let at = i * step[a] + j * step[b];
      for (let k = 0; k < size[axis]; k++, at += step[axis]) most = Math.max(most, v.cells[at]!);
      const o = 4 * ((size[b] - 1 - j) * size[a] + i);
      for (let c = 0; c < 4; c++) image.data[o + c] = colours[4 * most + c]!;
      if (most === 0) image.data[o + 3] = 0;
    }
  }
  return image;
}

// Points are quantized: metres = origin + scale * q.
export interface Points {
  q: Uint16Array;
  rgb: Uint8Array | undefined;
  origin: readonly [number, number, number];
  scale: readonly [number, number, number];
}

const fromDepth = new WeakMap<Frame, Points>();

// pointsOf returns the points of a frame. Those of a depth image are calculated by its camera, as x to the right, y
// forward and z up. It returns null if the frame has neither.
export function pointsOf(f: Frame): Points | null {
  const sensor = f.header.sensor;
  const q = part(f, "points", Uint16Array);
  const rgb = part(f, "rgb", Uint8Array);
  if (sensor && q) return { q, rgb, origin: sensor.origin ?? [0, 0, 0], scale: sensor.scale ?? [1, 1, 1] };
  const depth = part(f, "depth", Uint16Array);
  const width = f.parts.get("depth")?.shape[1] ?? 0;
  const camera = sensor?.camera;
  if (!depth || !camera || width === 0) return null;
  const known = fromDepth.get(f);
  if (known) return known;
  let count = 0;
  let far = 1;
  for (const d of depth) {
    if (d === 0) continue;
    count++;
    if (d > far) far = d;
  }
  const height = depth.length / width;
  const reach = (far / 1000) * Math.max(1, width / camera.fx, height / camera.fy);
  const step = (2 * reach) / 65535;
  const points = { q: new Uint16Array(3 * count), rgb: rgb && new Uint8Array(3 * count), origin: [-reach, -reach, -reach] as const, scale: [step, step, step] as const };
  for (let i = 0, n = 0; i < depth.length; i++) {
    const y = depth[i]! / 1000;
    if (y === 0) continue;
    points.q[3 * n] = (((i % width) - camera.cx) * y / camera.fx + reach) / step;
    points.q[3 * n + 1] = (y + reach) / step;
    points.q[3 * n + 2] = ((camera.cy - Math.floor(i / width)) * y / camera.fy + reach) / step;
    if (rgb) for (let c = 0; c < 3; c++) points.rgb![3 * n + c] = rgb[3 * i + c]!;
    n++;
  }
  fromDepth.set(f, points);
  return points;
}

export interface Stream {
  name: string;
  frame: Frame; // the newest
  received: number;
  skipped: number; // left out by the server before the newest, since the page was opened
  passed: number; // left out after the newest
  rate: number; // frames a second
  last: number; // when the newest came, in milliseconds
  heard: number; // when the pipeline classified its newest volume, as far as known; 0 before
  told: string; // when that was, as the server said last
  pause: number; // the usual time between two volumes, in milliseconds
}
