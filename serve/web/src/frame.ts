// The binary frame (Go: serve/frame). "VXF1", the length of the header (uint32, little endian), the header as JSON,
// padded with spaces to a multiple of 8 bytes, then the parts. Parts are views of the received buffer: nothing is copied.

export type Typed = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float32Array;

export interface Part<T extends Typed = Typed> {
  name: string;
  shape: number[];
  data: T;
}

export interface Score {
  class: number;
  score: number;
}

export interface Box {
  center: [number, number, number];
  size: [number, number, number];
  yaw: number;
}

// Classification is a record of the topic "classifications".
export interface Classification {
  event_id: string;
  stream: string;
  seq: number;
  object?: number;
  view?: number;
  time?: string;
  model: { name: string; version: string; digest: string };
  class: number;
  name?: string;
  score: number;
  top_k: Score[];
  label?: number;
  latency_ms: number;
  box?: Box;
  track?: number;
  energy?: number;
  unfamiliar?: boolean;
}

// VolumeHeader describes the part "volume": (D, H, W, C), the last index fastest. D, H, W are z, y, x.
export interface VolumeHeader {
  dims: [number, number, number];
  content: string;
  palette?: string;
  colours?: string; // 256 x RGB in base64
  lo?: number;
  hi?: number;
  origin?: [number, number, number];
  edge?: number;
}

export interface Field {
  name: string;
  lo: number;
  hi: number;
  unit?: string;
}

export interface SensorHeader {
  kind: "cloud" | "depth" | "image" | "none";
  points?: number;
  total?: number;
  origin?: [number, number, number];
  scale?: [number, number, number];
  fields?: Field[];
  camera?: { fx: number; fy: number; cx: number; cy: number }; // of the part "depth", in pixels
}

export interface Offset {
  topic: string;
  partition: number;
  offset: number;
}

export interface FrameHeader {
  type: "frame";
  n?: number; // what the acknowledgement names
  number?: number; // of the frame in its stream, with those that were left out
  event_id: string;
  stream: string;
  seq: number;
  object?: number;
  time?: string;
  sent?: string; // by the server's clock; a live frame has it
  offset: Offset | null;
  classification?: Classification | null;
  label?: number | null;
  class_names?: string[];
  volume?: VolumeHeader | null;
  missing?: string; // why there is no volume
  sensor?: SensorHeader | null;
  boxes?: SensorBox[];
  skipped?: number;
  left_out?: number;
}

export interface SensorBox extends Box {
  track?: number;
  class?: number;
  name?: string;
  score?: number;
  object?: number;
}

// Message is a decoded frame of any type. H is its header.
export interface Message<H = { type: string }> {
  header: H;
  parts: Map<string, Part>;
}

export type Frame = Message<FrameHeader>;

const magic = 0x31465856; // "VXF1"
const maxHeader = 16 << 20;

const types = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, i32: Int32Array, f32: Float32Array } as const;

interface PartHeader {
  name: string;
  type: keyof typeof types;
  shape: number[];
  at: number;
  bytes: number;
}

const text = new TextDecoder("utf-8", { fatal: true });

// decode reads a frame. It throws an Error that says what is wrong with it.
export function decode<H extends { type: string }>(buffer: ArrayBuffer): Message<H> {
  return decodeAt<H>(buffer, 0).message;
}

// decodeAll reads frames that follow one another.
export function decodeAll<H extends { type: string }>(buffer: ArrayBuffer): Message<H>[] {
  const all: Message<H>[] = [];
  for (let at = 0; at < buffer.byteLength; ) {
    const { message, end } = decodeAt<H>(buffer, at);
    all.push(message);
    at = end;
  }
  return all;
}

function decodeAt<H extends { type: string }>(buffer: ArrayBuffer, from: number): { message: Message<H>; end: number } {
  if (buffer.byteLength - from < 8) throw new Error(`frame: found ${buffer.byteLength - from} bytes, want at least 8`);
  const view = new DataView(buffer, from);
  if (view.getUint32(0, true) !== magic) throw new Error("frame: it does not begin with VXF1");
  const length = view.getUint32(4, true);
  if (length > maxHeader || from + 8 + length > buffer.byteLength) {
    throw new Error(`frame: found a header of ${length} bytes in a frame of ${buffer.byteLength} bytes`);
  }
  const header = JSON.parse(text.decode(new Uint8Array(buffer, from + 8, length))) as H & { parts?: PartHeader[] };
  const start = from + 8 + length;
  let end = start;
  const parts = new Map<string, Part>();
  for (const p of header.parts ?? []) {
    const type = types[p.type];
    if (!type) throw new Error(`frame: part ${p.name}: found type ${p.type}`);
    const count = p.shape.reduce((a, b) => a * b, 1);
    if (count * type.BYTES_PER_ELEMENT !== p.bytes || !(p.at >= 0) || start + p.at + p.bytes > buffer.byteLength) {
      throw new Error(`frame: part ${p.name}: found shape ${p.shape.join("x")} in ${p.bytes} bytes at ${p.at}`);
    }
    if ((start + p.at) % type.BYTES_PER_ELEMENT !== 0) throw new Error(`frame: part ${p.name}: it is not aligned`);
    parts.set(p.name, { name: p.name, shape: p.shape, data: new type(buffer, start + p.at, count) });
    end = Math.max(end, start + Math.ceil((p.at + p.bytes) / 8) * 8);
  }
  return { message: { header, parts }, end };
}

// encode is the opposite of decode, for requests such as /api/explain.
export function encode(header: object, parts: Iterable<Part>): Uint8Array<ArrayBuffer> {
  const heads: PartHeader[] = [];
  const list = [...parts];
  let at = 0;
  for (const p of list) {
    const type = (Object.keys(types) as (keyof typeof types)[]).find((k) => p.data instanceof types[k]) ?? "u8";
    heads.push({ name: p.name, type, shape: p.shape, at, bytes: p.data.byteLength });
    at += Math.ceil(p.data.byteLength / 8) * 8;
  }
  let json = new TextEncoder().encode(JSON.stringify({ ...header, parts: heads }));
  const length = Math.ceil(json.length / 8) * 8;
  const out = new Uint8Array(8 + length + at);
  new DataView(out.buffer).setUint32(0, magic, true);
  new DataView(out.buffer).setUint32(4, length, true);
  out.fill(0x20, 8, 8 + length);
  out.set(json, 8);
  list.forEach((p, i) => {
    out.set(new Uint8Array(p.data.buffer, p.data.byteOffset, p.data.byteLength), 8 + length + heads[i]!.at);
  });
  return out;
}

// part returns a part of a certain type, or undefined if the frame has none.
export function part<T extends Typed>(m: Message<unknown>, name: string, type: new (...a: never[]) => T): T | undefined {
  const p = m.parts.get(name);
  return p?.data instanceof type ? p.data : undefined;
}
