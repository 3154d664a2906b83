// Frames that views hand to one another.
import type { Frame } from "./frame.ts";
import { Signal } from "./signal.ts";

// explained is the frame that the view Why is about; null for the newest live one.
export const explained = new Signal<Frame | null>(null);
