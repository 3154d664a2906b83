// A value with listeners. Components follow it with useSignal (hooks.ts).
export class Signal<T> {
  #value: T;
  #listeners = new Set<(v: T) => void>();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set value(v: T) {
    if (Object.is(v, this.#value)) return;
    this.#value = v;
    for (const f of this.#listeners) f(v);
  }

  // listen calls f on each change, until the returned function is called.
  listen(f: (v: T) => void): () => void {
    this.#listeners.add(f);
    return () => this.#listeners.delete(f);
  }
}
