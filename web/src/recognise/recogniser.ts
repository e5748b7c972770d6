// A pose recogniser in ONNX Runtime Web: on the graphics processor where there is one, else in WebAssembly.

import type { InferenceSession } from "onnxruntime-web";

import { JOINTS, seenByModel, type Joints } from "../pose/joints";
import type { Model } from "./model";
import { answerOf, withTaught, type Answer, type Taught } from "./open_set";

export type Backend = "webgpu" | "wasm";

type Runtime = typeof import("onnxruntime-web/wasm");

/** What a clip looks like to the network, and what that says of it. */
export interface Seen {
  /** Calibrated logits of the signs of training. */
  readonly logits: number[];
  readonly features: Float32Array;
}

export class Recogniser {
  private constructor(
    readonly model: Model,
    readonly backend: Backend,
    private readonly runtime: Runtime,
    private readonly session: InferenceSession,
  ) {}

  /** `wanted`: "auto" takes the graphics processor where there is one and it works. */
  static async open(model: Model, wanted: Backend | "auto", told: (note: string) => void): Promise<Recogniser> {
    const { joints } = model.about.preprocessing;
    if (joints.length !== JOINTS.length || joints.some((name, j) => name !== JOINTS[j])) {
      throw new Error("the model sees other joints than this page finds; export it with the signloom that serves it");
    }
    const graphics = wanted === "webgpu" || (wanted === "auto" && (await hasGraphics()));
    if (graphics) {
      try {
        return await Recogniser.on(model, "webgpu", await import("onnxruntime-web/webgpu"));
      } catch (error) {
        told(`WebGPU does not run this model (${String(error)}); WebAssembly does instead`);
      }
    }
    return Recogniser.on(model, "wasm", await import("onnxruntime-web/wasm"));
  }

  private static async on(model: Model, backend: Backend, runtime: Runtime): Promise<Recogniser> {
    runtime.env.wasm.numThreads = 1; // such a network is too small for more to help
    runtime.env.logLevel = "error";
    const session = await runtime.InferenceSession.create(model.graph, { executionProviders: [backend] });
    const made = new Recogniser(model, backend, runtime, session);
    const { n_frames } = model.about.preprocessing;
    const points = n_frames * JOINTS.length;
    const empty = { n: n_frames, xy: new Float32Array(2 * points), present: new Uint8Array(points) };
    await made.run(empty); // that it runs at all, and the first run is slow
    return made;
  }

  /** What the network says of a clip. */
  async see(joints: Joints): Promise<Seen> {
    const { preprocessing, temperature } = this.model.about;
    const { votes, features } = await this.run(seenByModel(joints, preprocessing));
    return { logits: votes.map((value) => value / temperature), features };
  }

  /** The answer about what was seen, over the signs of training and those `taught`. */
  answer(seen: Seen, taught: readonly Taught[]): Answer {
    const { space, about } = this.model;
    return answerOf(seen.logits, seen.features, space && withTaught(space, taught), about.unknown);
  }

  /** The network's own outputs: `votes` are logarithms of the mean probability over parts of the clip's time. */
  async run(seen: Joints): Promise<{ logits: number[]; votes: number[]; features: Float32Array }> {
    const { Tensor } = this.runtime;
    const shape = [1, seen.n, JOINTS.length];
    const found = await this.session.run({
      pose: new Tensor("float32", seen.xy, [...shape, 2]),
      present: new Tensor("float32", Float32Array.from(seen.present), shape),
    });
    const values = async (name: string) => (await found[name].getData()) as Float32Array;
    const [logits, votes, features] = [await values("logits"), await values("votes"), await values("features")];
    return { logits: [...logits], votes: [...votes], features };
  }
}

interface Graphics {
  requestAdapter(): Promise<{ readonly info?: { readonly isFallbackAdapter?: boolean } } | null>;
}

async function hasGraphics(): Promise<boolean> {
  try {
    const adapter = await (navigator as { gpu?: Graphics }).gpu?.requestAdapter();
    return Boolean(adapter) && !adapter?.info?.isFallbackAdapter; // a processor that plays the graphics card is slower
  } catch {
    return false;
  }
}
