// The items of a file, each with its class.
import { useMemo } from "preact/hooks";
import { className } from "../../classes.ts";
import { flattest, fullest, ofVolume } from "../../draw/grid.ts";
import { PlaneView } from "../../draw/plane.tsx";
import type { Frame } from "../../frame.ts";
import { volumeOf } from "../../scene/data.ts";
import { lut } from "../../scene/palette.ts";
import { Pane } from "../../ui/controls.tsx";
import { percent, plural } from "../../ui/format.ts";
import type { Answer } from "./upload.ts";

export function Items(p: { answer: Answer; shown: Frame | null; onShow: (f: Frame) => void }) {
  const { items, more, name } = p.answer;
  return (
    <Pane title={name} note={more ? `the first ${items.length} items` : plural(items.length, "item")}>
      <div class="body">
        <ol class="gallery">
          {items.map((item, i) => (
            <li key={i}>
              {item.frame ? (
                <Thumb frame={item.frame} number={i + 1} shown={item.frame === p.shown} onShow={p.onShow} />
              ) : (
                <p class="failure">{item.error}</p>
              )}
            </li>
          ))}
        </ol>
      </div>
    </Pane>
  );
}

function Thumb(p: { frame: Frame; number: number; shown: boolean; onShow: (f: Frame) => void }) {
  const grid = useMemo(() => {
    const v = volumeOf(p.frame);
    return v && ofVolume(v);
  }, [p.frame]);
  const c = p.frame.header.classification;
  const axis = grid ? flattest(grid) : 0;
  return (
    <button type="button" class="plain thumb" aria-pressed={p.shown} onClick={() => p.onShow(p.frame)}>
      {grid ? (
        <PlaneView
          grid={grid}
          axis={axis}
          at={fullest(grid, axis)}
          ramp={lut(p.frame.header.volume?.palette ?? "Oranges")}
          label={`Item ${p.number}`}
        />
      ) : null}
      <span>
        <b>{c ? className(p.frame.header, c.class) : "not classified"}</b> {c ? percent(c.score) : ""}
      </span>
    </button>
  );
}
