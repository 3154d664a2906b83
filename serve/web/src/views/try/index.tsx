// Try the model: with a file, or with a digit drawn by hand.
import { useEffect, useRef, useState } from "preact/hooks";
import { getFrame } from "../../api.ts";
import { className } from "../../classes.ts";
import { part, type Frame, type FrameHeader } from "../../frame.ts";
import { useSignal } from "../../hooks.ts";
import { Signal } from "../../signal.ts";
import { Empty, Failure, Pane } from "../../ui/controls.tsx";
import { FrameView } from "../../ui/frame-view.tsx";
import { percent, plural } from "../../ui/format.ts";
import { Items } from "./items.tsx";
import { Pad, type Stroke } from "./pad.tsx";
import { classify, type Answer } from "./upload.ts";

// The last answer stays while another view is open.
const nothing: { answer: Answer | null; shown: Frame | null } = { answer: null, shown: null };
const state = new Signal(nothing);

export default function TryView() {
  const { answer, shown } = useSignal(state);
  const [sent, setSent] = useState<{ name: string; share: number } | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [over, setOver] = useState(false);
  const [strokes, setStrokes] = useState<Stroke[]>([]);
  const [example, setExample] = useState<{ digit: number; seed: number } | null>(null);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  // start ends what is under way, and returns the signal of the next request.
  const start = (): AbortSignal => {
    abort.current?.abort();
    abort.current = new AbortController();
    setError(null);
    return abort.current.signal;
  };
  const show = (a: Answer) => {
    state.value = { answer: a, shown: a.items.find((i) => i.frame)?.frame ?? null };
  };
  const run = async (work: (signal: AbortSignal) => Promise<Answer>) => {
    const signal = start();
    try {
      const a = await work(signal);
      if (!signal.aborted) show(a);
    } catch (e) {
      if (!signal.aborted) setError(e as Error);
    } finally {
      if (!signal.aborted) setSent(null);
    }
  };
  const file = (f: File | undefined) => {
    if (!f) return;
    setStrokes([]);
    setExample(null);
    setSent({ name: f.name, share: 0 });
    void run((signal) => classify(f, (share) => setSent({ name: f.name, share }), signal));
  };
  const digit = (body: object) =>
    void run(async (signal) => {
      const frame = await getFrame<FrameHeader>("api/digit", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
        signal,
      });
      return { name: "Your digit", items: [{ frame }], more: false };
    });
  const draw = (s: Stroke[]) => {
    setStrokes(s);
    setExample(null);
    if (s.length) digit({ strokes: s });
    else clear();
  };
  const clear = () => {
    start();
    state.value = nothing;
  };
  const choose = (d: number) => {
    const next = { digit: d, seed: example?.digit === d ? example.seed + 1 : 0 };
    setStrokes([]);
    setExample(next);
    digit(next);
  };

  const ink = example && shown ? part(shown, "ink", Uint8Array) : undefined;
  return (
    <div
      class={over ? "view-try over" : "view-try"}
      onDragOver={(e) => {
        if (!e.dataTransfer?.types.includes("Files")) return;
        e.preventDefault();
        setOver(true);
      }}
      onDragLeave={(e) => {
        if (!e.currentTarget.contains(e.relatedTarget as Node | null)) setOver(false);
      }}
      onDrop={(e) => {
        e.preventDefault();
        setOver(false);
        file(e.dataTransfer?.files[0]);
      }}
    >
      <div class="inputs">
        <Pane title="A file">
          <div class="body">
            <label class="drop">
              <input
                type="file"
                class="sr"
                onChange={(e) => {
                  file(e.currentTarget.files?.[0]);
                  e.currentTarget.value = ""; // the same file can be chosen again
                }}
              />
              <span class="big">Drop a file here, or choose one</span>
              <span class="note">Point clouds, depth images, medical volumes, meshes, HDF5, NumPy, packet captures: whatever
                {" "}<code>voxelstream inspect</code> reads.</span>
            </label>
            {sent ? (
              <div class="progress">
                <p role="status">{sent.share < 1 ? `Sending ${sent.name}` : `Classifying ${sent.name}`}</p>
                <div class="row">
                  <progress aria-label={`Sending ${sent.name}`} max={1} {...(sent.share < 1 ? { value: sent.share } : {})} />
                  <button type="button" onClick={() => (start(), setSent(null))}>
                    Cancel
                  </button>
                </div>
              </div>
            ) : null}
            <Failure error={error} />
          </div>
        </Pane>
        <Pane
          title="A digit"
          tools={
            <>
              <button type="button" disabled={strokes.length === 0} onClick={() => draw(strokes.slice(0, -1))}>
                Undo
              </button>
              <button type="button" disabled={strokes.length === 0} onClick={() => draw([])}>
                Clear
              </button>
            </>
          }
        >
          <div class="body digit">
            <Pad strokes={strokes} ink={ink} onDraw={draw} />
            <div>
              <p id="examples" class="note">
                Draw with a mouse, a pen or a finger. Or let the generator write one: each press is another hand.
              </p>
              <div class="examples" role="group" aria-labelledby="examples">
                {[...Array(10).keys()].map((d) => (
                  <button key={d} type="button" aria-label={`Write a ${d}`} aria-pressed={example?.digit === d} onClick={() => choose(d)}>
                    {d}
                  </button>
                ))}
              </div>
            </div>
          </div>
        </Pane>
      </div>
      <p class="sr" role="status">
        {answer ? summary(answer) : ""}
      </p>
      {answer ? (
        <div class="outputs">
          <FrameView name="try" frame={shown} />
          {answer.items.length > 1 || answer.items.some((i) => i.error) ? <Items answer={answer} shown={shown} onShow={(f) => (state.value = { answer, shown: f })} /> : null}
        </div>
      ) : (
        <Empty title="See what the network sees">
          The file becomes volumes of the model's size, as in a pipeline, and each volume is classified.
        </Empty>
      )}
    </div>
  );
}

function summary(a: Answer): string {
  const header = a.items[0]?.frame?.header;
  const first = header?.classification;
  const what = `${a.more ? "The first " : ""}${plural(a.items.length, "item")} of ${a.name}`;
  return first ? `${what}. The first is classified as ${className(header, first.class)}, ${percent(first.score)}.` : what;
}
