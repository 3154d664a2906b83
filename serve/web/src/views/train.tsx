// Training: progress, curves, and the samples that the network gets most wrong.
import { useEffect, useMemo, useState } from "preact/hooks";
import { getFrame } from "../api.ts";
import { explained } from "../chosen.ts";
import { flattest, fullest, ofPart } from "../draw/grid.ts";
import { PlaneView } from "../draw/plane.tsx";
import type { Frame, Message } from "../frame.ts";
import { usePoll, useStored } from "../hooks.ts";
import { link } from "../link.ts";
import { href } from "../route.ts";
import { lut } from "../scene/palette.ts";
import type { Epoch, Train, WrongSample } from "../shapes.ts";
import { Chart, type Series } from "../ui/chart.tsx";
import { Empty, Failure, Pane, Slider, Toggle } from "../ui/controls.tsx";
import { count, duration, percent, plural, short } from "../ui/format.ts";
import { Tiles, type Tile } from "../ui/tiles.tsx";

type TrainMessage = Message<Train & { type: "train" }>;

export default function TrainView() {
  const polled = usePoll((signal) => getFrame<Train & { type: "train" }>("api/train", { signal }), 10_000);
  const [message, setMessage] = useState<TrainMessage | null>(null);
  const [smooth, setSmooth] = useStored("train.smooth", 0);
  const [log, setLog] = useStored("train.log", false);
  useEffect(() => link.on<Train & { type: "train" }>("train", setMessage), []);
  const m = message ?? polled.data;
  const history = m?.header.history;
  const curves = useMemo(() => (history ? curvesOf(history, smooth) : null), [history, smooth]);
  if (!m || !curves) {
    return (
      <>
        <Failure error={polled.error} />
        <Empty title="Nothing is being trained">
          <code>voxelstream train DATA --http :8080</code> shows its curves here, and so does the log of an earlier
          training.
        </Empty>
      </>
    );
  }
  const t = m.header;
  const validated = t.history.some((e) => e.val_loss != null);
  const pair = (colour: string): Series[] => [
    { label: "training", colour },
    ...(validated ? [{ label: "validation", colour: "c2", dash: [6, 4] }] : []),
  ];
  const pick = (a: keyof typeof curves, b: keyof typeof curves) =>
    (validated ? [curves.epoch, curves[a], curves[b]] : [curves.epoch, curves[a]]) as [number[], ...(number | null)[][]];
  return (
    <div class="view-train">
      <Failure error={t.error ? new Error(t.error) : null} />
      <Progress t={t} />
      <Tiles label="Training" tiles={tiles(t)} />
      <div class="columns three">
        <Pane
          title="Loss"
          note={t.best ? `best epoch: ${t.best}` : ""}
          tools={<Toggle label="Logarithm" value={log} onChange={setLog} />}
        >
          <div class="body">
            <Chart
              label={spoken("Loss", t.history, "loss", "val_loss")}
              data={log ? logged(pick("loss", "val_loss")) : pick("loss", "val_loss")}
              series={pair("c1")}
              xLabel="epoch"
              {...(log ? { yLabel: "log₁₀ of the loss" } : { yRange: [0, null] })}
            />
            <Slider label="Smoothing" value={smooth} min={0} max={0.95} step={0.05} text={percent(smooth)} onInput={setSmooth} />
          </div>
        </Pane>
        <Pane title="Accuracy">
          <div class="body">
            <Chart
              label={spoken("Accuracy", t.history, "accuracy", "val_accuracy")}
              data={pick("accuracy", "val_accuracy")}
              series={pair("c1")}
              xLabel="epoch"
              yRange={[null, 1]}
              format={percent}
            />
          </div>
        </Pane>
        {curves.rate.some((r) => r !== null) ? (
          <Pane title="Learning rate">
            <div class="body">
              <Chart
                label={`Learning rate by epoch, now ${short(t.learning_rate ?? 0)}`}
                data={[curves.epoch, curves.rate]}
                series={[{ label: "learning rate", colour: "c3" }]}
                xLabel="epoch"
                format={(v) => v.toExponential(1)}
              />
            </div>
          </Pane>
        ) : null}
        {t.wrong?.length ? <Wrong m={m} wrong={t.wrong} /> : null}
      </div>
    </div>
  );
}

interface Curves {
  epoch: number[];
  loss: (number | null)[];
  val_loss: (number | null)[];
  accuracy: (number | null)[];
  val_accuracy: (number | null)[];
  rate: (number | null)[];
}

// curvesOf turns rows to columns. Smoothing is an exponential moving average that starts at the first value.
function curvesOf(history: Epoch[], smooth: number): Curves {
  const column = (get: (e: Epoch) => number | null | undefined): (number | null)[] => {
    let mean: number | null = null;
    return history.map((e) => {
      const v = get(e) ?? null;
      if (v === null) return null;
      mean = mean === null ? v : smooth * mean + (1 - smooth) * v;
      return mean;
    });
  };
  return {
    epoch: history.map((e) => e.epoch),
    loss: column((e) => e.loss),
    val_loss: column((e) => e.val_loss),
    accuracy: column((e) => e.accuracy),
    val_accuracy: column((e) => e.val_accuracy),
    rate: history.map((e) => e.learning_rate ?? null),
  };
}

const logged = ([x, ...ys]: [number[], ...(number | null)[][]]): [number[], ...(number | null)[][]] => [
  x,
  ...ys.map((y) => y.map((v) => (v !== null && v > 0 ? Math.log10(v) : null))),
];

function spoken(what: string, history: Epoch[], train: "loss" | "accuracy", validation: "val_loss" | "val_accuracy"): string {
  const last = history.at(-1);
  if (!last) return what;
  const v = last[validation];
  return `${what} by epoch. Epoch ${last.epoch}: ${short(last[train] ?? 0)} in training${v == null ? "" : `, ${short(v)} in validation`}`;
}

function Progress({ t }: { t: Train }) {
  const done = t.state === "running" ? (t.epoch - 1 + (t.rows ? t.row / t.rows : 0)) / t.epochs : 1;
  const left = t.eta_seconds === undefined ? "" : `, ${duration(t.eta_seconds)} left`;
  const text = {
    running: `Epoch ${t.epoch} of ${t.epochs}${left}`,
    done: `Finished after ${plural(t.history.length, "epoch")}`,
    stopped: `Stopped in epoch ${t.epoch} of ${t.epochs}`,
    failed: "Training failed",
  }[t.state];
  return (
    <div class="progress">
      <p role="status">
        <b>{text}</b>
        {t.elapsed_seconds ? <span> · {duration(t.elapsed_seconds)} so far</span> : null}
      </p>
      {t.state === "running" ? <progress aria-label="Progress of the training" max={1} value={done} /> : null}
    </div>
  );
}

function tiles(t: Train): Tile[] {
  const last = t.history.at(-1);
  const figure = (name: string, value: number | null | undefined, text: (v: number) => string): Tile[] =>
    value == null ? [] : [{ name, value: text(value) }];
  return [
    ...figure("Loss", last?.loss, short),
    ...figure("Accuracy", last?.accuracy, percent),
    ...figure("Validation loss", last?.val_loss, short),
    ...figure("Validation accuracy", last?.val_accuracy, percent),
    ...figure("Learning rate", t.learning_rate ?? last?.learning_rate, short),
    ...figure("Rows per second", t.rows_per_second, (v) => count(Math.round(v))),
  ];
}

function Wrong({ m, wrong }: { m: TrainMessage; wrong: WrongSample[] }) {
  const name = (k: number) => m.header.classes?.[k] || String(k);
  return (
    <Pane title="Most wrong" note="confident, and not the label" class="wide">
      <ul class="body gallery">
        {wrong.map((w) => (
          <li key={w.row}>
            <Thumb m={m} w={w} />
            <p>
              <b>{name(w.label)}</b>
              <span class="note">
                classified as {name(w.class)}, {percent(w.score)}
              </span>
              <span class="note">row {count(w.row)}</span>
            </p>
            <Why m={m} w={w} />
          </li>
        ))}
      </ul>
    </Pane>
  );
}

// Why opens the view Why about a sample.
function Why({ m, w }: { m: TrainMessage; w: WrongSample }) {
  const p = w.part ? m.parts.get(w.part) : undefined;
  if (!p || !w.volume) return null;
  const { model, classes } = m.header;
  const frame: Frame = {
    header: {
      type: "frame",
      event_id: w.event_id ?? `row ${w.row}`,
      stream: "",
      seq: w.row,
      offset: null,
      label: w.label,
      volume: w.volume,
      classification: {
        event_id: w.event_id ?? "",
        stream: "",
        seq: w.row,
        model: { name: model ?? "", version: "", digest: "" },
        class: w.class,
        score: w.score,
        top_k: [{ class: w.class, score: w.score }],
        latency_ms: 0,
        ...(w.name ? { name: w.name } : {}),
      },
      ...(classes ? { class_names: classes } : {}),
    },
    parts: new Map([["volume", { ...p, name: "volume" }]]),
  };
  return (
    <a class="whylink" href={href("why")} onClick={() => (explained.value = frame)} aria-label={`Why row ${w.row}?`}>
      Why?
    </a>
  );
}

function Thumb({ m, w }: { m: TrainMessage; w: WrongSample }) {
  const p = w.part ? m.parts.get(w.part) : undefined;
  const grid = useMemo(() => (p ? ofPart(p) : null), [p]);
  if (!grid) return null;
  const axis = flattest(grid);
  return <PlaneView grid={grid} axis={axis} at={fullest(grid, axis)} ramp={lut("Oranges")} label={`Volume of row ${w.row}`} />;
}
