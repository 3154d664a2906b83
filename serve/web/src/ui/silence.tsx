// What the page says while no frames arrive: that the source has ended, that the connection is lost, or for how long
// nothing has come.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { link } from "../link.ts";
import { href } from "../route.ts";
import type { Stream } from "../scene/data.ts";
import { streams } from "../streams.ts";
import { Empty } from "./controls.tsx";
import { clock, duration, plural, timeOfDay } from "./format.ts";
import { Icon } from "./icons.tsx";

const patience = 10_000; // milliseconds without a frame until the page says so
const pauses = 3; // a slow source may be silent for so many of its usual pauses
const grace = 1500; // milliseconds in which a lost connection may come back unnoticed

type State = "lost" | "ended" | "silent";

// stateOf is why no frames of a stream arrive, or null while nothing is unusual.
function stateOf(stream: Stream | undefined, now: number): State | null {
  if (link.lost && now - link.lost > grace) return "lost";
  if (streams.run?.ended) return "ended";
  const last = stream?.heard || opened;
  return now - last > Math.max(patience, pauses * (stream?.pause ?? 0)) ? "silent" : null;
}

const opened = performance.now();

// useNow is the time in milliseconds, once a second.
function useNow(): number {
  const [now, set] = useState(performance.now());
  useEffect(() => {
    const timer = setInterval(() => set(performance.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return Math.max(now, performance.now());
}

const since = (from: number, now: number): string => duration((now - from) / 1000);
const wall = (at: number, now: number): string => timeOfDay(new Date(Date.now() - (now - at)));

// Silence is the line above a stream of which no frames arrive.
export function Silence({ stream, paused }: { stream: Stream; paused: boolean }) {
  const now = useNow();
  const state = stateOf(stream, now);
  if (!state || (paused && state !== "lost")) return null;
  const last = stream.heard ? `The last one came at ${wall(stream.heard, now)}.` : "This is the newest one on the topic.";
  if (state === "lost") {
    return (
      <Notice state={state} title="Connection to the server lost" since={since(link.lost, now)}>
        Reconnecting … {stream.heard ? `The last frame came at ${wall(stream.heard, now)}.` : null}
      </Notice>
    );
  }
  if (state === "ended") {
    return (
      <Notice state={state} title="The source has ended">
        Everything was classified at {clock(streams.run!.ended)}. This is the last frame.
      </Notice>
    );
  }
  return (
    <Notice state={state} title="No frame" since={since(stream.heard || opened, now)}>
      {last} <Reason />
    </Notice>
  );
}

function Notice(p: { state: State; title: string; since?: string; children: ComponentChildren }) {
  return (
    <div class={`notice ${p.state}`} data-notice={p.state}>
      <Icon name={p.state === "ended" ? "last" : "warning"} />
      <p>
        <b>
          <span role="status">{p.title}</span>
          {p.since ? ` for ${p.since}` : null}.
        </b>{" "}
        {p.children}
      </p>
    </div>
  );
}

// Reason is what the server knows about why nothing comes.
function Reason() {
  const lag = streams.run?.lag?.reduce((a, l) => a + l.lag, 0) ?? 0;
  const dead = streams.run?.dead_letters ?? 0;
  return (
    <>
      {lag > 0 ? `${plural(lag, "message waits", "messages wait")} to be classified. ` : null}
      {dead > 0 ? (
        <>
          {plural(dead, "item")} could not be used: <a href={href("run")}>see the dead letters</a>.
        </>
      ) : null}
    </>
  );
}

// Waiting is what Live shows before the first frame.
export function Waiting() {
  const now = useNow();
  const state = stateOf(undefined, now);
  const { title, text } = {
    lost: { title: "Connection to the server lost", text: "Reconnecting …" },
    ended: { title: "The source has ended", text: "It has sent no volume that could be classified." },
    silent: {
      title: `Nothing received for ${since(opened, now)}`,
      text: "If a folder is watched, put a file into it. If a sensor sends to this machine, check its address, its port and the firewall.",
    },
    none: { title: "Waiting for the first frame", text: "It appears here as soon as the pipeline has classified a volume." },
  }[state ?? "none"];
  return (
    <div class="unstarted" data-notice={state ?? "waiting"}>
      <Empty title={title}>
        <p>{text}</p>
        <p>{state === "lost" ? null : <Reason />}</p>
      </Empty>
    </div>
  );
}
