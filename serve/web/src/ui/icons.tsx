// Icons of 20 x 20 units, drawn with lines in the colour of the text.
const paths = {
  live: "M10 2.5 16.5 6v8L10 17.5 3.5 14V6zM3.5 6 10 9.7 16.5 6M10 9.7v7.8",
  history: "M3 10a7 7 0 1 0 2.2-5.1L3 7m0-4v4h4M10 6v4.3l3 1.8",
  why: "M7.6 7.4a2.5 2.5 0 1 1 3.6 2.2c-.8.4-1.2 1-1.2 1.9M10 14.4v.1M10 2.8a7.2 7.2 0 1 0 0 14.4 7.2 7.2 0 0 0 0-14.4z",
  run: "M2.5 10.5h3l2-6 4 11 2.2-7 1 2h2.8",
  train: "M3 3v14h14M6 13l3-4 2.5 2L16 5",
  try: "M10 13V3.5m0 0L6.5 7M10 3.5 13.5 7M3.5 12.5v3a1 1 0 0 0 1 1h11a1 1 0 0 0 1-1v-3",
  models: "M10 3 17 6.5 10 10 3 6.5zM3 10l7 3.5 7-3.5M3 13.5 10 17l7-3.5",
  letters: "M3 5h14v10H3zM3 5.5l7 5.5 7-5.5",
  sun: "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM10 1.8v2M10 16.2v2M1.8 10h2M16.2 10h2M4.2 4.2l1.4 1.4M14.4 14.4l1.4 1.4M4.2 15.8l1.4-1.4M14.4 5.6l1.4-1.4",
  moon: "M16.5 11.8A7 7 0 1 1 8.2 3.5a5.6 5.6 0 0 0 8.3 8.3z",
  system: "M3 4h14v9.5H3zM7.5 17h5M10 13.5V17",
  play: "M6 3.8v12.4L16 10z",
  pause: "M6 4v12M14 4v12",
  first: "M4.5 4v12M15.5 4.5v11L7 10z",
  last: "M15.5 4v12M4.5 4.5v11L13 10z",
  back: "M12.5 4.5 7 10l5.5 5.5",
  forward: "M7.5 4.5 13 10l-5.5 5.5",
  loop: "M4 9.5a4 4 0 0 1 4-4h7.5m0 0L13 3m2.5 2.5L13 8M16 10.5a4 4 0 0 1-4 4H4.500m0 0L7 12m-2.500 2.500L7 17",
  measure: "M2.8 13.200 13.200 2.800l4 4L6.800 17.200zM6 10l1.600 1.600M8.500 7.500l1.600 1.600M11 5l1.600 1.600",
  fit: "M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4",
  sliders: "M3 6h7M14 6h3M12 4v4M3 14h3M10 14h7M8 12v4",
  close: "M5 5l10 10M15 5 5 15",
  warning: "M10 3 18 16.500H2zM10 8v4M10 14.200v.1",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}
