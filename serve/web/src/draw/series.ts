// A bounded table of columns over time for uPlot: the oldest row leaves when a new one comes and the table is full.

export class Series {
  readonly capacity: number;
  readonly names: readonly string[];
  #time: number[] = [];
  #columns: (number | null)[][];

  constructor(names: readonly string[], capacity: number) {
    this.names = names;
    this.capacity = capacity;
    this.#columns = names.map(() => []);
  }

  get length(): number {
    return this.#time.length;
  }

  // push adds a row at a time in seconds. A time that is not later than the last one is left out.
  push(time: number, values: readonly (number | null | undefined)[]): void {
    if (!(time > (this.#time.at(-1) ?? -Infinity))) return;
    this.#time.push(time);
    this.#columns.forEach((c, i) => {
      const v = values[i];
      c.push(v === undefined || v === null || !Number.isFinite(v) ? null : v);
    });
    const over = this.#time.length - this.capacity;
    if (over > 0) {
      this.#time.splice(0, over);
      for (const c of this.#columns) c.splice(0, over);
    }
  }

  // data is what uPlot takes. It is new with each call, so that uPlot and hooks notice the change.
  data(): [number[], ...(number | null)[][]] {
    return [this.#time, ...this.#columns];
  }

  last(i: number): number | null {
    return this.#columns[i]?.at(-1) ?? null;
  }

  greatest(i: number): number | null {
    let most: number | null = null;
    for (const v of this.#columns[i] ?? []) if (v !== null && (most === null || v > most)) most = v;
    return most;
  }
}
