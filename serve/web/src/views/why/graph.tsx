// The layers of a model as a list, with their connections, shapes and times.
import { useMemo } from "preact/hooks";
import { lanes, type Row } from "../../draw/lanes.ts";
import type { Layer } from "../../shapes.ts";
import { count, short } from "../../ui/format.ts";

const step = 14; // pixels between lanes
const tall = 36; // height of a row

export function Graph(p: { layers: Layer[]; chosen: string; onChoose: (name: string) => void }) {
  const drawn = useMemo(() => lanes(p.layers.map((l) => ({ name: l.name, inputs: l.inputs ?? [] }))), [p.layers]);
  const most = Math.max(...p.layers.map((l) => l.ms ?? 0), 1e-9);
  const all = p.layers.reduce((a, l) => a + (l.ms ?? 0), 0);
  const width = drawn.width * step;
  return (
    <div class="scroll graph" tabIndex={0} role="group" aria-label="Layers">
      <table>
        <thead>
          <tr>
            <td />
            <th scope="col">Layer</th>
            <th scope="col">Output</th>
            <th scope="col" class="number">
              Parameters
            </th>
            <th scope="col" class="time">
              Time{all > 0 ? ` (${short(all)} ms in all)` : ""}
            </th>
          </tr>
        </thead>
        <tbody>
          {p.layers.map((l, i) => {
            const feature = l.shape.length === 4; // depth, height, width, channels
            return (
              <tr key={l.name} aria-selected={l.name === p.chosen} class={l.name === p.chosen ? "chosen" : undefined}>
                <td class="lanes">
                  <Edges row={drawn.rows[i]!} width={width} />
                </td>
                <th scope="row">
                  {feature ? (
                    <button type="button" class="plain" aria-pressed={l.name === p.chosen} onClick={() => p.onChoose(l.name)}>
                      {l.name}
                    </button>
                  ) : (
                    <span>{l.name}</span>
                  )}
                  <span class="type">{l.type}</span>
                </th>
                <td class="shape">{l.shape.join("×")}</td>
                <td class="number">{l.parameters ? count(l.parameters) : ""}</td>
                <td class="time">
                  {l.ms === undefined ? (
                    <span>{l.within ? `within ${l.within}` : ""}</span>
                  ) : (
                    <>
                      <span class="track" aria-hidden="true">
                        <span class="bar" style={{ width: `${(100 * l.ms) / most}%` }} />
                      </span>
                      <span>{l.ms < 0.001 ? "< 0.001" : short(l.ms)} ms</span>
                    </>
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Edges({ row, width }: { row: Row; width: number }) {
  const x = (lane: number) => lane * step + step / 2;
  const middle = tall / 2;
  const me = x(row.lane);
  const paths = [
    ...row.through.map((k) => `M${x(k)} 0V${tall}`),
    ...row.joins.map((k) => (k === row.lane ? `M${me} 0V${middle}` : `M${x(k)} 0C${x(k)} ${middle} ${me} 0 ${me} ${middle}`)),
    ...(row.continues ? [`M${me} ${middle}V${tall}`] : []),
  ];
  return (
    <svg width={width} height={tall} viewBox={`0 0 ${width} ${tall}`} aria-hidden="true">
      <path d={paths.join("")} />
      <circle cx={me} cy={middle} r="4" />
    </svg>
  );
}
