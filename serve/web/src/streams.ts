// The newest frame of each stream, and the last results. Both are bounded, however long the page stays open.
import { api } from "./api.ts";
import { className, labelOf } from "./classes.ts";
import type { Classification, Frame, FrameHeader, Offset } from "./frame.ts";
import { link } from "./link.ts";
import type { Stream } from "./scene/data.ts";
import type { Run } from "./shapes.ts";

const mostStreams = 48;
const mostResults = 400;

// Result is a line of the strip of the last classifications.
export interface Result {
  stream: string;
  classification: Classification;
  said: string; // the class that the network says
  truth: string | null; // the class that the label says
  offset: Offset | null;
}

class Streams {
  readonly all = new Map<string, Stream>();
  readonly results: Result[] = [];
  // dropped counts streams that were forgotten because there were too many.
  dropped = 0;
  #listeners = new Set<() => void>();
  // run is what the server said last.
  run: Run | null = null;
  #unacknowledged: Frame[] = [];

  constructor() {
    link.on<FrameHeader>("frame", (f) => this.#add(f));
    link.on<Run & { type: "run" }>("run", (f) => this.#count(f.header));
    link.reconnects.listen(() => (this.#unacknowledged = []));
  }

  listen(f: () => void): () => void {
    this.#listeners.add(f);
    return () => this.#listeners.delete(f);
  }

  // recall shows the newest frames that the topic holds, until the server sends some.
  async recall(): Promise<void> {
    if (this.all.size > 0) return;
    const timeline = await api.timeline();
    const newest = timeline.partitions.filter((p) => p.next > p.first);
    const frames = await Promise.all(newest.map((p) => api.frame(p.partition, p.next - 1, "previous")));
    if (this.all.size > 0) return;
    for (const f of frames) this.#add(f, false);
  }

  // drawn acknowledges every frame that was received so far. Without it, the server sends no more.
  drawn(): void {
    for (const f of this.#unacknowledged.splice(0)) link.ack(f);
  }

  // count finds what was left out after the newest frame of a stream: a burst may end before the next one is due. It also
  // learns how long a stream is silent, which a page that was opened since then cannot know.
  #count(run: Run): void {
    this.run = run;
    const [now, sent] = [performance.now(), Date.parse(run.time)];
    for (const { stream, n, last } of run.streams ?? []) {
      const s = this.all.get(stream);
      if (!s) continue;
      const newest = s.frame.header.number;
      if (n && newest) s.passed = Math.max(0, n - newest);
      if (!last || last === s.told) continue;
      s.told = last;
      if (s.passed || !s.heard) hear(s, now - (sent - Date.parse(last))); // else the newest frame was heard itself
    }
    for (const g of this.#listeners) g();
  }

  // add takes a frame. One that is not live was on the topic before the page was opened.
  #add(f: Frame, live = true): void {
    const name = f.header.stream;
    const now = performance.now();
    const s = this.all.get(name) ?? { name, frame: f, received: 0, skipped: 0, passed: 0, rate: 0, last: 0, heard: 0, told: "", pause: 0 };
    if (s.last) {
      const gap = Math.max(now - s.last, 1);
      const weight = 1 - Math.exp(-gap / 1000);
      s.rate += weight * (1000 / gap - s.rate);
    }
    s.frame = f;
    s.received++;
    s.skipped += f.header.skipped ?? 0;
    s.passed = 0;
    s.last = now;
    if (live) hear(s, now);
    this.all.set(name, s);
    if (this.all.size > mostStreams) {
      const oldest = [...this.all.values()].reduce((a, b) => (b.last < a.last ? b : a));
      this.all.delete(oldest.name);
      this.dropped++;
    }
    if (f.header.classification) {
      const label = labelOf(f.header);
      this.results.push({
        stream: name,
        classification: f.header.classification,
        said: className(f.header, f.header.classification.class),
        truth: label === null ? null : className(f.header, label),
        offset: f.header.offset,
      });
      if (this.results.length > mostResults) this.results.splice(0, this.results.length - mostResults);
    }
    if (live) this.#unacknowledged.push(f);
    for (const g of this.#listeners) g();
  }
}

// hear notes when a stream sent something, and how long it usually pauses: the longest pause, of which each frame forgets
// a tenth.
function hear(s: Stream, at: number): void {
  if (s.heard && at > s.heard) s.pause = Math.max(at - s.heard, 0.9 * s.pause);
  s.heard = at;
}

export const streams = new Streams();
