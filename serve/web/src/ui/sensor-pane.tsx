// What the sensor saw: points, depth image or colour image.
import { useEffect, useRef, useState } from "preact/hooks";
import { part, type Frame } from "../frame.ts";
import { useLatest, useStored } from "../hooks.ts";
import { CloudScene, type CloudLook, type Picked } from "../scene/cloud.ts";
import { lut, paletteOptions } from "../scene/palette.ts";
import { Empty, IconButton, Pane, Segmented, Select, Settings, Slider } from "./controls.tsx";
import { count, metres, plural, short } from "./format.ts";
import { Legend } from "./volume-pane.tsx";

type Kind = "points" | "depth" | "image";
const kinds: Record<Kind, string> = { points: "Points", depth: "Depth", image: "Image" };

const usual: CloudLook = { by: "height", palette: "viridis", range: null, size: 2, unit: "pixels", decay: 0 };

// available lists what a frame has.
function available(f: Frame | null): Kind[] {
  if (!f) return [];
  const depth = f.parts.has("depth");
  const has: Record<Kind, boolean> = {
    points: f.parts.has("points") || (depth && !!f.header.sensor?.camera),
    depth,
    image: f.parts.has("image") || (depth && f.parts.has("rgb")),
  };
  return (Object.keys(kinds) as Kind[]).filter((k) => has[k]);
}

// hasSensor tells whether there is anything that the pane could show.
export const hasSensor = (f: Frame | null): boolean => available(f).length > 0;

export function SensorPane(p: { name: string; frame: Frame | null; onDrawn?: () => void }) {
  const [wanted, setWanted] = useStored<Kind>(`${p.name}.sensor`, "points");
  const [look, setLook] = useStored<CloudLook>(`${p.name}.cloud`, usual);
  const [measuring, setMeasuring] = useState(false);
  const [measured, setMeasured] = useState<number | null>(null);
  const [picked, setPicked] = useState<Picked | null>(null);
  const [range, setRange] = useState<[number, number]>([0, 1]);
  const [early, setEarly] = useState(0);
  const scene = useRef<CloudScene | null>(null);
  const have = available(p.frame);
  const kind = have.includes(wanted) ? wanted : (have[0] ?? "points");
  const sensor = p.frame?.header.sensor;
  const fields = (sensor?.fields ?? []).filter((f) => p.frame!.parts.has("field:" + f.name));
  const field = fields.find((f) => "field:" + f.name === look.by);
  const by = [
    { value: "height", text: "Height" },
    { value: "distance", text: "Distance" },
    ...fields.map((f) => ({ value: "field:" + f.name, text: f.name[0]!.toUpperCase() + f.name.slice(1) })),
    ...(p.frame?.parts.has("rgb") ? [{ value: "rgb", text: "Colour of the camera" }] : []),
    { value: "one", text: "One colour" },
  ];
  const change = (c: Partial<CloudLook>) => setLook({ ...look, ...c });
  const unit = field ? field.unit : "m";
  const span = field ? ([field.lo, field.hi] as const) : ([Math.min(range[0], -5), Math.max(range[1], 5)] as const);
  const width = span[1] - span[0] || 1;
  const leftOut = p.frame?.header.left_out ?? 0;

  return (
    <Pane
      title="Sensor"
      class="stagepane"
      note={sensor?.total ? plural(sensor.total, sensor.kind === "depth" ? "pixel" : "point") : undefined}
      tools={
        <>
          {have.length > 1 ? (
            <Segmented
              label="What to show"
              value={kind}
              options={have.map((value) => ({ value, text: kinds[value] }))}
              onChange={setWanted}
            />
          ) : null}
          {kind === "points" ? (
            <>
              <IconButton
                icon="measure"
                label="Measure between two points"
                pressed={measuring}
                onClick={() => {
                  scene.current?.measure(!measuring);
                  setMeasured(null);
                  setMeasuring(!measuring);
                }}
              />
              <IconButton icon="fit" label="Show all points" onClick={() => scene.current?.stage.goHome()} />
            </>
          ) : null}
          {kind === "image" ? null : (
            <Settings label="Display of the sensor">
              {kind === "points" ? (
                <>
                  <Select label="Colour by" value={look.by} options={by} onChange={(v) => change({ by: v, range: null })} />
                </>
              ) : null}
              <Select
                label="Colours"
                value={look.palette}
                options={paletteOptions}
                onChange={(palette) => change({ palette })}
              />
              {kind === "points" ? (
                <>
                  {look.by !== "rgb" && look.by !== "one" ? (
                    <>
                      <Slider
                        label="Lowest"
                        min={span[0]}
                        max={span[1]}
                        step={width / 100}
                        value={(look.range ?? range)[0]}
                        text={short((look.range ?? range)[0])}
                        onInput={(v) => change({ range: [v, Math.max((look.range ?? range)[1], v + width / 100)] })}
                      />
                      <Slider
                        label="Highest"
                        min={span[0]}
                        max={span[1]}
                        step={width / 100}
                        value={(look.range ?? range)[1]}
                        text={short((look.range ?? range)[1])}
                        onInput={(v) => change({ range: [Math.min((look.range ?? range)[0], v - width / 100), v] })}
                      />
                      <button type="button" disabled={!look.range} onClick={() => change({ range: null })}>
                        Range of the data
                      </button>
                    </>
                  ) : null}
                  <Slider
                    label="Point size"
                    min={1}
                    max={look.unit === "pixels" ? 10 : 50}
                    step={look.unit === "pixels" ? 0.5 : 1}
                    value={look.size}
                    text={look.unit === "pixels" ? `${look.size} px` : `${look.size} cm`}
                    onInput={(size) => change({ size })}
                  />
                  <Segmented
                    label="Unit of the size"
                    value={look.unit}
                    options={[
                      { value: "pixels", text: "Pixels" },
                      { value: "metres", text: "Centimetres" },
                    ]}
                    onChange={(u) => change({ unit: u, size: u === "pixels" ? 2 : 5 })}
                  />
                  <Slider
                    label="Decay time"
                    min={0}
                    max={10}
                    step={0.5}
                    value={look.decay}
                    text={look.decay ? `${look.decay} s` : "newest frame only"}
                    onInput={(decay) => change({ decay })}
                  />
                </>
              ) : null}
            </Settings>
          )}
        </>
      }
    >
      {have.length === 0 ? (
        <Empty title="No sensor data">The frame holds only the volume.</Empty>
      ) : kind === "points" ? (
        <CloudView
          frame={p.frame!}
          look={look}
          scene={scene}
          onDrawn={p.onDrawn}
          onShown={(r, e) => (setRange(r), e && setEarly(early + e))}
          onPick={setPicked}
          onMeasure={setMeasured}
        />
      ) : (
        <Picture frame={p.frame!} kind={kind} palette={look.palette} onDrawn={p.onDrawn} />
      )}
      <footer>
        {kind === "points" && look.by !== "rgb" && look.by !== "one" && have.length > 0 ? (
          <Legend
            title={by.find((b) => b.value === look.by)?.text ?? "Height"}
            palette={look.palette}
            lo={range[0]}
            hi={range[1]}
            {...(unit ? { unit } : {})}
          />
        ) : null}
        {kind === "points" && have.length > 0 ? (
          <div class="picked" aria-live="polite">
            {measuring && measured === null ? <p>{picked ? "Choose the second point" : "Choose two points"}</p> : null}
            {measured !== null ? <p class="measured">{metres(measured)}</p> : null}
            {picked ? (
              <dl>
                <div>
                  <dt>x, y, z</dt>
                  <dd>{picked.position.map((v) => v.toFixed(3)).join(", ")} m</dd>
                </div>
                <div>
                  <dt>distance</dt>
                  <dd>{metres(picked.distance)}</dd>
                </div>
                {picked.fields.map((f) => (
                  <div key={f.name}>
                    <dt>{f.name}</dt>
                    <dd>{f.value}</dd>
                  </div>
                ))}
              </dl>
            ) : null}
          </div>
        ) : null}
        {leftOut > 0 ? <p class="warn">{plural(leftOut, sensor?.kind === "depth" ? "pixel" : "point")} left out of this frame</p> : null}
        {early > 0 ? <p class="warn">{count(early)} points removed before the decay time</p> : null}
      </footer>
    </Pane>
  );
}

function CloudView(p: {
  frame: Frame;
  look: CloudLook;
  scene: { current: CloudScene | null };
  onDrawn: (() => void) | undefined;
  onShown: (range: [number, number], early: number) => void;
  onPick: (p: Picked | null) => void;
  onMeasure: (m: number | null) => void;
}) {
  const host = useRef<HTMLDivElement>(null);
  const [failed, setFailed] = useState("");
  const latest = useLatest(p);
  useEffect(() => {
    try {
      const s = new CloudScene(host.current!, "Points of the sensor");
      s.onPick = (x) => latest.current.onPick(x);
      s.onMeasure = (x) => latest.current.onMeasure(x);
      s.look(p.look);
      p.scene.current = s;
    } catch (e) {
      setFailed(`The browser cannot draw in 3-D: ${(e as Error).message}`);
    }
    return () => {
      p.scene.current?.dispose();
      p.scene.current = null;
    };
  }, []);
  useEffect(() => {
    const s = p.scene.current;
    s?.look(p.look);
    if (s) p.onShown(s.range, 0);
  }, [p.look]);
  useEffect(() => {
    const s = p.scene.current;
    const done = () => latest.current.onDrawn?.();
    if (!s) return done();
    const early = s.show(p.frame, done);
    p.onShown(s.range, early);
  }, [p.frame]);
  return (
    <div class="stage" ref={host} data-scene="cloud">
      {failed ? <p class="failure">{failed}</p> : null}
    </div>
  );
}

// Picture draws a depth image in the colours of a map, or a colour image.
function Picture(p: { frame: Frame; kind: "depth" | "image"; palette: string; onDrawn: (() => void) | undefined }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [span, setSpan] = useState<[number, number]>([0, 1]);
  const drawn = useLatest(p.onDrawn);
  useEffect(() => {
    const c = canvas.current!;
    let gone = false;
    const context = c.getContext("2d")!;
    if (p.kind === "depth") {
      const depth = part(p.frame, "depth", Uint16Array);
      const shape = p.frame.parts.get("depth")?.shape;
      if (depth && shape) setSpan(drawDepth(context, depth, shape[1]!, shape[0]!, lut(p.palette)));
      drawn.current?.();
    } else if (!p.frame.parts.has("image")) {
      drawColours(context, part(p.frame, "rgb", Uint8Array), p.frame.parts.get("rgb")?.shape);
      drawn.current?.();
    } else {
      const bytes = part(p.frame, "image", Uint8Array);
      const blob = new Blob(bytes ? [bytes as Uint8Array<ArrayBuffer>] : []);
      createImageBitmap(blob).then(
        (image) => {
          if (!gone) {
            c.width = image.width;
            c.height = image.height;
            context.drawImage(image, 0, 0);
          }
          image.close();
          drawn.current?.();
        },
        () => drawn.current?.(),
      );
    }
    return () => {
      gone = true;
    };
  }, [p.frame, p.kind, p.palette]);
  return (
    <div class="picture">
      <canvas ref={canvas} role="img" aria-label={p.kind === "depth" ? "Depth image" : "Image of the camera"} data-scene={p.kind} />
      {p.kind === "depth" ? <Legend palette={p.palette} lo={span[0]} hi={span[1]} unit="m" title="Depth" /> : null}
    </div>
  );
}

// drawDepth returns the range that the colours span in metres: from the 2nd to the 98th of a hundred.
function drawDepth(c: CanvasRenderingContext2D, depth: Uint16Array, w: number, h: number, colours: Uint8Array): [number, number] {
  c.canvas.width = w;
  c.canvas.height = h;
  const counts = new Uint32Array(65536);
  let valid = 0;
  for (let i = 0; i < depth.length; i++) {
    const d = depth[i]!;
    if (d === 0) continue;
    counts[d]!++;
    valid++;
  }
  const at = (share: number): number => {
    let n = 0;
    for (let d = 1; d < 65536; d++) if ((n += counts[d]!) >= share * valid) return d;
    return 65535;
  };
  const [lo, hi] = valid ? [at(0.02), at(0.98)] : [0, 1000];
  const image = c.createImageData(w, h);
  const pixels = new Uint32Array(image.data.buffer);
  const table = new Uint32Array(colours.buffer, colours.byteOffset, 256);
  const scale = 255 / Math.max(hi - lo, 1);
  for (let i = 0; i < depth.length; i++) {
    const d = depth[i]!;
    if (d === 0) continue; // no measurement: transparent
    const k = (d - lo) * scale;
    pixels[i] = table[k < 0 ? 0 : k > 255 ? 255 : k | 0]!;
  }
  c.putImageData(image, 0, 0);
  return [lo / 1000, hi / 1000];
}

function drawColours(c: CanvasRenderingContext2D, rgb: Uint8Array | undefined, shape: number[] | undefined): void {
  const [h = 0, w = 0] = shape ?? [];
  if (!rgb || w * h === 0) return;
  c.canvas.width = w;
  c.canvas.height = h;
  const image = c.createImageData(w, h);
  for (let i = 0; i < w * h; i++) {
    for (let k = 0; k < 3; k++) image.data[4 * i + k] = rgb[3 * i + k]!;
    image.data[4 * i + 3] = 255;
  }
  c.putImageData(image, 0, 0);
}
