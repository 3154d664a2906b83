// How classes are called, everywhere on the page: by their name, or by their number if the model has no names.
import type { FrameHeader } from "./frame.ts";

type Named = Pick<FrameHeader, "class_names" | "classification">;

// className is the name of a class of a frame's model.
export function className(h: Named | undefined, k: number): string {
  const c = h?.classification;
  return h?.class_names?.[k] || (c?.class === k && c.name) || String(k);
}

// labelOf is the true class of a frame, or null.
export function labelOf(h: FrameHeader): number | null {
  const l = h.label ?? h.classification?.label;
  return l === undefined || l === null || l < 0 ? null : l;
}
