// What the pipeline does: throughput, latency, lag, losses, and what the network says over time.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { getJSON } from "../../api.ts";
import { Series } from "../../draw/series.ts";
import type { Message } from "../../frame.ts";
import { usePoll } from "../../hooks.ts";
import { link } from "../../link.ts";
import type { Run } from "../../shapes.ts";
import { Bars } from "../../ui/bars.tsx";
import { Chart, type Series as Line } from "../../ui/chart.tsx";
import { Confusion } from "../../ui/confusion.tsx";
import { Empty, Failure, Pane, Segmented } from "../../ui/controls.tsx";
import { clock, count, percent, plural, short } from "../../ui/format.ts";
import { Tiles, type Tile } from "../../ui/tiles.tsx";
import { DeadLetters } from "./letters.tsx";

const span = 300; // rows of a second: five minutes
const mostPartitions = 6; // lines in the chart of the lag
const tokens = ["c1", "c2", "c3", "c4", "c5", "c6"];

// lines gives each name a colour. After six names they are dashed.
const lines = (names: readonly string[]): Line[] =>
  names.map((label, i) => ({
    label,
    colour: tokens[i % tokens.length]!,
    ...(i < tokens.length ? {} : { dash: [5, 4] }),
  }));

type Quantile = "p50_ms" | "p99_ms";

export default function RunView() {
  const { run, error, rows } = useRun();
  const [quantile, setQuantile] = useState<Quantile>("p99_ms");
  if (!run) {
    return (
      <>
        <Failure error={error} />
        <Empty title="Nothing has run yet">Figures appear here as soon as the pipeline classifies volumes.</Empty>
      </>
    );
  }
  const name = (c: number) => run.classes?.find((x) => x.class === c)?.name ?? run.confusion?.names?.[c] ?? String(c);
  const times = rows.latency.get(quantile)!;
  return (
    <div class="view-run">
      <Failure error={error} />
      <Tiles label="Now" tiles={tiles(run)} />
      <div class="columns">
        <Pane title="Throughput" note="volumes per second">
          <div class="body">
            <Chart
              label={summary("Throughput", rows.rate, "volumes per second")}
              data={rows.rate.data()}
              series={[{ label: "volumes/s", colour: "c1" }]}
              yRange={[0, null]}
              time
              last={span}
            />
          </div>
        </Pane>
        <Pane
          title="Latency by stage"
          note="milliseconds"
          tools={
            <Segmented
              label="Quantile"
              value={quantile}
              options={[
                { value: "p50_ms", text: "median" },
                { value: "p99_ms", text: "p99" },
              ]}
              onChange={setQuantile}
            />
          }
        >
          <div class="body">
            <Chart
              label={summary("Latency", times, "milliseconds")}
              data={times.data()}
              series={lines(times.names)}
              yRange={[0, null]}
              time
              last={span}
            />
          </div>
        </Pane>
        {rows.lag.names.length > 0 ? (
          <Pane title="Lag" note="messages not yet committed, by partition">
            <div class="body">
              <Chart
                label={summary("Lag", rows.lag, "messages")}
                data={rows.lag.data()}
                series={lines(rows.lag.names)}
                yRange={[0, null]}
                time
                last={span}
              />
            </div>
          </Pane>
        ) : null}
        {run.batches?.length ? (
          <Pane title="Batch sizes" note="volumes in a forward pass">
            <div class="body">
              <Bars
                label="Batches by size"
                bars={run.batches.map((b, i) => {
                  const from = (run.batches![i - 1]?.upto ?? 0) + 1;
                  return {
                    key: b.upto,
                    name: from === b.upto ? String(b.upto) : `${from} to ${b.upto}`,
                    value: b.count,
                    text: count(b.count),
                  };
                })}
              />
            </div>
          </Pane>
        ) : null}
        {run.classes?.length ? <Classes run={run} name={name} /> : null}
        {run.confusion ? (
          <Pane title="Confusion matrix" note="labels against classes">
            <div class="body">
              <Confusion matrix={run.confusion.matrix} name={name} />
            </div>
          </Pane>
        ) : null}
        {run.streams?.length ? <Streams run={run} /> : null}
      </div>
      <DeadLetters known={run.dead_letters ?? 0} />
    </div>
  );
}

interface Rows {
  rate: Series;
  latency: Map<Quantile, Series>;
  lag: Series;
}

// useRun follows the figures: first by a request, then by a frame each second.
function useRun(): { run: Run | null; error: Error | null; rows: Rows } {
  const polled = usePoll((signal) => getJSON<Run>("api/run", signal), 5000);
  const [run, setRun] = useState<Run | null>(null);
  const rows = useRef<Rows | null>(null);
  useEffect(() => link.on<Run & { type: "run" }>("run", (m: Message<Run & { type: "run" }>) => setRun(m.header)), []);
  useEffect(() => {
    if (polled.data) setRun((now) => (now && now.time >= polled.data!.time ? now : polled.data));
  }, [polled.data]);
  useMemo(() => {
    if (run) rows.current = add(rows.current, run);
  }, [run]);
  return { run, error: polled.error, rows: rows.current ?? add(null, { time: "", throughput: 0, total: 0, stages: [] }) };
}

// add appends a row. The tables begin again when a stage or partition comes or goes.
function add(rows: Rows | null, run: Run): Rows {
  const stages = run.stages.map((s) => s.name);
  const lags = [...(run.lag ?? [])].sort((a, b) => b.lag - a.lag);
  const partition = (l: { topic: string; partition: number }) => `${l.topic}/${l.partition}`;
  let shown = (run.lag ?? []).map(partition);
  if (shown.length > mostPartitions) shown = lags.slice(0, mostPartitions).map(partition);
  const same = (s: Series, names: string[]) => s.names.join("\n") === names.join("\n");
  const latency = rows?.latency.get("p99_ms");
  if (!rows || !latency || !same(latency, stages)) {
    rows = {
      rate: rows?.rate ?? new Series(["throughput"], span),
      latency: new Map((["p50_ms", "p99_ms"] as const).map((q) => [q, new Series(stages, span)])),
      lag: rows?.lag ?? new Series(shown, span),
    };
  }
  const held = rows.lag.names;
  if (shown.some((s) => !held.includes(s))) rows = { ...rows, lag: new Series(shown, span) };
  const t = Date.parse(run.time) / 1000;
  rows.rate.push(t, [run.throughput]);
  for (const [q, s] of rows.latency) s.push(t, run.stages.map((x) => x[q]));
  const lag = new Map(run.lag?.map((l) => [partition(l), l.lag]));
  rows.lag.push(t, rows.lag.names.map((n) => lag.get(n)));
  return rows;
}

function summary(what: string, s: Series, unit: string): string {
  const parts = s.names.map((n, i) => {
    const [now, most] = [s.last(i), s.greatest(i)];
    const figures = now === null ? "unknown" : `now ${short(now)}, at most ${short(most ?? now)}`;
    return s.names.length > 1 ? `${n}: ${figures}` : figures;
  });
  return `${what} of the last five minutes in ${unit}. ${parts.join(". ")}`;
}

function tiles(run: Run): Tile[] {
  const lag = run.lag?.reduce((a, l) => a + l.lag, 0);
  const whole = run.stages.reduce((a, s) => a + (s.p99_ms || 0), 0);
  const loss = (n: number | undefined, name: string, state: "warn" | "bad"): Tile[] =>
    n === undefined ? [] : [{ name, value: count(n), ...(n > 0 ? { state } : {}) }];
  return [
    {
      name: "Throughput",
      value: count(Math.round(run.throughput)),
      unit: "volumes/s",
      note: `${count(run.total)} in all`,
    },
    { name: "Latency", value: short(whole), unit: "ms", note: "sum of the stages, p99" },
    ...(lag === undefined ? [] : [{ name: "Lag", value: count(lag), unit: lag === 1 ? "message" : "messages" }]),
    ...loss(run.retries, "Retries", "warn"),
    ...loss(run.dropped, "Dropped", "bad"),
    ...loss(run.dead_letters, "Dead letters", "bad"),
    ...loss(run.unfamiliar, "Unfamiliar", "warn"),
  ];
}

function Classes({ run, name }: { run: Run; name: (c: number) => string }) {
  const d = run.drift;
  const reference = !!d && run.classes!.some((c) => c.reference !== undefined);
  const shown = [...run.classes!].sort((a, b) => a.class - b.class);
  const listed = shown.length <= 20 ? shown : [...shown].sort((a, b) => b.share - a.share).slice(0, 20);
  return (
    <Pane title="Classes" note={d ? `drift ${d.value.toFixed(3)} (${d.measure})` : ""}>
      <div class="body">
        <Bars
          label="Share of each class"
          bars={listed.map((c) => ({
            key: c.class,
            name: name(c.class),
            value: c.share,
            ...(!d || c.reference === undefined ? {} : { mark: c.reference }),
            text: percent(c.share),
            title: `${plural(c.count, "volume")}${!d || c.reference === undefined ? "" : `, ${percent(c.reference)} in the reference`}`,
          }))}
        />
        {listed.length < shown.length ? <p class="note">The {listed.length} most frequent of {shown.length} classes are shown.</p> : null}
        {d ? (
          <p class={d.value > d.limit ? "note warn" : "note"} role={d.value > d.limit ? "status" : undefined}>
            {d.value > d.limit
              ? `The classes differ from ${d.reference}: ${d.value.toFixed(3)}, above ${d.limit}. `
              : `The classes are like those of ${d.reference}. `}
            {reference ? "The lines mark the shares there. " : ""}
            Counted: {plural(d.counted, "volume")}.
          </p>
        ) : null}
      </div>
    </Pane>
  );
}

function Streams({ run }: { run: Run }) {
  return (
    <Pane title="Streams" class="wide" note={`at ${clock(run.time)}`}>
      <div class="body scroll" tabIndex={0} role="group" aria-label="Streams">
        <table class="table">
          <thead>
            <tr>
              <th scope="col">Stream</th>
              <th scope="col" class="number">Volumes/s</th>
              <th scope="col" class="number">In all</th>
            </tr>
          </thead>
          <tbody>
            {run.streams!.slice(0, 100).map((s) => (
              <tr key={s.stream}>
                <th scope="row">{s.stream}</th>
                <td class="number">{short(s.rate)}</td>
                <td class="number">{count(s.total)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Pane>
  );
}
