// A frame as a whole: the volume, what the sensor saw, and what the network says.
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Frame } from "../frame.ts";
import { useMedia, useStored } from "../hooks.ts";
import { channelsOf, volumeOf } from "../scene/data.ts";
import { learn } from "../scene/palette.ts";
import { Select } from "./controls.tsx";
import { PredictionPane } from "./prediction.tsx";
import { hasSensor, SensorPane } from "./sensor-pane.tsx";
import { VolumePane } from "./volume-pane.tsx";

// FrameView shows a frame. onDrawn is called when all its parts are drawn. Children are below the prediction.
export function FrameView(p: { name: string; frame: Frame | null; onDrawn?: () => void; children?: ComponentChildren }) {
  const [split, setSplit] = useStored(`${p.name}.split`, 50);
  const [channel, setChannel] = useStored(`${p.name}.channel`, "0");
  const wide = useMedia("(min-width: 1100px)");
  const row = useRef<HTMLDivElement>(null);
  const frame = p.frame;
  const data = useMemo(() => (frame ? volumeOf(frame, Number(channel)) : null), [frame, channel]);
  const sensor = hasSensor(frame);
  const waiting = useRef(0);
  const header = frame?.header.volume;
  const channels = header ? channelsOf(header, frame!.parts.get("volume")?.data.length ?? 0) : 1;

  // Both panes report each frame; the slower one decides.
  useMemo(() => (waiting.current = sensor ? 2 : 1), [frame, sensor]);
  const drawn = () => {
    if (--waiting.current === 0) p.onDrawn?.();
  };
  useEffect(() => {
    if (row.current) row.current.style.setProperty("--split", `${split}%`);
  }, [split]);

  const drag = (e: PointerEvent & { currentTarget: HTMLElement }) => {
    const box = row.current!.getBoundingClientRect();
    e.currentTarget.setPointerCapture(e.pointerId);
    const at = wide ? (e.clientX - box.left) / box.width : (e.clientY - box.top) / box.height;
    setSplit(Math.round(Math.min(Math.max(at * 100, 20), 80)));
  };

  return (
    <div class="frameview">
      <div class={sensor ? "row two" : "row"} ref={row}>
        <VolumePane
          name={p.name}
          data={data}
          stream={frame?.header.stream}
          palette={header?.palette ? learn(header.palette, header.colours) : "viridis"}
          origin={header?.origin}
          edge={header?.edge}
          note={frame?.header.missing ? `No volume: ${frame.header.missing}` : frame?.header.stream}
          onDrawn={drawn}
          tools={
            channels > 1 ? (
              <Select
                label="Channel"
                hideLabel
                value={channel}
                options={Array.from({ length: channels }, (_, i) => ({ value: String(i), text: `Channel ${i}` }))}
                onChange={setChannel}
              />
            ) : null
          }
        />
        {sensor ? (
          <>
            <div
              class="splitter"
              role="separator"
              tabIndex={0}
              aria-label="Share of the volume"
              aria-orientation={wide ? "vertical" : "horizontal"}
              aria-valuenow={split}
              aria-valuemin={20}
              aria-valuemax={80}
              onPointerDown={drag}
              onPointerMove={(e) => e.buttons & 1 && drag(e)}
              onKeyDown={(e) => {
                const by = { ArrowLeft: -2, ArrowUp: -2, ArrowRight: 2, ArrowDown: 2 }[e.key];
                if (!by) return;
                e.preventDefault();
                e.stopPropagation();
                setSplit(Math.min(Math.max(split + by, 20), 80));
              }}
            />
            <SensorPane name={p.name} frame={frame} onDrawn={drawn} />
          </>
        ) : null}
      </div>
      <div class="side">
        <PredictionPane frame={frame} />
        {p.children}
      </div>
    </div>
  );
}
