// History: every frame that the topic still holds. The timeline is the offsets of the classifications.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, type Find, type TimelinePartition } from "../api.ts";
import { className } from "../classes.ts";
import type { Frame } from "../frame.ts";
import { useLatest, usePoll, useSignal, useStored } from "../hooks.ts";
import { gone, offsetOf, Player } from "../player.ts";
import { replace, route } from "../route.ts";
import { Empty, Failure, IconButton, Pane, Segmented, Select, Slider } from "../ui/controls.tsx";
import { clock, count, percent } from "../ui/format.ts";
import { FrameView } from "../ui/frame-view.tsx";

const speeds = [0.5, 1, 2, 5, 10, 20, 30];

export default function History() {
  const timeline = usePoll(api.timeline, 2000);
  const parts = timeline.data?.partitions.filter((p) => p.next > p.first) ?? [];
  if (parts.length === 0) {
    return (
      <Empty title={timeline.error ? "The timeline cannot be read" : timeline.data ? "Nothing on the topic yet" : "Reading the timeline …"}>
        <p>{timeline.error?.message ?? "History shows every classification that the Kafka topic still holds."}</p>
      </Empty>
    );
  }
  return <Timeline parts={parts} />;
}

function Timeline({ parts }: { parts: TimelinePartition[] }) {
  const at = useSignal(route);
  const start = useMemo(() => place(at.query, parts), []);
  const [partition, setPartition] = useState(start.partition);
  const [offset, setOffset] = useState(start.offset);
  const [frame, setFrame] = useState<Frame | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [playing, setPlaying] = useState(false);
  const [direction, setDirection] = useState<1 | -1>(1);
  const [loop, setLoop] = useStored("history.loop", false);
  const [speed, setSpeed] = useStored("history.speed", 5);
  const current = parts.find((p) => p.partition === partition) ?? parts[0]!;
  const [first, last] = [current.first, current.next - 1];
  const player = useMemo(() => new Player(api), []);
  const latest = useLatest({ offset, first, last, playing, loop, speed, direction });

  useEffect(() => {
    player.onFrame = (f, wanted) => {
      setFrame(f);
      setOffset((o) => (o === wanted ? (offsetOf(f) ?? o) : o));
    };
    player.onError = setError;
    return () => player.close();
  }, [player]);

  useEffect(() => {
    player.open(partition);
    const step = latest.current.direction;
    void player.seek(offset, step);
    // While a person scrubs, every position would fetch its neighbours.
    const timer = window.setTimeout(() => player.prefetch(offset, step, first, last + 1), playing ? 0 : 150);
    const address = window.setTimeout(() => replace("history", { p: partition, o: offset }), 250);
    return () => {
      clearTimeout(timer);
      clearTimeout(address);
    };
  }, [partition, offset]);

  // A link to another frame, for instance from another view.
  useEffect(() => {
    if (at.view !== "history" || !at.query.has("o")) return;
    const to = place(at.query, parts);
    setPartition(to.partition);
    setOffset(to.offset);
  }, [at]);

  const go = useCallback((to: number) => {
    const { first: a, last: b } = latest.current;
    setOffset(Math.min(Math.max(Math.round(to), a), b));
  }, []);

  const step = useCallback((by: number) => {
    setPlaying(false);
    setDirection(by < 0 ? -1 : 1);
    go(latest.current.offset + by);
  }, []);

  // The next frame follows when the last one is drawn and its time is over.
  const drawnAt = useRef(0);
  const timer = useRef(0);
  const drawn = useCallback(() => {
    const l = latest.current;
    clearTimeout(timer.current);
    if (!l.playing) return;
    const wait = Math.max(0, 1000 / l.speed - (performance.now() - drawnAt.current));
    timer.current = window.setTimeout(() => {
      drawnAt.current = performance.now();
      const now = latest.current;
      if (now.offset < now.last) go(now.offset + 1);
      else if (now.loop && now.last > now.first) go(now.first);
      else setPlaying(false);
    }, wait);
  }, []);
  useEffect(() => {
    if (playing) {
      setDirection(1);
      if (latest.current.offset >= latest.current.last) go(latest.current.first);
      drawnAt.current = performance.now();
      drawn();
    }
    return () => clearTimeout(timer.current);
  }, [playing]);
  // A frame that cannot be shown does not stop the player.
  useEffect(() => {
    if (error) drawn();
  }, [error]);

  useEffect(() => {
    const keys = (e: KeyboardEvent) => {
      const t = e.target as HTMLElement;
      if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey) return;
      if (t.closest("input, select, textarea, [contenteditable]")) return;
      if (e.key === " " && t.closest("button, a, summary")) return;
      const l = latest.current;
      const actions: Record<string, () => void> = {
        " ": () => setPlaying(!l.playing),
        ArrowLeft: () => step(e.shiftKey ? -10 : -1),
        ArrowRight: () => step(e.shiftKey ? 10 : 1),
        j: () => step(-10),
        l: () => step(10),
        k: () => setPlaying(!l.playing),
        Home: () => step(l.first - l.offset),
        End: () => step(l.last - l.offset),
      };
      const action = actions[e.key];
      if (!action) return;
      e.preventDefault();
      action();
    };
    document.addEventListener("keydown", keys);
    return () => document.removeEventListener("keydown", keys);
  }, []);

  const time = frame?.header.time ?? frame?.header.classification?.time;
  return (
    <div class="history">
      <FrameView name="history" frame={frame} onDrawn={drawn}>
        <Jump partition={partition} offset={offset} names={frame?.header.class_names} onJump={(o) => (setPlaying(false), go(o))} />
      </FrameView>
      <section class="pane transport" aria-label="Timeline">
        <div class="scrub">
          <label for="scrubber" class="sr">
            Offset
          </label>
          <input
            id="scrubber"
            type="range"
            min={first}
            max={last}
            value={offset}
            aria-valuetext={`Offset ${offset}${time ? ", " + clock(time) : ""}`}
            onInput={(e) => {
              setPlaying(false);
              go(e.currentTarget.valueAsNumber);
            }}
          />
          <div class="ends">
            <span>
              {count(first)}
              {current.first_time ? <small> · {clock(current.first_time)}</small> : null}
            </span>
            <span class="now" data-offset={offset}>
              Offset {count(offset)}
              {time ? <small> · {clock(time)}</small> : null}
            </span>
            <span>
              {count(last)}
              {current.last_time ? <small> · {clock(current.last_time)}</small> : null}
            </span>
          </div>
        </div>
        <div class="buttons">
          <IconButton icon="first" label="First frame (Home)" onClick={() => step(first - offset)} />
          <IconButton icon="back" label="Previous frame (left arrow; ten with j)" disabled={offset <= first} onClick={() => step(-1)} />
          <IconButton
            icon={playing ? "pause" : "play"}
            label={playing ? "Pause (space)" : "Play (space)"}
            primary
            onClick={() => setPlaying(!playing)}
          />
          <IconButton icon="forward" label="Next frame (right arrow; ten with l)" disabled={offset >= last} onClick={() => step(1)} />
          <IconButton icon="last" label="Last frame (End)" onClick={() => step(last - offset)} />
          <IconButton icon="loop" label="Repeat" pressed={loop} onClick={() => setLoop(!loop)} />
          <Select
            label="Speed"
            hideLabel
            value={String(speed)}
            options={speeds.map((s) => ({ value: String(s), text: `${s} frames/s` }))}
            onChange={(v) => setSpeed(Number(v))}
          />
          {parts.length > 1 ? (
            <Select
              label="Partition"
              hideLabel
              value={String(partition)}
              options={parts.map((p) => ({
                value: String(p.partition),
                text: `Partition ${p.partition}: ${count(p.first)} to ${count(p.next - 1)}`,
              }))}
              onChange={(v) => {
                const p = parts.find((x) => String(x.partition) === v)!;
                setPlaying(false);
                setFrame(null);
                setPartition(p.partition);
                setOffset(p.next - 1);
              }}
            />
          ) : null}
          <span class="hint">
            <kbd>space</kbd> play <kbd>←</kbd> <kbd>→</kbd> step <kbd>j</kbd> <kbd>l</kbd> ten
          </span>
        </div>
        {gone(error) ? (
          <p class="failure" role="alert">
            Offset {offset}: {error!.message}
          </p>
        ) : (
          <Failure error={error} />
        )}
      </section>
    </div>
  );
}

// place reads partition and offset from the address. Without them: the newest frame of all partitions.
function place(q: URLSearchParams, parts: TimelinePartition[]): { partition: number; offset: number } {
  const wanted = parts.find((p) => q.get("p") === String(p.partition));
  const newest = (part: TimelinePartition): number => Date.parse(part.last_time ?? "") || 0;
  const p = wanted ?? parts.reduce((a, b) => (newest(b) > newest(a) ? b : a));
  const o = Number(q.get("o") ?? NaN);
  const offset = wanted && Number.isInteger(o) ? o : p.next - 1;
  return { partition: p.partition, offset: Math.min(Math.max(offset, p.first), p.next - 1) };
}

const wheres = [
  { value: "error", text: "Errors" },
  { value: "low", text: "Low confidence" },
  { value: "class", text: "A class" },
] as const;

function Jump(p: { partition: number; offset: number; names: string[] | undefined; onJump: (offset: number) => void }) {
  const [where, setWhere] = useStored<"error" | "low" | "class">("history.where", "error");
  const [below, setBelow] = useStored("history.below", 50);
  const [klass, setClass] = useStored("history.class", 0);
  const [time, setTime] = useState("");
  const [said, say] = useState("");
  const [busy, setBusy] = useState(false);

  const find = async (f: Omit<Find, "partition" | "offset">) => {
    setBusy(true);
    say("");
    try {
      const found = await api.find({ partition: p.partition, offset: p.offset, ...f });
      if (found === null) say(f.direction === "next" ? "None further on." : "None before.");
      else p.onJump(found);
    } catch (e) {
      say((e as Error).message);
    } finally {
      setBusy(false);
    }
  };
  const search = (direction: "next" | "previous") =>
    find({
      direction,
      where,
      ...(where === "class" ? { class: klass } : {}),
      ...(where === "low" ? { below: below / 100 } : {}),
    });

  return (
    <Pane title="Jump to">
      <div class="body jump">
        <Segmented label="What to look for" value={where} options={wheres} onChange={setWhere} />
        {where === "low" ? (
          <Slider label="Confidence below" min={5} max={100} step={5} value={below} text={percent(below / 100)} onInput={setBelow} />
        ) : null}
        {where === "class" && p.names?.length ? (
          <Select
            label="Class"
            value={String(klass)}
            options={p.names.map((_, k) => ({ value: String(k), text: className({ class_names: p.names! }, k) }))}
            onChange={(v) => setClass(Number(v))}
          />
        ) : where === "class" ? (
          <div class="field">
            <label for="jump-class">Number of the class</label>
            <input
              id="jump-class"
              type="number"
              min={0}
              value={klass}
              onInput={(e) => setClass(e.currentTarget.valueAsNumber || 0)}
            />
          </div>
        ) : null}
        <div class="pair">
          <button type="button" disabled={busy} onClick={() => search("previous")}>
            Previous
          </button>
          <button type="button" disabled={busy} onClick={() => search("next")}>
            Next
          </button>
        </div>
        <form
          class="pair"
          onSubmit={(e) => {
            e.preventDefault();
            if (time) void find({ direction: "next", time: new Date(time).toISOString() });
          }}
        >
          <label for="jump-time">
            The first one after
          </label>
          <input
            id="jump-time"
            type="datetime-local"
            step="1"
            value={time}
            onInput={(e) => setTime(e.currentTarget.value)}
          />
          <button type="submit" disabled={busy || !time}>
            Go
          </button>
        </form>
        <p class="muted" role="status">
          {said}
        </p>
      </div>
    </Pane>
  );
}
