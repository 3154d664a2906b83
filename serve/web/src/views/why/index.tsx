// Why the network says what it says: which cells speak for a class, what the layers see, and what they cost.
import { useEffect, useMemo, useState } from "preact/hooks";
import { api, getFrame, getJSON, query } from "../../api.ts";
import { explained } from "../../chosen.ts";
import { className } from "../../classes.ts";
import { flattest, fullest, heatOf, ofVolume, type Axis } from "../../draw/grid.ts";
import { PlaneView, useGrey } from "../../draw/plane.tsx";
import { encode, type Frame, type Message } from "../../frame.ts";
import { useSignal, useStored } from "../../hooks.ts";
import { replace, route } from "../../route.ts";
import { volumeOf } from "../../scene/data.ts";
import type { VolumeData } from "../../scene/faces.ts";
import type { ExplainHeader, Graph as GraphShape } from "../../shapes.ts";
import { streams } from "../../streams.ts";
import { Empty, Failure, Pane, Segmented, Select, Slider, Toggle } from "../../ui/controls.tsx";
import { percent, short } from "../../ui/format.ts";
import { VolumePane } from "../../ui/volume-pane.tsx";
import { Graph } from "./graph.tsx";
import { Sheet } from "./sheet.tsx";

// Method is a choice of the person. Part is the map in the answer of the server's method.
interface Method {
  value: string;
  text: string;
  method: string;
  part: string;
  about: string;
}

const methods: Method[] = [
  {
    value: "gradcam",
    text: "Grad-CAM",
    method: "gradcam",
    part: "gradcam",
    about: "Where the features of the last convolution, after its normalization and activation, speak for the class (Grad-CAM), interpolated between its cells.",
  },
  {
    value: "contribution",
    text: "Contribution",
    method: "gradient",
    part: "contribution",
    about: "What each cell adds to the score of the class compared with an empty cell: the gradient times the difference.",
  },
  {
    value: "gradient",
    text: "Gradient",
    method: "gradient",
    part: "gradient",
    about: "How much the score of the class would change if the value of the cell grew.",
  },
];

type Explained = Message<ExplainHeader>;

export default function WhyView() {
  const { frame, error, take } = useFrame();
  const data = useMemo(() => (frame ? volumeOf(frame) : null), [frame]);
  if (!frame || !data) {
    return (
      <>
        <Failure error={error} />
        <Empty title="No volume to explain">
          Volumes appear here as soon as the pipeline classifies them. Or open a moment of the History, or Try a file.
        </Empty>
      </>
    );
  }
  return (
    <div class="view-why">
      <Failure error={error} />
      <Explain frame={frame} data={data} take={take} />
    </div>
  );
}

// useFrame is the frame to explain: that of another view, that of the offset in the address, or the newest live one.
function useFrame(): { frame: Frame | null; error: Error | null; take: (() => void) | null } {
  const at = useSignal(route).query;
  const [p, o] = [at.get("p"), at.get("o")];
  const [frame, setFrame] = useState<Frame | null>(() => explained.value);
  const [error, setError] = useState<Error | null>(null);
  const [live, setLive] = useState(streams.all.size > 0);
  useEffect(() => {
    setError(null);
    const held = frame?.header.offset;
    if (o === null) {
      setFrame((now) => now ?? newest());
      streams.recall().catch(() => {}); // a server without a topic shows what is tried
      // The first one that comes is taken. All are acknowledged, so that there is a newest one.
      return streams.listen(() => {
        setLive(true);
        setFrame((now) => now ?? newest());
        streams.drawn();
      });
    }
    if (held && String(held.partition) === p && String(held.offset) === o) return;
    const abort = new AbortController();
    api.frame(Number(p ?? 0), Number(o), "next", abort.signal).then(setFrame, (e: Error) => {
      if (!abort.signal.aborted) setError(e);
    });
    return () => abort.abort();
  }, [p, o]);
  const take = () => {
    explained.value = null;
    replace("why", {});
    setFrame(newest());
  };
  return { frame, error, take: live ? take : null };
}

// newest is the newest live frame with a volume.
function newest(): Frame | null {
  const all = [...streams.all.values()].filter((s) => s.frame.parts.has("volume"));
  return all.length ? all.reduce((a, b) => (b.last > a.last ? b : a)).frame : null;
}

function Explain({ frame, data, take }: { frame: Frame; data: VolumeData; take: (() => void) | null }) {
  const c = frame.header.classification;
  const model = c?.model.name;
  const [chosen, setMethod] = useStored("why.method", "gradcam");
  const method = methods.find((m) => m.value === chosen) ?? methods[0]!;
  const [target, setTarget] = useState<number | null>(null);
  const [opacity, setOpacity] = useStored("why.opacity", 0.85);
  const [alone, setAlone] = useStored("why.alone", false);
  const [layer, setLayer] = useState("");
  const [graph, setGraph] = useState<GraphShape | null>(null);
  const [failed, setFailed] = useState<Error | null>(null);
  useEffect(() => setTarget(null), [frame]);
  const cls = target ?? c?.class ?? 0;
  const saliency = useExplain(frame, { method: method.method, class: cls, model });
  const features = useExplain(layer ? frame : null, { method: "features", layer, model });
  useEffect(() => {
    const abort = new AbortController();
    getJSON<GraphShape>(`api/graph?${query({ model })}`, abort.signal).then(setGraph, (e: Error) => {
      if (!abort.signal.aborted) setFailed(e);
    });
    return () => abort.abort();
  }, [model]);
  useEffect(() => {
    if (!layer && graph) setLayer(graph.layers.find((l) => l.shape.length === 4 && l.parameters > 0)?.name ?? "");
  }, [graph]);

  const map = saliency.answer?.parts.get(method.part) ?? null;
  const found = useMemo(() => (map ? heatOf(map) : null), [map]);
  const nothing = found !== null && found.lo >= 0 && found.hi <= 0;
  const heat = nothing ? null : found;
  const painted = useMemo((): VolumeData => {
    if (!heat) return data;
    const paint = new Uint8Array(data.cells.length);
    const strength = new Uint8Array(data.cells.length);
    for (let i = 0; i < paint.length; i++) {
      const h = heat.hi > 0 ? heat.values[i]! / heat.hi : 0;
      paint[i] = heat.lo < 0 ? Math.round(127.5 + 127.5 * h) : Math.round(255 * h);
      strength[i] = Math.round(255 * Math.abs(h));
    }
    return alone ? { dims: data.dims, cells: strength, paint, lo: 0, hi: heat.hi } : { ...data, paint };
  }, [data, heat, alone]);
  const feature = features.answer?.parts.get("features");
  const first = useMemo(() => flattest(ofVolume(data)), [data]);
  const names = frame.header.class_names;
  const classes = names?.length ? names.map((_, k) => k) : (c?.top_k.map((s) => s.class) ?? [cls]);

  return (
    <>
      <Pane title="Question" note={frame.header.event_id}>
        <div class="body choices">
          <Select
            label="What speaks for"
            value={String(cls)}
            options={classes.map((k) => {
              const s = c?.top_k.find((x) => x.class === k);
              return { value: String(k), text: className(frame.header, k) + (s ? ` (${percent(s.score)})` : "") };
            })}
            onChange={(v) => setTarget(Number(v))}
          />
          <Segmented label="Method" value={method.value} options={methods} onChange={setMethod} />
          <Toggle label="Only where it is strong" value={alone} onChange={setAlone} />
          {take ? (
            <button type="button" onClick={take}>
              Take the newest live volume
            </button>
          ) : null}
          <p class="note">
            {method.about}
            {nothing ? (
              <b>
                {" "}
                Nothing speaks for {className(frame.header, cls)} by this method. Choose another one.
              </b>
            ) : null}
            {saliency.answer?.header.ms ? ` Computed in ${short(saliency.answer.header.ms)} ms.` : ""}
          </p>
        </div>
      </Pane>
      <Failure error={saliency.error} />
      <div class="columns">
        <VolumePane
          name="why"
          title={`What speaks for ${className(frame.header, cls)}`}
          data={painted}
          palette={heat ? (heat.lo < 0 ? "difference" : "viridis") : "Oranges"}
          {...(heat ? { legend: [heat.lo, heat.hi], says: (i) => `${method.text} ${short(heat.values[i]!)}` } : {})}
        />
        <Planes data={data} heat={heat} opacity={opacity} onOpacity={setOpacity} />
      </div>
      <Failure error={failed} />
      <div class="columns">
        {graph ? (
          <Pane title="Layers" note={graph.model} class="wide">
            <div class="body">
              <Graph layers={graph.layers} chosen={layer} onChoose={setLayer} />
            </div>
          </Pane>
        ) : null}
        {layer ? (
          <Pane title={`Feature maps of ${layer}`} class="wide">
            <div class="body">
              <Failure error={features.error} />
              {feature ? <Sheet key={layer} part={feature} layer={layer} first={first} /> : null}
            </div>
          </Pane>
        ) : null}
      </div>
    </>
  );
}

function Planes(p: {
  data: VolumeData;
  heat: ReturnType<typeof heatOf> | null;
  opacity: number;
  onOpacity: (v: number) => void;
}) {
  const grid = useMemo(() => ofVolume(p.data), [p.data]);
  const best = useMemo(() => ([0, 1, 2] as const).map((a) => fullest(p.heat ?? grid, a)), [grid, p.heat]);
  const [at, setAt] = useState<(number | null)[]>([null, null, null]);
  const ramp = useGrey();
  const first = useMemo(() => flattest(grid), [grid]);
  const axes = [first, ...([0, 1, 2] as Axis[]).filter((a) => a !== first)] as Axis[];
  return (
    <Pane
      title="Planes"
      note={
        <>
          <span class="swatch for" aria-hidden="true" />
          speaks for it{" "}
          {p.heat && p.heat.lo < 0 ? (
            <>
              <span class="swatch against" aria-hidden="true" />
              speaks against it
            </>
          ) : null}
        </>
      }
    >
      <div class="body">
        <div class="planes">
          {axes.map((axis) => (
            <PlaneView
              key={axis}
              grid={grid}
              axis={axis}
              at={at[axis] ?? best[axis]!}
              onAt={(i) => setAt(at.map((v, k) => (k === axis ? i : v)))}
              ramp={ramp}
              overlay={p.heat ? { heat: p.heat, opacity: p.opacity } : null}
              label="Volume with what speaks for the class"
            />
          ))}
        </div>
        <Slider label="Strength of the colours" value={p.opacity} min={0} max={1} step={0.05} text={percent(p.opacity)} onInput={p.onOpacity} />
      </div>
    </Pane>
  );
}

// useExplain asks the server about a frame. The last answer stays until the next one comes.
function useExplain(frame: Frame | null, q: Record<string, string | number | undefined>): { answer: Explained | null; error: Error | null } {
  const [answer, setAnswer] = useState<Explained | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const asked = query(q);
  useEffect(() => {
    const volume = frame?.parts.get("volume");
    if (!frame || !volume) return;
    const abort = new AbortController();
    const { type, event_id, stream, seq, volume: header } = frame.header;
    getFrame<ExplainHeader>(`api/explain?${asked}`, {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: encode({ type, event_id, stream, seq, volume: header }, [volume]),
      signal: abort.signal,
    }).then(
      (m) => (setAnswer(m), setError(null)),
      (e: Error) => {
        if (!abort.signal.aborted) setError(e);
      },
    );
    return () => abort.abort();
  }, [frame, asked]);
  return { answer, error };
}
