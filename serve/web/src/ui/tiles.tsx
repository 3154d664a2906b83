// Figures at a glance.
import type { ComponentChildren } from "preact";

export interface Tile {
  name: string;
  value: string;
  unit?: string;
  note?: ComponentChildren;
  state?: "good" | "warn" | "bad";
}

export function Tiles(p: { label: string; tiles: Tile[] }) {
  return (
    <dl class="tiles" aria-label={p.label}>
      {p.tiles.map((t) => (
        <div key={t.name} class={t.state}>
          <dt>{t.name}</dt>
          <dd>
            <b>{t.value}</b> {t.unit ? <span class="unit">{t.unit}</span> : null}
            {t.note ? <span class="note">{t.note}</span> : null}
          </dd>
        </div>
      ))}
    </dl>
  );
}
