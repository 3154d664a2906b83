// The address: #view?key=value.
import { Signal } from "./signal.ts";

export interface Route {
  view: string;
  query: URLSearchParams;
}

function parse(): Route {
  const [view = "", query = ""] = location.hash.slice(1).split("?", 2);
  return { view, query: new URLSearchParams(query) };
}

export const route = new Signal<Route>(parse());
addEventListener("hashchange", () => (route.value = parse()));

// href is the address of a view.
export function href(view: string, query: Record<string, string | number> = {}): string {
  const q = new URLSearchParams(Object.entries(query).map(([k, v]) => [k, String(v)])).toString();
  return `#${view}${q ? "?" + q : ""}`;
}

// replace changes the address without a new entry in the browser's history.
export function replace(view: string, query: Record<string, string | number>): void {
  history.replaceState(null, "", href(view, query));
}
