// The volume: cubes or slices, threshold, colours, and the cell that was clicked.
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useLatest, useStored } from "../hooks.ts";
import { autoThreshold, type Hit, type VolumeData } from "../scene/faces.ts";
import { lut, paletteOptions } from "../scene/palette.ts";
import { VolumeScene } from "../scene/volume.ts";
import { IconButton, Pane, Segmented, Select, Settings, Slider, Toggle } from "./controls.tsx";
import { count, short } from "./format.ts";
import "../style/frame.css";

const modes = [
  { value: "cubes", text: "Cubes" },
  { value: "slices", text: "Slices" },
] as const;

// VolumePane shows a volume. Settings are kept under the name of the view.
export function VolumePane(p: {
  name: string;
  title?: string;
  data: VolumeData | null;
  stream?: string | undefined; // of the data: another one may need another view
  palette?: string; // of the data; the person's choice has precedence
  unit?: string;
  origin?: readonly [number, number, number] | undefined; // of the grid, in metres
  edge?: number | undefined; // of a cell, in metres
  legend?: [number, number]; // what the ends of the colours mean, if cells are painted by something else
  says?: (cell: number) => string; // more about a cell that was picked
  note?: ComponentChildren;
  tools?: ComponentChildren;
  onDrawn?: () => void;
}) {
  const host = useRef<HTMLDivElement>(null);
  const scene = useRef<VolumeScene | null>(null);
  const [failed, setFailed] = useState("");
  const [hit, setHit] = useState<Hit | null>(null);
  const [mode, setMode] = useStored<"cubes" | "slices">(`${p.name}.volume.mode`, "cubes");
  const [auto, setAuto] = useStored(`${p.name}.volume.auto`, true);
  const [chosen, setThreshold] = useStored(`${p.name}.volume.threshold`, 32);
  const [palette, setPalette] = useStored(`${p.name}.volume.palette`, "data");
  const [cuts, setCuts] = useState<Record<string, [number, number, number]>>({});
  const drawn = useLatest(p.onDrawn);
  const data = p.data;
  const [d, h, w] = data?.dims ?? [1, 1, 1];
  const automatic = useMemo(() => (data && auto ? autoThreshold(data.cells) : 1), [data, auto]);
  const threshold = auto ? automatic : chosen;
  const whole: [number, number, number] =
    mode === "slices" ? [Math.floor(w / 2), Math.floor(h / 2), Math.floor(d / 2)] : [w - 1, h - 1, d - 1];
  const key = `${mode} ${w} ${h} ${d}`;
  const at = cuts[key] ?? whole;
  const colours = palette === "data" ? (p.palette ?? "Oranges") : palette;

  useEffect(() => {
    try {
      const s = new VolumeScene(host.current!, p.title ?? "Volume");
      s.onPick = setHit;
      scene.current = s;
    } catch (e) {
      setFailed(`The browser cannot draw in 3-D: ${(e as Error).message}`);
    }
    return () => {
      scene.current?.dispose();
      scene.current = null;
    };
  }, []);

  useEffect(() => scene.current?.palette(colours), [colours]);

  useEffect(() => {
    const done = () => drawn.current?.();
    if (data && scene.current) scene.current.show(p.stream ?? "", data, { mode, threshold, at }, done);
    else done();
  }, [data, mode, threshold, at[0], at[1], at[2]]);

  const value = (byte: number): number => (data ? data.lo + ((data.hi - data.lo) * byte) / 255 : 0);
  const move = (axis: number) => (v: number) => {
    const next: [number, number, number] = [...at];
    next[axis] = v;
    setCuts({ [key]: next });
  };
  const cell = hit && data ? hit.cell : null;
  const inside = cell && cell[0] < w && cell[1] < h && cell[2] < d;
  const byte = inside ? data!.cells[(cell[2] * h + cell[1]) * w + cell[0]]! : 0;

  return (
    <Pane
      title={p.title ?? "Volume"}
      class="stagepane"
      note={p.note}
      tools={
        <>
          {p.tools}
          <IconButton icon="fit" label="Show the whole volume" onClick={() => scene.current?.stage.goHome()} />
          <Settings label="Display of the volume">
            <Segmented label="Shape" value={mode} options={modes} onChange={setMode} />
            <Toggle label="Automatic threshold" value={auto} onChange={setAuto} />
            <Slider
              label="Threshold"
              min={1}
              max={255}
              value={threshold}
              text={short(value(threshold))}
              onInput={(v) => (setAuto(false), setThreshold(v))}
            />
            {(["x", "y", "z"] as const).map((name, i) => (
              <Slider
                key={name}
                label={mode === "slices" ? `Slice across ${name}` : `Cut across ${name}`}
                min={0}
                max={[w, h, d][i]! - 1}
                value={at[i]!}
                onInput={move(i)}
              />
            ))}
            <Select
              label="Colours"
              value={palette}
              options={[{ value: "data", text: "As the data" }, ...paletteOptions]}
              onChange={setPalette}
            />
          </Settings>
        </>
      }
    >
      <div class={data ? "stage" : "stage none"} ref={host} data-scene="volume">
        {failed ? <p class="failure">{failed}</p> : null}
      </div>
      <footer>
        <Legend palette={colours} lo={p.legend?.[0] ?? data?.lo ?? 0} hi={p.legend?.[1] ?? data?.hi ?? 1} {...(p.unit ? { unit: p.unit } : {})} />
        <p class="picked" aria-live="polite">
          {inside
            ? `Cell ${cell.join(", ")}: ${short(value(byte))}${byte === value(byte) ? "" : ` (byte ${byte})`}${place(p.origin, p.edge, cell)}${p.says ? `, ${p.says((cell[2] * h + cell[1]) * w + cell[0])}` : ""}`
            : data
              ? `${w} × ${h} × ${d} cells`
              : ""}
        </p>
        {scene.current && scene.current.leftOut > 0 ? (
          <p class="warn">{count(scene.current.leftOut)} faces are not drawn: raise the threshold</p>
        ) : null}
      </footer>
    </Pane>
  );
}

function place(origin: readonly number[] | undefined, edge: number | undefined, cell: readonly number[]): string {
  if (!origin || !edge) return "";
  return `, at ${cell.map((c, i) => (origin[i]! + (c + 0.5) * edge).toFixed(2)).join(", ")} m`;
}

// Legend is a colour map with the values at its ends.
export function Legend(p: { palette: string; lo: number; hi: number; unit?: string; title?: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const image = new ImageData(256, 1);
    image.data.set(lut(p.palette));
    canvas.current?.getContext("2d")?.putImageData(image, 0, 0);
  }, [p.palette]);
  const unit = p.unit ? ` ${p.unit}` : "";
  return (
    <div class="legend">
      {p.title ? <span>{p.title}</span> : null}
      <span>{short(p.lo)}</span>
      <canvas ref={canvas} width={256} height={1} role="img" aria-label={`Colours from ${short(p.lo)} to ${short(p.hi)}${unit}`} />
      <span>
        {short(p.hi)}
        {unit}
      </span>
    </div>
  );
}
