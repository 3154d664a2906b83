// Live: the newest frame of a stream, as fast as the browser can draw.
import { useEffect, useRef, useState } from "preact/hooks";
import { className } from "../classes.ts";
import { useSignal, useStored } from "../hooks.ts";
import { link } from "../link.ts";
import { href } from "../route.ts";
import { projection, volumeOf, type Stream } from "../scene/data.ts";
import { thinAxis } from "../scene/faces.ts";
import { lut } from "../scene/palette.ts";
import { streams } from "../streams.ts";
import { IconButton, Pane, Select } from "../ui/controls.tsx";
import { count, percent, plural, short } from "../ui/format.ts";
import { FrameView } from "../ui/frame-view.tsx";
import { Silence, Waiting } from "../ui/silence.tsx";
import { Strip } from "../ui/strip.tsx";

const budgets = [50_000, 200_000, 500_000, 1_000_000];
const rates = [1, 5, 10, 30, 60];

export default function Live() {
  const [, render] = useState(0);
  const [chosen, choose] = useStored("live.stream", "");
  const [points, setPoints] = useStored("live.points", 200_000);
  const [rate, setRate] = useStored("live.rate", 30);
  const [paused, setPaused] = useState<Stream | null>(null);
  const bad = useSignal(link.bad);

  useEffect(() => link.ask({ points, rate }), [points, rate]);
  useEffect(() => {
    let waiting = 0;
    const stop = streams.listen(() => (waiting ||= requestAnimationFrame(() => ((waiting = 0), render((n) => n + 1)))));
    streams.drawn(); // frames that came while another view was open
    const recall = window.setTimeout(() => streams.recall().catch(() => {}), 150); // a run without a topic has none
    return () => {
      clearTimeout(recall);
      stop();
      cancelAnimationFrame(waiting);
    };
  }, []);
  const active = paused ?? streams.all.get(chosen) ?? streams.all.values().next().value;
  const frame = active?.frame ?? null;
  // A frame of another stream changes nothing that FrameView would draw.
  const before = useRef(frame);
  useEffect(() => {
    if (before.current === frame || paused) streams.drawn();
    before.current = frame;
  });
  useAnnouncement(active);

  if (!frame || !active) return <Waiting />;
  const all = [...streams.all.values()];
  return (
    <div class="live">
      {all.length > 1 ? (
        <ul class="streams" aria-label="Streams">
          {all.map((s) => (
            <li key={s.name}>
              <StreamCard stream={s} selected={s.name === active.name} onClick={() => (choose(s.name), setPaused(null))} />
            </li>
          ))}
        </ul>
      ) : null}
      <Silence stream={active} paused={!!paused} />
      <FrameView name="live" frame={frame} onDrawn={() => streams.drawn()}>
        <Pane
          title="Pace"
          tools={
            <IconButton
              icon={paused ? "play" : "pause"}
              label={paused ? "Continue" : "Pause"}
              pressed={!!paused}
              onClick={() => setPaused(paused ? null : { ...active })}
            />
          }
        >
          <div class="body pace">
            <dl class="facts">
              <div>
                <dt>Shown</dt>
                <dd>
                  {plural(active.received, "frame")} <small>({short(Math.round(rateOf(active) * 10) / 10)}/s)</small>
                </dd>
              </div>
              <div>
                <dt>Left out</dt>
                <dd data-skipped={active.skipped + active.passed}>{plural(active.skipped + active.passed, "frame")}</dd>
              </div>
              {streams.dropped ? (
                <div>
                  <dt>Not listed</dt>
                  <dd>{plural(streams.dropped, "older stream")}</dd>
                </div>
              ) : null}
            </dl>
            <div class="two">
            <Select
              label="Max. frames/s"
              value={String(rate)}
              options={rates.map((r) => ({ value: String(r), text: String(r) }))}
              onChange={(v) => setRate(Number(v))}
            />
            <Select
              label="Max. points"
              value={String(points)}
              options={budgets.map((b) => ({ value: String(b), text: count(b) }))}
              onChange={(v) => setPoints(Number(v))}
            />
            </div>
            {frame.header.offset ? (
              <a href={href("history", { p: frame.header.offset.partition, o: frame.header.offset.offset })}>
                Look at this frame in History
              </a>
            ) : null}
            {bad ? <p class="failure">{bad}</p> : null}
          </div>
        </Pane>
      </FrameView>
      <Strip results={streams.results.filter((r) => r.stream === active.name)} most={80} />
    </div>
  );
}

// rateOf is the number of frames a second. It falls while none comes.
const rateOf = (s: Stream): number => Math.min(s.rate, 1000 / Math.max(performance.now() - s.last, 1));

// useAnnouncement tells screen readers the newest class, every three seconds at most.
function useAnnouncement(s: Stream | undefined): void {
  const c = s?.frame.header.classification;
  const text = c ? `${c.unfamiliar ? "Unfamiliar, perhaps " : ""}${className(s!.frame.header, c.class)}, ${percent(c.score)}` : "";
  const state = useRef({ said: "", at: 0 });
  useEffect(() => {
    const region = document.getElementById("announcement");
    const now = performance.now();
    if (!region || !text || text === state.current.said || now - state.current.at < 3000) return;
    state.current = { said: text, at: now };
    region.textContent = text;
  });
}

function StreamCard({ stream, selected, onClick }: { stream: Stream; selected: boolean; onClick: () => void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const last = useRef(0);
  const c = stream.frame.header.classification;
  useEffect(() => {
    const now = performance.now();
    const v = volumeOf(stream.frame);
    if (!v || !canvas.current || now - last.current < 200) return;
    last.current = now;
    const image = projection(v, Math.max(thinAxis(v, 1), 0) as 0 | 1 | 2, lut(stream.frame.header.volume?.palette ?? "viridis"));
    canvas.current.width = image.width;
    canvas.current.height = image.height;
    canvas.current.getContext("2d")?.putImageData(image, 0, 0);
  });
  return (
    <button type="button" class="plain card" aria-pressed={selected} onClick={onClick}>
      <canvas ref={canvas} aria-hidden="true" />
      <span>
        <span class="stream">{stream.name}</span>
        <span class="result">
          {c ? `${className(stream.frame.header, c.class)} · ${percent(c.score)}` : "no classification"}
          {c?.unfamiliar ? " · unfamiliar" : ""}
        </span>
      </span>
    </button>
  );
}
