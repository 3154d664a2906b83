// A confusion matrix: rows are labels, columns are what the network says.
import { useState } from "preact/hooks";
import { count, percent } from "./format.ts";

const most = 40; // classes drawn as a table; of more, the confusions alone

interface Pair {
  label: number;
  said: number;
  n: number;
}

export function Confusion(p: { matrix: number[][]; name: (c: number) => string }) {
  const [at, setAt] = useState<[number, number] | null>(null);
  const n = p.matrix.length;
  const totals = p.matrix.map((r) => r.reduce((a, b) => a + b, 0));
  const all = totals.reduce((a, b) => a + b, 0);
  const right = p.matrix.reduce((a, r, i) => a + (r[i] ?? 0), 0);
  const pairs: Pair[] = p.matrix
    .flatMap((r, label) => r.map((k, said) => ({ label, said, n: k })))
    .filter((x) => x.label !== x.said && x.n > 0)
    .sort((a, b) => b.n - a.n)
    .slice(0, 8);
  if (all === 0) return null;
  const spoken = (label: number, said: number) => {
    const k = p.matrix[label]?.[said] ?? 0;
    const share = totals[label] ? ` (${percent(k / totals[label]!)})` : "";
    return `${count(k)} of label ${p.name(label)} classified as ${p.name(said)}${share}`;
  };
  return (
    <div class="confusion">
      <p class="sum">
        <b>{percent(right / all)}</b> of {count(all)} labelled volumes are classified correctly.
      </p>
      {n <= most ? (
        <div class="scroll" tabIndex={0} role="group" aria-label="Confusion matrix">
          <table>
            <caption class="sr">Rows are labels, columns are the classes that the network says.</caption>
            <thead>
              <tr>
                <td class="corner">
                  <span aria-hidden="true">label ↓ class →</span>
                </td>
                {p.matrix.map((_, i) => (
                  <th key={i} scope="col">
                    {p.name(i)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {p.matrix.map((row, i) => (
                <tr key={i}>
                  <th scope="row">{p.name(i)}</th>
                  {row.map((k, j) => {
                    const share = totals[i] ? k / totals[i]! : 0;
                    return (
                      <td
                        key={j}
                        class={i === j ? "right" : k > 0 ? "wrong" : undefined}
                        style={{ "--share": `${Math.round(100 * Math.sqrt(share))}%` }}
                        data-dark={share > 0.35 ? "" : undefined}
                        title={spoken(i, j)}
                        onPointerEnter={() => setAt([i, j])}
                        onPointerLeave={() => setAt(null)}
                      >
                        {k > 0 ? k : ""}
                      </td>
                    );
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : null}
      <p class="note" aria-hidden="true">
        {at ? spoken(...at) : pairs.length ? "Most frequent confusions:" : "There is no confusion."}
      </p>
      {pairs.length ? (
        <ol class="pairs" aria-label="Most frequent confusions">
          {pairs.map((x) => (
            <li key={`${x.label}/${x.said}`}>
              <span>
                {p.name(x.label)} <span class="sr">classified as</span>
                <span aria-hidden="true">→</span> {p.name(x.said)}
              </span>
              <b>{count(x.n)}</b>
            </li>
          ))}
        </ol>
      ) : null}
    </div>
  );
}
