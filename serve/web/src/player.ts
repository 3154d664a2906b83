// Plays the frames of a partition: fetches them ahead, keeps some, and asks for one at a time while a person scrubs.
import { ApiError, type Direction } from "./api.ts";
import type { Frame } from "./frame.ts";

const mostBytes = 96 << 20;
const ahead = 6;

export interface Source {
  frame(partition: number, offset: number, direction: Direction, signal?: AbortSignal): Promise<Frame>;
}

export class Player {
  // onFrame gets the frame to show, and the offset that was wanted. Where there is no frame, it gets one beside it.
  onFrame: (f: Frame, wanted: number) => void = () => {};
  // onError gets what went wrong with the offset that is wanted, or null.
  onError: (e: Error | null) => void = () => {};

  #source: Source;
  #partition = 0;
  #cache = new Map<number, Frame>();
  #bytes = 0;
  #wanted = -1;
  #step = 1;
  #loading = new Map<number, Promise<Frame>>();
  #abort = new AbortController();
  #busy = false;

  constructor(source: Source) {
    this.#source = source;
  }

  // open chooses a partition and forgets the frames of others.
  open(partition: number): void {
    if (partition === this.#partition) return;
    this.close();
    this.#abort = new AbortController();
    this.#partition = partition;
  }

  close(): void {
    this.#abort.abort();
    this.#cache.clear();
    this.#loading.clear();
    this.#bytes = 0;
    this.#wanted = -1;
    this.#busy = false;
  }

  // seek shows the frame at an offset, or the nearest one in the direction of step, 1 or -1. If another is being fetched,
  // only the newest wanted one follows.
  async seek(offset: number, step: number): Promise<void> {
    this.#step = step;
    this.#wanted = offset;
    const have = this.#cache.get(offset);
    if (have) {
      this.onError(null);
      this.onFrame(have, offset);
      return;
    }
    if (this.#busy) return;
    this.#busy = true;
    const abort = this.#abort;
    try {
      for (let now = offset; ; now = this.#wanted) {
        try {
          const f = await this.#load(now, this.#step);
          if (abort.signal.aborted) return;
          this.onError(null);
          this.onFrame(f, now);
        } catch (e) {
          if (abort.signal.aborted) return;
          if (now === this.#wanted) this.onError(e as Error);
        }
        if (now === this.#wanted) return;
      }
    } finally {
      if (this.#abort === abort) this.#busy = false;
    }
  }

  // prefetch loads the frames that come next in a direction.
  prefetch(from: number, step: number, first: number, next: number): void {
    for (let i = 1; i <= ahead; i++) {
      const o = from + i * step;
      if (o < first || o >= next || this.#cache.has(o)) continue;
      this.#load(o, step).catch(() => {}); // seek reports it if it is wanted
    }
  }

  has(offset: number): boolean {
    return this.#cache.has(offset);
  }

  #load(offset: number, step: number): Promise<Frame> {
    const have = this.#cache.get(offset);
    if (have) return Promise.resolve(have);
    const loading = this.#loading.get(offset);
    if (loading) return loading;
    const abort = this.#abort;
    const p = this.#source.frame(this.#partition, offset, step < 0 ? "previous" : "next", abort.signal).then((f) => {
      if (!abort.signal.aborted) this.#keep(offsetOf(f) ?? offset, f);
      return f;
    });
    this.#loading.set(offset, p);
    return p.finally(() => {
      if (this.#abort === abort) this.#loading.delete(offset);
    });
  }

  #keep(offset: number, f: Frame): void {
    this.#cache.set(offset, f);
    this.#bytes += size(f);
    for (const [o, old] of this.#cache) {
      if (this.#bytes <= mostBytes || o === offset) break;
      this.#cache.delete(o);
      this.#bytes -= size(old);
    }
  }
}

// offsetOf is the offset of a frame, which may not be the one that was asked for.
export const offsetOf = (f: Frame): number | undefined => f.header.offset?.offset;

// size is that of the message that the frame's parts are views of.
function size(f: Frame): number {
  for (const p of f.parts.values()) return p.data.buffer.byteLength;
  return 0;
}

// gone tells whether the topic no longer holds an offset, or its volume.
export const gone = (e: Error | null): boolean => e instanceof ApiError && (e.status === 404 || e.status === 410);
