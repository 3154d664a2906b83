// What the network says about a frame.
import { useRef } from "preact/hooks";
import { explained } from "../chosen.ts";
import { className, labelOf } from "../classes.ts";
import type { Frame } from "../frame.ts";
import { href } from "../route.ts";
import { Pane } from "./controls.tsx";
import { clock, percent, short } from "./format.ts";
import { Icon } from "./icons.tsx";

const mostBars = 10;

// Bars shows classes with their probabilities. While there are few classes they keep their order, so that nothing jumps.
export function Bars({ frame }: { frame: Frame }) {
  const seen = useRef({ digest: "", classes: new Set<number>() });
  const c = frame.header.classification!;
  if (seen.current.digest !== c.model.digest) seen.current = { digest: c.model.digest, classes: new Set() };
  for (const s of c.top_k) seen.current.classes.add(s.class);
  const few = seen.current.classes.size <= mostBars;
  const score = new Map(c.top_k.map((s) => [s.class, s.score]));
  const list = few ? [...seen.current.classes].sort((a, b) => a - b) : c.top_k.slice(0, mostBars).map((s) => s.class);
  const label = labelOf(frame.header);
  return (
    <ul class="bars" aria-label="Probability of each class">
      {list.map((k) => {
        const s = score.get(k);
        return (
          <li key={k} class={k === c.class ? "best" : ""}>
            <span class="name">
              {className(frame.header, k)}
              {k === label ? <span class="true" title="The label says so"> ✓<span class="sr"> (label)</span></span> : null}
            </span>
            <progress max={1} value={s ?? 0} aria-label={className(frame.header, k)} />
            <span class="score">{s === undefined ? "–" : percent(s)}</span>
          </li>
        );
      })}
    </ul>
  );
}

export function PredictionPane({ frame }: { frame: Frame | null }) {
  const c = frame?.header.classification;
  const label = frame ? labelOf(frame.header) : null;
  return (
    <Pane
      title="Prediction"
      class="prediction"
      note={c ? `${c.model.name} ${c.model.version}`.trim() : undefined}
      tools={c && frame.header.volume ? <WhyLink frame={frame} /> : null}
    >
      <div class="body">
        {!frame || !c ? (
          <p class="muted">No classification yet.</p>
        ) : (
          <>
            <p class={`answer${c.unfamiliar ? " unsure" : ""}`}>
              <span class={className(frame.header, c.class).length > 4 ? "class long" : "class"} data-prediction={c.class}>
                {className(frame.header, c.class)}
              </span>
              <span class="confidence">{percent(c.score)}</span>
            </p>
            {c.unfamiliar ? (
              <p class="verdict warn">
                <Icon name="warning" /> Unfamiliar: unlike anything the model was trained on
              </p>
            ) : null}
            {label === null ? null : label === c.class ? (
              <p class="verdict good">✓ The label agrees</p>
            ) : (
              <p class="verdict bad">✗ The label says {className(frame.header, label)}</p>
            )}
            <Bars frame={frame} />
            <Facts frame={frame} />
          </>
        )}
      </div>
    </Pane>
  );
}

// WhyLink opens the view Why about this frame.
function WhyLink({ frame }: { frame: Frame }) {
  const o = frame.header.offset;
  return (
    <a class="whylink" href={href("why", o ? { p: o.partition, o: o.offset } : {})} onClick={() => (explained.value = frame)}>
      Why?
    </a>
  );
}

// recent is the age in milliseconds up to which a frame is taken for one of a sensor. Older ones were recorded.
const recent = 60_000;
// firstDate is the first time, in milliseconds since 1970, that is taken for a date: recordings may count from 0.
const firstDate = 365 * 24 * 3600_000;

function Facts({ frame }: { frame: Frame }) {
  const h = frame.header;
  const c = h.classification!;
  const facts: [string, string, string?][] = [["Item", h.event_id]];
  const time = clock(h.time ?? c.time);
  const age = h.sent && h.time ? Date.parse(h.sent) - Date.parse(h.time) : NaN;
  if (Math.abs(age) < recent) {
    facts.push(["Measured", time]);
    facts.push(["Age", `${short(Math.max(age, 0))} ms`, "From the measurement until the frame was sent to this page"]);
  } else if (time) {
    const t = Date.parse(h.time ?? c.time ?? "");
    if (t < firstDate) facts.push(["Time", `${t / 1000} s`, "Since the beginning of the recording"]);
    else facts.push([h.sent ? "Recorded" : "Time", time]);
  }
  if (h.offset) facts.push(["Offset", `${h.offset.partition} / ${h.offset.offset}`]);
  if (c.latency_ms > 0) {
    facts.push(["Latency", `${short(c.latency_ms)} ms`, "From reading the volume from the topic to its classification"]);
  }
  if (c.energy !== undefined) facts.push(["Energy", short(c.energy)]);
  if (c.track) facts.push(["Track", `#${c.track}`]);
  return (
    <dl class="facts">
      {facts.map(([k, v, meaning]) => (
        <div key={k}>
          <dt title={meaning}>{k}</dt>
          <dd title={v}>{v}</dd>
        </div>
      ))}
    </dl>
  );
}
