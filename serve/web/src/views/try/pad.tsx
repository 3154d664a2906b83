// A pad to draw a digit on, with a mouse, a pen or a finger.
import { useEffect, useRef } from "preact/hooks";
import { useLatest, useSignal } from "../../hooks.ts";
import { colour, themed } from "../../theme.ts";
import { plural } from "../../ui/format.ts";

export type Point = [number, number]; // 0 to 1, right and down
export type Stroke = Point[];

// The server takes no more; see serve/digit.
const mostStrokes = 64;
const mostPoints = 4096;
const nearest = 0.006; // distance between points, as a share of the pad
const side = 28;
const pen = 0.075; // the width of a line, as a share of the pad

export function Pad(p: {
  strokes: Stroke[];
  ink?: Uint8Array | undefined; // an image of side x side that is shown without strokes
  onDraw: (s: Stroke[]) => void; // after each stroke
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const drawing = useRef<Stroke | null>(null);
  const latest = useLatest(p);
  const theme = useSignal(themed);

  const paint = () => {
    const c = canvas.current;
    const context = c?.getContext("2d");
    if (!c || !context) return;
    const size = Math.round(c.clientWidth * devicePixelRatio);
    if (c.width !== size) c.width = c.height = size;
    context.clearRect(0, 0, size, size);
    context.strokeStyle = context.fillStyle = colour("ink");
    context.lineWidth = pen * size;
    context.lineCap = context.lineJoin = "round";
    if (latest.current.ink && latest.current.strokes.length === 0 && !drawing.current) {
      context.drawImage(inked(latest.current.ink, colour("ink")), 0, 0, size, size);
    }
    for (const s of drawing.current ? [...latest.current.strokes, drawing.current] : latest.current.strokes) {
      context.beginPath();
      s.forEach(([x, y], i) => (i === 0 ? context.moveTo(x * size, y * size) : context.lineTo(x * size, y * size)));
      if (s.length === 1) context.lineTo(s[0]![0] * size, s[0]![1] * size + 0.01);
      context.stroke();
    }
  };
  useEffect(paint, [p.strokes, p.ink, theme]);
  useEffect(() => {
    const size = new ResizeObserver(paint);
    size.observe(canvas.current!);
    return () => size.disconnect();
  }, []);

  const at = (e: PointerEvent): Point => {
    const r = canvas.current!.getBoundingClientRect();
    const share = (v: number) => Math.max(0, Math.min(1, v));
    return [share((e.clientX - r.left) / r.width), share((e.clientY - r.top) / r.height)];
  };
  const points = () => p.strokes.reduce((n, s) => n + s.length, drawing.current?.length ?? 0);
  const end = () => {
    const s = drawing.current;
    drawing.current = null;
    if (s) p.onDraw([...p.strokes, s]);
  };
  return (
    <canvas
      ref={canvas}
      class="pad"
      role="img"
      aria-label={
        p.strokes.length === 0
          ? "Empty pad. Draw a digit with a mouse, a pen or a finger, or choose an example below."
          : `Pad with ${plural(p.strokes.length, "stroke")}`
      }
      onPointerDown={(e) => {
        if (e.button !== 0 || p.strokes.length >= mostStrokes) return;
        e.preventDefault();
        canvas.current!.setPointerCapture(e.pointerId);
        drawing.current = [at(e)];
        paint();
      }}
      onPointerMove={(e) => {
        const s = drawing.current;
        if (!s) return;
        for (const c of e.getCoalescedEvents?.() ?? [e]) {
          const [x, y] = at(c);
          const [u, v] = s.at(-1)!;
          if (points() < mostPoints && Math.hypot(x - u, y - v) >= nearest) s.push([x, y]);
        }
        paint();
      }}
      onPointerUp={end}
      onPointerCancel={end}
    />
  );
}

// inked is an image in which ink is opaque.
function inked(ink: Uint8Array, rgb: string): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d")!;
  context.fillStyle = rgb;
  context.fillRect(0, 0, side, side);
  const image = context.getImageData(0, 0, side, side);
  ink.forEach((v, i) => (image.data[4 * i + 3] = v));
  context.putImageData(image, 0, 0);
  return canvas;
}
