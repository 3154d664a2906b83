// The feature maps of a layer: the same plane of each channel.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { fullest, ofPart, type Axis, type Grid } from "../../draw/grid.ts";
import { paintSheet } from "../../draw/paint.ts";
import type { Part } from "../../frame.ts";
import { lut } from "../../scene/palette.ts";
import { Segmented, Slider, Toggle } from "../../ui/controls.tsx";
import { plural, short } from "../../ui/format.ts";

const most = 256; // channels drawn

// Sheet shows planes across the axis first, until another one is chosen.
export function Sheet({ part, layer, first }: { part: Part; layer: string; first: Axis }) {
  const grid = useMemo(() => ofPart(part), [part]);
  const [axis, setAxis] = useState<Axis>(first);
  const [at, setAt] = useState(() => fullest(grid, first));
  const [own, setOwn] = useState(false);
  const canvas = useRef<HTMLCanvasElement>(null);
  const shown = Math.min(grid.channels, most);
  const columns = Math.ceil(Math.sqrt(shown * 1.6));
  const i = Math.min(at, grid.dims[axis] - 1);
  useEffect(() => {
    const g = own ? alone(grid) : grid;
    paintSheet(canvas.current!, g, [...Array(shown).keys()], columns, axis, i, lut("viridis"));
  }, [grid, axis, i, own, shown, columns]);
  return (
    <div class="sheet">
      <div class="tools">
        <Segmented
          label="Planes across"
          value={String(axis)}
          options={[
            { value: "0", text: "z" },
            { value: "1", text: "y" },
            { value: "2", text: "x" },
          ]}
          onChange={(v) => setAxis(Number(v) as Axis)}
        />
        <Slider label="Plane" value={i} min={0} max={grid.dims[axis] - 1} onInput={setAt} />
        <Toggle label="Scale each map" value={own} onChange={setOwn} />
      </div>
      <canvas
        ref={canvas}
        class="pixels"
        role="img"
        aria-label={`${plural(shown, "feature map")} of ${layer}, plane ${i}, values ${short(grid.lo)} to ${short(grid.hi)}`}
      />
      <p class="note">
        {plural(grid.channels, "map")} of {grid.dims.join("×")} cells, from {short(grid.lo)} (dark) to {short(grid.hi)} (bright)
        {own ? " over all maps; each is scaled to its own range" : ""}.{grid.channels > most ? ` The first ${most} are shown.` : ""}
      </p>
    </div>
  );
}

// alone scales each channel to 0..1 by its own range.
function alone(g: Grid): Grid {
  const n = g.channels;
  const lo = new Float32Array(n).fill(Infinity);
  const hi = new Float32Array(n).fill(-Infinity);
  for (let i = 0; i < g.values.length; i++) {
    const c = i % n;
    lo[c] = Math.min(lo[c]!, g.values[i]!);
    hi[c] = Math.max(hi[c]!, g.values[i]!);
  }
  const values = new Float32Array(g.values.length);
  for (let i = 0; i < values.length; i++) {
    const c = i % n;
    values[i] = hi[c]! > lo[c]! ? (g.values[i]! - lo[c]!) / (hi[c]! - lo[c]!) : 0;
  }
  return { ...g, values, lo: 0, hi: 1 };
}
