// MediaPipe's networks in LiteRT.js, as signloom.streams.holistic.networks runs them in Python: the same files, known
// by their hashes, without the outputs that nothing needs.

import { loadAndCompile, loadLiteRt, supportsFeature, Tensor, type CompiledModel } from "@litertjs/core";

import { fetchKept } from "../fetching";
import tables from "../pose/tables.json";
import { HOLISTIC, SETTINGS, type Network, type NetworkName, type Networks, type Settings } from "./graph";
import { pruned } from "./pruning";

export interface Places {
  /** Where the networks and LiteRT's own files are, ending in "/". */
  readonly networks: string;
  readonly runtime: string;
  readonly threads: number;
}

let running: { poseThreads: number; poseRuntime: string } = { poseThreads: 0, poseRuntime: "not loaded" };

/** What the networks run on. */
export function runtimeName(): typeof running {
  return running;
}

const spent = Object.fromEntries(HOLISTIC.map((name) => [name, { runs: 0, ms: 0 }])) as Record<NetworkName, { runs: number; ms: number }>;

/** How often each network ran since the page was opened, and for how long in all. */
export function networkTimes(): typeof spent {
  return spent;
}

/** How a model's poses were found. Throws an Error where this page would find others. */
export function settingsOf(estimator: Readonly<Record<string, unknown>>): Settings {
  const { extractor, models, least_detection, least_tracking, regain, ghosts } = estimator;
  if (extractor !== "holistic" || models !== tables.models || ghosts !== "drop") {
    throw new Error(
      `the model was trained on poses by another estimator (${String(extractor)}, networks ${String(models)}, hands ` +
        `found twice: ${String(ghosts)}) than the page's (holistic, networks ${tables.models}, drop). Prepare the ` +
        "footage again with --pose holistic, train, and export that",
    );
  }
  return {
    leastDetection: Number(least_detection ?? SETTINGS.leastDetection),
    leastTracking: Number(least_tracking ?? SETTINGS.leastTracking),
    regain: Boolean(regain ?? SETTINGS.regain),
  };
}

/** All networks, loaded. Throws an Error that says what is missing. */
export async function openNetworks(places: Places, told: (done: number, total: number) => void): Promise<Networks> {
  const files = new Map<NetworkName, Uint8Array>();
  for (const name of HOLISTIC) {
    told(files.size, HOLISTIC.length);
    const { file, sha256 } = tables.networks[name];
    files.set(name, await fetchKept(`${places.networks}${file}`, sha256));
  }
  await openRuntime(places);
  const made = {} as Record<NetworkName, Network>;
  for (const [name, data] of files) made[name] = await LiteRtNetwork.open(name, data, running.poseThreads);
  told(HOLISTIC.length, HOLISTIC.length);
  return made;
}

async function openRuntime({ runtime, threads }: Places): Promise<void> {
  if (running.poseThreads) return;
  const relaxed = await supportsFeature("relaxedSimd");
  if (threads > 1 && relaxed && globalThis.crossOriginIsolated) {
    try {
      await load(runtime, "litert_wasm_threaded_internal.js");
      running = { poseThreads: threads, poseRuntime: "LiteRT.js, WebAssembly with threads" };
      return;
    } catch (error) {
      console.warn(`LiteRT.js does not run on threads here: ${String(error)}`); // one will do
    }
  }
  await load(runtime, relaxed ? "litert_wasm_internal.js" : "litert_wasm_compat_internal.js");
  running = { poseThreads: 1, poseRuntime: `LiteRT.js, WebAssembly${relaxed ? "" : " without relaxed SIMD"}` };
}

/**
 * LiteRT.js loads its glue by importScripts, which a module worker has not. So the glue is imported here (what is built
 * of it tells its ModuleFactory to the worker; see vite.config.ts), and there is nothing left to load.
 */
async function load(runtime: string, glue: string): Promise<void> {
  const worker = globalThis as unknown as Record<string, unknown>;
  const url = `${runtime}${glue}`;
  await import(/* @vite-ignore */ url);
  worker.Module = { locateFile: (name: string) => `${runtime}${name}`, mainScriptUrlOrBlob: url };
  worker.importScripts = () => undefined;
  await loadLiteRt(url);
}

class LiteRtNetwork implements Network {
  private constructor(
    private readonly name: NetworkName,
    private readonly model: CompiledModel,
    readonly sizePx: number,
    private readonly shape: number[],
  ) {}

  static async open(name: NetworkName, data: Uint8Array, threads: number): Promise<LiteRtNetwork> {
    const { input, outputs } = tables.networks[name];
    const wanted = Object.values(outputs) as number[][];
    const model = await loadAndCompile(pruned(data, Object.keys(outputs).map(Number)), {
      accelerator: "wasm",
      cpuOptions: { numThreads: threads },
    });
    const got = model.getOutputDetails().map(({ shape }) => [...shape]);
    if (JSON.stringify(got) !== JSON.stringify(wanted)) {
      throw new Error(`network '${name}' gives ${JSON.stringify(got)}, expected ${JSON.stringify(wanted)}`);
    }
    return new LiteRtNetwork(name, model, input[1], input);
  }

  async run(picture: Float32Array): Promise<Float32Array[]> {
    const before = performance.now();
    const seen = new Tensor(picture, this.shape);
    try {
      const told = await this.model.run(seen);
      return told.map((tensor) => {
        const values = tensor.toTypedArray() as Float32Array;
        tensor.delete();
        return values;
      });
    } finally {
      seen.delete();
      spent[this.name].runs++;
      spent[this.name].ms += performance.now() - before;
    }
  }
}
