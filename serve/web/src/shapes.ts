// The JSON that the server answers with, apart from that in api.ts.
import type { VolumeHeader } from "./frame.ts";

// Run is GET /api/run, and the header of frames of type "run", one each second.
export interface Run {
  time: string;
  started?: string;
  ended?: string; // when everything of all inputs was classified
  // throughput is classified volumes per second, over the last second.
  throughput: number;
  total: number; // classified since the start
  // stages are those of a volume, in order: queue, decode, inference, sinks.
  stages: Stage[];
  lag?: { topic: string; partition: number; lag: number }[];
  batches?: { upto: number; count: number }[]; // sizes of inference batches; upto is inclusive
  dropped?: number;
  retries?: number;
  failures?: number;
  dead_letters?: number;
  unfamiliar?: number;
  streams?: { stream: string; rate: number; total: number; last?: string; n?: number }[]; // last: time of the newest; n: its number, as in frames
  classes?: ClassShare[];
  drift?: { value: number; limit: number; measure: string; reference: string; counted: number } | null;
  confusion?: { matrix: number[][]; names?: string[] } | null; // rows are labels
}

export interface Stage {
  name: string;
  rate: number; // volumes per second
  p50_ms: number;
  p99_ms: number;
}

export interface ClassShare {
  class: number;
  name?: string;
  count: number;
  share: number;
  reference?: number; // share in what drift is measured against
}

// DeadLetters is GET /api/dead-letters.
export interface DeadLetters {
  letters: DeadLetter[];
  more?: boolean; // there are older ones
}

export interface DeadLetter {
  id: string; // PARTITION:OFFSET
  event_id: string;
  topic?: string;
  at?: string;
  input?: string;
  stage: string;
  error: string;
  attempts: number;
  time: string;
  bytes: number;
}

// DeadLetterDetail is GET /api/dead-letters/P/O.
export interface DeadLetterDetail extends DeadLetter {
  key?: string;
  headers?: Record<string, string>;
  preview?: string; // what the bytes are
}

// Models is GET /api/models.
export interface Models {
  models: Model[];
  previous?: { name: string; version: string } | null; // what rollback returns to
}

export interface Model {
  name: string;
  version: string;
  digest: string;
  current?: boolean; // it classifies
  state?: string; // "ready", "loading", or why it cannot be used
  error?: string;
  size?: [number, number, number]; // depth, height, width
  channels?: number;
  input?: string; // its rules in words
  values?: string;
  colormap?: string;
  classes?: string[];
  parameters?: number;
  bytes?: number;
}

// Graph is GET /api/graph.
export interface Graph {
  model: string;
  layers: Layer[];
}

export interface Layer {
  name: string;
  type: string;
  shape: number[];
  parameters: number;
  ms?: number; // absent if the layer is computed with another one
  within?: string; // the name of that one
  inputs?: string[];
}

// ExplainHeader is the header of the answer of /api/explain.
export interface ExplainHeader {
  type: "explain";
  method: string;
  class: number;
  layer?: string;
  model: string;
  ms: number;
}

// Train is GET /api/train, and the header of frames of type "train".
export interface Train {
  state: "running" | "done" | "stopped" | "failed";
  epoch: number;
  epochs: number;
  row: number; // within the epoch
  rows: number;
  rows_per_second?: number;
  eta_seconds?: number;
  elapsed_seconds?: number;
  learning_rate?: number;
  history: Epoch[];
  best?: number; // epoch
  monitor?: string;
  wrong?: WrongSample[];
  model?: string; // name of the network for /api/explain
  classes?: string[]; // names or numbers
  error?: string;
}

export interface Epoch {
  epoch: number;
  loss: number;
  accuracy?: number;
  val_loss?: number | null;
  val_accuracy?: number | null;
  learning_rate?: number;
  seconds?: number;
}

export interface WrongSample {
  row: number;
  label: number;
  label_name?: string;
  class: number;
  name?: string;
  score: number;
  part?: string; // the part of the frame that holds the volume
  volume?: VolumeHeader; // what the part holds
  event_id?: string;
}
