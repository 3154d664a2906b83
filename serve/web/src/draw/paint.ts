// Planes of grids on canvases, one pixel per cell: CSS enlarges them without smoothing.
import { plane, type Axis, type Grid } from "./grid.ts";
import { speaksAgainst, speaksFor, type Ramp } from "./ramp.ts";

export interface Overlay {
  heat: Grid; // in the size of the grid
  opacity: number; // 0..1
}

// paintPlane draws plane i across an axis of a channel. Values of the overlay cover it: the stronger, the more.
export function paintPlane(
  canvas: HTMLCanvasElement, g: Grid, channel: number, axis: Axis, i: number, ramp: Ramp, overlay?: Overlay | null,
): void {
  const p = plane(g.dims, axis, Math.min(i, g.dims[axis] - 1));
  if (canvas.width !== p.width) canvas.width = p.width;
  if (canvas.height !== p.height) canvas.height = p.height;
  const context = canvas.getContext("2d");
  if (!context) return;
  const image = context.createImageData(p.width, p.height);
  drawPlane(image.data, p.width, 0, 0, g, channel, axis, i, ramp, overlay);
  context.putImageData(image, 0, 0);
}

// paintSheet draws the same plane of all channels as a table, with a transparent line between them.
export function paintSheet(
  canvas: HTMLCanvasElement, g: Grid, channels: number[], columns: number, axis: Axis, i: number, ramp: Ramp,
): void {
  const p = plane(g.dims, axis, i);
  const rows = Math.ceil(channels.length / columns);
  canvas.width = columns * (p.width + 1) - 1;
  canvas.height = rows * (p.height + 1) - 1;
  const context = canvas.getContext("2d");
  if (!context) return;
  const image = context.createImageData(canvas.width, canvas.height);
  channels.forEach((c, k) => {
    const [x, y] = [(k % columns) * (p.width + 1), Math.floor(k / columns) * (p.height + 1)];
    drawPlane(image.data, canvas.width, x, y, g, c, axis, i, ramp);
  });
  context.putImageData(image, 0, 0);
}

function drawPlane(
  out: Uint8ClampedArray, stride: number, left: number, top: number,
  g: Grid, channel: number, axis: Axis, i: number, ramp: Ramp, overlay?: Overlay | null,
): void {
  const p = plane(g.dims, axis, Math.min(i, g.dims[axis] - 1));
  const scale = g.hi > g.lo ? 255 / (g.hi - g.lo) : 0;
  const most = overlay ? Math.max(Math.abs(overlay.heat.lo), Math.abs(overlay.heat.hi)) || 1 : 1;
  for (let y = 0; y < p.height; y++) {
    for (let x = 0; x < p.width; x++) {
      const cell = p.at(x, y);
      const v = Math.max(0, Math.min(255, Math.round((g.values[cell * g.channels + channel]! - g.lo) * scale)));
      const to = 4 * ((top + y) * stride + left + x);
      let alpha = 0;
      let over: readonly number[] = speaksFor;
      if (overlay) {
        const heat = overlay.heat.values[cell]! / most;
        if (heat < 0) over = speaksAgainst;
        alpha = overlay.opacity * Math.sqrt(Math.abs(heat)); // the root makes weak values visible
      }
      for (let c = 0; c < 3; c++) out[to + c] = (1 - alpha) * ramp[4 * v + c]! + alpha * over[c]!;
      out[to + 3] = 255;
    }
  }
}
