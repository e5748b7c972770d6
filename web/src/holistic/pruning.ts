// A .tflite file with some of its outputs alone: as signloom.streams.holistic.pruning in Python.

const SUBGRAPHS = 2; // fields of a Model
const [OUTPUTS, OPERATORS] = [2, 3]; // of a SubGraph
const [READS, WRITES] = [1, 2]; // of an Operator

/** The network in `data` with only its `outputs`, by number, and the operators that these need. Throws RangeError. */
export function pruned(data: Uint8Array, outputs: readonly number[]): Uint8Array {
  if (String.fromCharCode(...data.subarray(4, 8)) !== "TFL3") throw new RangeError("it is no .tflite file");
  const copy = data.slice();
  const view = new DataView(copy.buffer);
  const at = (slot: number) => slot + view.getUint32(slot, true);
  const field = (table: number, number: number) => {
    const layout = table - view.getInt32(table, true);
    const known = 4 + 2 * number < view.getUint16(layout, true);
    const offset = known ? view.getUint16(layout + 4 + 2 * number, true) : 0;
    if (!offset) throw new RangeError(`field ${number} is missing`);
    return table + offset;
  };
  const vector = (where: number) => {
    const start = at(where);
    return Array.from({ length: view.getUint32(start, true) }, (_, k) => start + 4 + 4 * k);
  };
  const numbers = (where: number) => vector(where).map((place) => view.getInt32(place, true));

  const graphs = vector(field(at(0), SUBGRAPHS));
  if (graphs.length !== 1) throw new RangeError(`it has ${graphs.length} graphs, expected 1`);
  const graph = at(graphs[0]);
  const atOutputs = field(graph, OUTPUTS);
  const slots = vector(field(graph, OPERATORS));
  const every = numbers(atOutputs);
  const wanted = outputs.map((number) => every[number]);
  const operators = slots.map(at);
  const needed = new Set(wanted);
  const kept: number[] = [];
  for (let k = operators.length - 1; k >= 0; k--) {
    if (!numbers(field(operators[k], WRITES)).some((tensor) => needed.has(tensor))) continue;
    for (const tensor of numbers(field(operators[k], READS))) needed.add(tensor);
    kept.unshift(operators[k]);
  }
  write(at(atOutputs), wanted, (value) => value);
  // Offsets count from where they stand.
  write(at(field(graph, OPERATORS)), kept, (operator, place) => operator - place);
  return copy;

  function write(start: number, values: number[], coded: (value: number, place: number) => number): void {
    view.setUint32(start, values.length, true);
    values.forEach((value, k) => view.setUint32(start + 4 + 4 * k, coded(value, start + 4 + 4 * k), true));
  }
}
