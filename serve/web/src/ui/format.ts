// How numbers and times are written.
export const count = (n: number): string => n.toLocaleString();
export const percent = (x: number): string =>
  `${(100 * x).toFixed(x > 0.9995 || x < 0.0005 || x >= 0.0995 ? 0 : 1)}\u00a0%`;
export const clock = (t: string | undefined | null): string => {
  if (!t) return "";
  const d = new Date(t);
  return isNaN(+d) ? "" : d.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
};
// timeOfDay leaves the date out, for what happened while the page was open.
export const timeOfDay = (d: Date): string => d.toLocaleTimeString(undefined, { timeStyle: "medium" });
export const plural = (n: number, one: string, many = one + "s"): string => `${count(n)} ${n === 1 ? one : many}`;
export const metres = (m: number): string =>
  Math.abs(m) < 1 ? `${(m * 100).toFixed(1)} cm` : `${m.toFixed(Math.abs(m) < 100 ? 2 : 1)} m`;
export const short = (v: number): string => v.toLocaleString(undefined, { maximumSignificantDigits: 3 });
// duration writes seconds as people say them.
export function duration(s: number): string {
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
}
