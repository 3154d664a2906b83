// Light and dark: the browser's preference, or the person's choice.
import { Signal } from "./signal.ts";
import { store, stored } from "./hooks.ts";

export type Theme = "system" | "light" | "dark";

export const theme = new Signal<Theme>(stored<Theme>("theme", "system"));
// themed changes when the colours in use change: canvases draw again.
export const themed = new Signal(0);

function apply(): void {
  const root = document.documentElement;
  if (theme.value === "system") delete root.dataset["theme"];
  else root.dataset["theme"] = theme.value;
  themed.value++;
}

theme.listen((t) => {
  store("theme", t);
  apply();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
apply();

let probe: HTMLElement | null = null;

// colour resolves a design token, such as "ink", to rgb(r, g, b) in the theme in use.
export function colour(token: string): string {
  if (!probe) {
    probe = document.createElement("span");
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(--${token})`;
  return getComputedStyle(probe).color;
}
