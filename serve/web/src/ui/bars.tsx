// Bars of shares, as a list that reads well without the bars.

export interface Bar {
  key: string | number;
  name: string;
  value: number;
  text: string;
  mark?: number; // a second value, drawn as a line: what to compare with
  title?: string;
  strong?: boolean;
}

export function Bars(p: { label: string; bars: Bar[]; most?: number }) {
  const most = p.most ?? Math.max(...p.bars.map((b) => Math.max(b.value, b.mark ?? 0)), 1e-9);
  const width = (v: number) => `${Math.min(100, (100 * v) / most)}%`;
  return (
    <ul class="shares" aria-label={p.label}>
      {p.bars.map((b) => (
        <li key={b.key} title={b.title} class={b.strong ? "strong" : undefined}>
          <span class="name">{b.name}</span>
          <span class="track" aria-hidden="true">
            <span class="bar" style={{ width: width(b.value) }} />
            {b.mark === undefined ? null : <span class="mark" style={{ left: width(b.mark) }} />}
          </span>
          <span class="value">{b.text}</span>
        </li>
      ))}
    </ul>
  );
}
