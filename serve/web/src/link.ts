// The WebSocket to the server: frames in, hello and acknowledgements out. It reconnects by itself.
import { decode, type Message } from "./frame.ts";
import { Signal } from "./signal.ts";

export type LinkState = "connecting" | "open" | "waiting";

export interface Hello {
  streams: string[];
  points: number; // most points of a cloud in a frame
  rate: number; // most frames a second and stream
}

type Handler = (m: Message<never>) => void;

const shortest = 250;
const longest = 5000; // milliseconds between attempts
const silence = 10_000; // milliseconds: the server sends a frame of type "run" each second

export class Link {
  readonly state = new Signal<LinkState>("connecting");
  // lost is when the connection was lost, or when the page was opened if there was none yet; 0 while there is one.
  lost = performance.now();
  // reconnects counts connections after the first.
  readonly reconnects = new Signal(0);
  // bad is what was wrong with the last frame that could not be read; "" if there was none.
  readonly bad = new Signal("");
  #url: string;
  #socket: WebSocket | null = null;
  #hello: Hello = { streams: ["*"], points: 200_000, rate: 30 };
  #handlers = new Map<string, Set<Handler>>();
  #delay = shortest;
  #watch = 0;
  #opened = 0;

  constructor(url: string) {
    this.#url = url;
    this.#connect();
  }

  // on calls f with every frame of a type, until the returned function is called.
  on<H extends { type: string }>(type: H["type"], f: (m: Message<H>) => void): () => void {
    const set = this.#handlers.get(type) ?? new Set();
    this.#handlers.set(type, set.add(f as Handler));
    return () => set.delete(f as Handler);
  }

  get hello(): Hello {
    return this.#hello;
  }

  // ask changes what the server sends.
  ask(change: Partial<Hello>): void {
    const next = { ...this.#hello, ...change };
    if (JSON.stringify(next) === JSON.stringify(this.#hello)) return;
    this.#hello = next;
    this.#sayHello();
  }

  // ack tells the server that a frame was drawn: it may send the next one of the stream.
  ack(m: Message<{ n?: number }>): void {
    this.#send({ type: "ack", n: m.header.n ?? 0 });
  }

  #connect(): void {
    this.state.value = "connecting";
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#delay = shortest;
      if (this.#opened++ > 0) this.reconnects.value++;
      this.#sayHello();
      this.lost = 0;
      this.state.value = "open";
      this.#heard();
    };
    socket.onmessage = (e: MessageEvent<ArrayBuffer | string>) => {
      if (this.#socket !== socket) return;
      this.#heard();
      if (typeof e.data !== "string") this.#receive(e.data);
    };
    socket.onclose = () => {
      if (this.#socket === socket) this.#retry();
    };
  }

  // heard notes that the server is there. Without a network, a connection stays open that carries nothing.
  #heard(): void {
    clearTimeout(this.#watch);
    this.#watch = window.setTimeout(() => {
      const socket = this.#socket;
      this.#retry();
      socket?.close();
    }, silence);
  }

  #retry(): void {
    clearTimeout(this.#watch);
    this.#socket = null;
    this.lost ||= performance.now();
    this.state.value = "waiting";
    window.setTimeout(() => this.#connect(), this.#delay * (0.75 + Math.random() / 2));
    this.#delay = Math.min(this.#delay * 2, longest);
  }

  #receive(buffer: ArrayBuffer): void {
    let m: Message<{ type: string }>;
    try {
      m = decode(buffer);
    } catch (e) {
      this.bad.value = String(e);
      return;
    }
    for (const f of this.#handlers.get(m.header.type) ?? []) f(m as Message<never>);
  }

  #sayHello(): void {
    this.#send({ type: "hello", ...this.#hello });
  }

  #send(v: object): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(v));
  }
}

// link is the page's one connection.
export const link = new Link(new URL("live", document.baseURI).href.replace(/^http/, "ws"));
