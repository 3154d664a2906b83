// A line chart (uPlot) in the colours of the page.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "../hooks.ts";
import { colour, themed } from "../theme.ts";
import { timeOfDay } from "./format.ts";

export interface Series {
  label: string;
  colour: string; // a design token, such as "c1"
  dash?: number[];
  scale?: string;
  format?: (v: number) => string;
}

// Chart draws data: x values, then the y values of each series. Times are seconds since 1970.
export function Chart(p: {
  label: string; // for screen readers
  data: uPlot.AlignedData;
  series: Series[];
  height?: number;
  time?: boolean;
  last?: number; // of the x axis, this much is shown
  xLabel?: string;
  yLabel?: string;
  yRange?: [number | null, number | null];
  format?: (v: number) => string;
}) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const newest = useRef(p.data);
  newest.current = p.data;
  const theme = useSignal(themed);
  const height = p.height ?? 180;
  const key = JSON.stringify([p.series, p.time, p.xLabel, p.yLabel, p.yRange, p.last]);

  useEffect(() => {
    const el = host.current!;
    const ink = colour("ink-2");
    const grid = colour("line");
    const axis = (label?: string): uPlot.Axis => ({
      stroke: ink,
      font: "12px system-ui, sans-serif",
      labelFont: "12px system-ui, sans-serif",
      grid: { stroke: grid, width: 1 },
      ticks: { stroke: grid, width: 1, size: 4 },
      ...(label ? { label, labelSize: 18 } : {}),
    });
    const { format, last } = p;
    const u = new uPlot(
      {
        width: Math.max(el.clientWidth, 50),
        height,
        scales: {
          x: {
            time: p.time ?? false,
            ...(last ? { range: (_u: uPlot, _lo: number, hi: number): [number, number] => [hi - last, hi] } : {}),
          },
          ...(p.yRange
            ? { y: { range: (_u: uPlot, lo: number, hi: number) => bounds(p.yRange![0] ?? lo, p.yRange![1] ?? hi) } }
            : {}),
        },
        legend: { live: true },
        cursor: { points: { size: 7 } },
        axes: [
          { ...axis(p.xLabel), size: p.time ? 46 : 28, space: p.time ? 70 : 50 },
          { ...axis(p.yLabel), size: 56, ...(format ? { values: (_u: uPlot, vs: number[]) => vs.map(format) } : {}) },
        ],
        series: [
          {
            label: p.xLabel ?? "time",
            value: legend((x) => (p.time ? timeOfDay(new Date(1000 * x)) : plain(x))),
          },
          ...p.series.map((s) => ({
            label: s.label,
            stroke: colour(s.colour),
            width: 2,
            ...(s.dash ? { dash: s.dash } : {}),
            points: { show: false },
            value: legend(s.format ?? format ?? plain),
          })),
        ],
      },
      newest.current,
      el,
    );
    plot.current = u;
    const size = new ResizeObserver(() => u.setSize({ width: Math.max(el.clientWidth, 50), height }));
    size.observe(el);
    return () => {
      size.disconnect();
      u.destroy();
      plot.current = null;
    };
  }, [key, theme, height]);

  useEffect(() => plot.current?.setData(p.data), [p.data]);
  return <div class="chart" role="img" aria-label={p.label} ref={host} />;
}

// legend writes the value below the pointer, or the newest one.
const legend =
  (format: (v: number) => string) =>
  (u: uPlot, v: number | null, series: number): string => {
    const x = v ?? u.data[series]?.at(-1);
    return x == null ? "–" : format(x);
  };

const plain = (v: number): string => v.toLocaleString(undefined, { maximumSignificantDigits: 4 });

// bounds leaves room for a line of which all values are the same.
const bounds = (lo: number, hi: number): [number, number] => [lo, hi > lo ? hi : lo + 1];
