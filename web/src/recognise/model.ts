// A model that `signloom export --to web` wrote, as its model.json describes it.

import type { PoseInput } from "../pose/joints";
import type { Prototypes, Unknown } from "./open_set";
import { fetchKept } from "../fetching";

export interface ModelFile {
  readonly format: number;
  readonly task: string;
  readonly name: string;
  readonly labels: readonly string[];
  /** Signs that it was taught before it was exported, behind `labels`. */
  readonly taught: readonly string[];
  readonly temperature: number;
  readonly fps: number;
  readonly files: { readonly graph: readonly string[]; readonly prototypes?: string };
  readonly sha256: Readonly<Record<string, string>>;
  readonly preprocessing: PoseInput & {
    readonly kind: string;
    readonly joints: readonly string[];
  };
  readonly unknown: Unknown | null;
  readonly prototypes?: Readonly<Record<string, { readonly offset: number; readonly shape: readonly number[] }>>;
  readonly estimator: Readonly<Record<string, unknown>>;
}

export interface Model {
  readonly about: ModelFile;
  readonly graph: Uint8Array;
  readonly space: Prototypes | null;
  /** Tells this model from others, so that what one was taught is not given to another. */
  readonly identity: string;
}

/** Fetch a model whose model.json is at `url`. Throws an Error that says what is wrong with it. */
export async function fetchModel(url: string, told: (done: number, total: number) => void): Promise<Model> {
  const about = JSON.parse(new TextDecoder().decode(await fetchKept(url, "newest"))) as ModelFile;
  check(about, url);
  const names = [...about.files.graph, ...(about.files.prototypes ? [about.files.prototypes] : [])];
  const parts = new Map<string, Uint8Array>();
  for (const name of names) {
    told(parts.size, names.length);
    parts.set(name, await fetchKept(new URL(name, url).href, about.sha256[name] ?? "newest"));
  }
  told(names.length, names.length);
  const shards = about.files.graph.map((name) => parts.get(name) as Uint8Array);
  const graph = new Uint8Array(shards.reduce((sum, shard) => sum + shard.length, 0));
  shards.reduce((at, shard) => (graph.set(shard, at), at + shard.length), 0);
  const file = about.files.prototypes && parts.get(about.files.prototypes);
  return {
    about,
    graph,
    space: file && about.prototypes ? spaceOf(file, about.prototypes) : null,
    identity: names.map((name) => about.sha256[name]).join(" "),
  };
}

function check(about: ModelFile, url: string): void {
  if (about.format !== 1) {
    throw new Error(`${url}: format ${about.format}; this page reads format 1. Export the model again, or update it`);
  }
  if (about.task !== "recognise" || about.preprocessing?.kind !== "pose") {
    throw new Error(`${url}: this page recognises from poses; the model is of another kind (${about.task})`);
  }
}

function spaceOf(file: Uint8Array, arrays: NonNullable<ModelFile["prototypes"]>): Prototypes {
  const read = (name: string) => {
    const { offset, shape } = arrays[name];
    const n = shape.reduce((a, b) => a * b, 1);
    const view = new DataView(file.buffer, file.byteOffset + offset, 4 * n);
    return Float64Array.from({ length: n }, (_, k) => view.getFloat32(4 * k, true));
  };
  const [spread_E, means] = [read("spread_E"), read("means_KE")];
  const e = spread_E.length;
  const count_K = [...read("count_K")];
  return {
    centre_F: read("centre_F"),
    basis_FE: read("basis_FE"),
    spread_E,
    means_KE: count_K.map((_, k) => means.slice(k * e, (k + 1) * e)),
    count_K,
  };
}
