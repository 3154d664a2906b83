// Lanes for a graph of layers as a list: each layer is a row, and its edges run in lanes beside the rows, as in the
// history of a repository. Layers are in topological order.

export interface Node {
  name: string;
  inputs: string[];
}

export interface Row {
  lane: number; // of the layer
  joins: number[]; // lanes that end or branch off at the layer, from above
  through: number[]; // lanes that pass by
  continues: boolean; // whether the layer's lane goes on below
}

export interface Lanes {
  rows: Row[];
  width: number; // lanes at most
}

export function lanes(nodes: Node[]): Lanes {
  const uses = new Map<string, number>();
  for (const n of nodes) for (const i of n.inputs) uses.set(i, (uses.get(i) ?? 0) + 1);
  const held: (string | null)[] = []; // whose output runs in a lane
  let width = 1;
  const rows = nodes.map((n): Row => {
    const joins = n.inputs.map((i) => held.indexOf(i)).filter((k) => k >= 0);
    for (const i of n.inputs) {
      const left = (uses.get(i) ?? 1) - 1;
      uses.set(i, left);
      if (left === 0 && held.includes(i)) held[held.indexOf(i)] = null;
    }
    const through = held.flatMap((h, k) => (h === null ? [] : [k]));
    let lane = joins.find((k) => held[k] === null) ?? held.indexOf(null);
    if (lane < 0) lane = held.length;
    const continues = (uses.get(n.name) ?? 0) > 0;
    held[lane] = continues ? n.name : null;
    width = Math.max(width, held.length);
    while (held.length > 0 && held.at(-1) === null) held.pop();
    return { lane, joins, through, continues };
  });
  return { rows, width };
}
