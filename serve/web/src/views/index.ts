// The views of the page. A view is a file or folder here, and a line in this list. It is loaded when it is first opened.
import type { ComponentType } from "preact";
import type { IconName } from "../ui/icons.tsx";

export interface View {
  id: string; // the address is #id
  title: string;
  icon: IconName;
  load: () => Promise<{ default: ComponentType }>;
}

export const views: View[] = [
  { id: "live", title: "Live", icon: "live", load: () => import("./live.tsx") },
  { id: "history", title: "History", icon: "history", load: () => import("./history.tsx") },
  { id: "why", title: "Why", icon: "why", load: () => import("./why/index.tsx") },
  { id: "run", title: "Run", icon: "run", load: () => import("./run/index.tsx") },
  { id: "train", title: "Train", icon: "train", load: () => import("./train.tsx") },
  { id: "try", title: "Try", icon: "try", load: () => import("./try/index.tsx") },
  { id: "models", title: "Models", icon: "models", load: () => import("./models.tsx") },
];
