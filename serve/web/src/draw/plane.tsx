// A plane of a grid with a slider.
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "../hooks.ts";
import { colour, themed } from "../theme.ts";
import { Slider } from "../ui/controls.tsx";
import { axisNames, type Axis, type Grid } from "./grid.ts";
import { paintPlane, type Overlay } from "./paint.ts";
import { between, type Ramp } from "./ramp.ts";

// useGrey is the ramp for what an overlay lies on: from the colour of an empty cell to that of a full one.
export function useGrey(): Ramp {
  useSignal(themed);
  return between(colour("stage"), colour("ink-2"));
}

export function PlaneView(p: {
  grid: Grid;
  axis: Axis;
  at: number;
  onAt?: (i: number) => void;
  ramp: Ramp;
  overlay?: Overlay | null;
  label: string;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const most = p.grid.dims[p.axis] - 1;
  const at = Math.min(p.at, most);
  useEffect(() => {
    paintPlane(canvas.current!, p.grid, 0, p.axis, at, p.ramp, p.overlay);
  });
  return (
    <figure class="plane">
      <canvas ref={canvas} class="pixels" role="img" aria-label={`${p.label}, plane ${axisNames[p.axis]} = ${at}`} />
      {p.onAt ? (
        <Slider label={`Across ${axisNames[p.axis]}`} value={at} min={0} max={most} onInput={p.onAt} />
      ) : null}
    </figure>
  );
}
