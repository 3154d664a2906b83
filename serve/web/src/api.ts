// Requests to the server. Every function rejects with an ApiError that carries the server's message.
import { decode, type Frame, type Message } from "./frame.ts";

export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

// request fetches a path below the page's own address.
export async function request(path: string, init?: RequestInit): Promise<Response> {
  let r: Response;
  try {
    r = await fetch(new URL(path, document.baseURI), init);
  } catch (e) {
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw new ApiError(0, "The server does not answer.");
  }
  if (r.ok) return r;
  let message = `${r.status} ${r.statusText}`;
  try {
    const body = (await r.json()) as { error?: unknown };
    if (typeof body.error === "string") message = body.error;
  } catch {
    // The body is not JSON: the status says it.
  }
  throw new ApiError(r.status, message);
}

export async function getJSON<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request(path, signal ? { signal } : undefined)).json() as Promise<T>;
}

export async function postJSON<T>(path: string, body: unknown): Promise<T> {
  const r = await request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return r.json() as Promise<T>;
}

export async function getFrame<H extends { type: string }>(path: string, init?: RequestInit): Promise<Message<H>> {
  return decode<H>(await (await request(path, init)).arrayBuffer());
}

export const query = (v: Record<string, string | number | undefined>): string =>
  new URLSearchParams(
    Object.entries(v).flatMap(([k, x]) => (x === undefined || x === "" ? [] : [[k, String(x)]])),
  ).toString();

export interface Status {
  build?: { version?: string; commit?: string };
  mode?: string;
  views?: string[];
  models?: unknown[];
  streams?: unknown[];
  authenticated?: boolean;
}

export interface TimelinePartition {
  partition: number;
  first: number; // the offset of the first classification
  next: number; // the offset after the last one
  first_time?: string;
  last_time?: string;
}

export interface Timeline {
  topic?: string;
  partitions: TimelinePartition[];
}

export type Direction = "next" | "previous";

export interface Find {
  partition: number;
  offset: number;
  direction: Direction;
  where?: "error" | "low" | "class" | undefined;
  class?: number | undefined;
  below?: number | undefined;
  time?: string | undefined;
}

export const api = {
  status: () => getJSON<Status>("api/status"),
  timeline: () => getJSON<Timeline>("api/timeline"),
  // frame returns the frame at an offset, or where there is none, the next or the previous one.
  frame: (partition: number, offset: number, direction: Direction = "next", signal?: AbortSignal): Promise<Frame> =>
    getFrame(`api/frame?${query({ partition, offset, direction })}`, signal ? { signal } : undefined),
  // find returns null if no offset matches. It goes on where the server's time ran out.
  find: async (f: Find): Promise<number | null> => {
    for (let offset = f.offset; ; ) {
      const r = await getJSON<{ offset: number | null; until: number; complete: boolean }>(
        `api/find?${query({ ...f, offset })}`,
      );
      const last = r.until - (f.direction === "next" ? 1 : -1); // r.until itself may not have been looked at
      if (r.offset !== null || r.complete || last === offset) return r.offset;
      offset = last;
      delete f.time; // it chose where to begin
    }
  },
};
