import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Signal } from "./signal.ts";

// useSignal renders the component again when the signal changes.
export function useSignal<T>(s: Signal<T>): T {
  const [, set] = useState(0);
  useEffect(() => s.listen(() => set((n) => n + 1)), [s]);
  return s.value;
}

const prefix = "voxelstream.";

// stored reads a setting of this browser; fallback where there is none or storage is not allowed.
export function stored<T>(key: string, fallback: T): T {
  try {
    const s = localStorage.getItem(prefix + key);
    return s === null ? fallback : (JSON.parse(s) as T);
  } catch {
    return fallback;
  }
}

export function store(key: string, value: unknown): void {
  try {
    localStorage.setItem(prefix + key, JSON.stringify(value));
  } catch {
    // Without storage, the setting lasts as long as the page.
  }
}

// useStored is useState whose value survives a reload.
export function useStored<T>(key: string, fallback: T): [T, (v: T) => void] {
  const [value, set] = useState<T>(() => stored(key, fallback));
  const change = useCallback(
    (v: T) => {
      store(key, v);
      set(v);
    },
    [key],
  );
  return [value, change];
}

// usePoll fetches something now and again every period (milliseconds) while the page is visible. The last good result
// stays while the server does not answer.
export function usePoll<T>(fetcher: (signal: AbortSignal) => Promise<T>, period: number, deps: unknown[] = []) {
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    const run = async () => {
      try {
        if (!document.hidden) {
          const v = await fetcher(abort.signal);
          if (abort.signal.aborted) return;
          setData(() => v);
          setError(null);
        }
      } catch (e) {
        if (abort.signal.aborted) return;
        setError(e as Error);
      }
      if (period > 0) timer = window.setTimeout(run, period);
    };
    void run();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [...deps, turn]);
  return { data, error, again: useCallback(() => setTurn((n) => n + 1), []) };
}

// useLatest holds the newest value for callbacks that live longer than a rendering.
export function useLatest<T>(value: T): { readonly current: T } {
  const ref = useRef(value);
  ref.current = value;
  return ref;
}

// useMedia tells whether a media query matches.
export function useMedia(q: string): boolean {
  const [matches, set] = useState(() => matchMedia(q).matches);
  useEffect(() => {
    const m = matchMedia(q);
    const f = () => set(m.matches);
    m.addEventListener("change", f);
    f();
    return () => m.removeEventListener("change", f);
  }, [q]);
  return matches;
}
