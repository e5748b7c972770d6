// What page and worker tell each other.

import type { Backend } from "./recognise/recogniser";
import type { Taught } from "./recognise/open_set";
import type { Raw } from "./video/pictures";

export type ToWorker =
  | { type: "open"; model: string; networks: string; runtime: string; backend: Backend | "auto"; threads: number }
  /** What was taught, all of it, whenever it changes. */
  | { type: "taught"; taught: Taught[] }
  | { type: "begin"; clip: number }
  | { type: "frame"; clip: number; timeS: number; raw: Raw }
  /** No frame follows: answer. */
  | { type: "end"; clip: number }
  | { type: "file"; clip: number; file: Blob }
  | { type: "cancel"; clip: number };

export interface About {
  readonly name: string;
  readonly labels: readonly string[];
  readonly identity: string;
  readonly canTeach: boolean;
  readonly tellsUnknown: boolean;
  /** What the recogniser runs on. */
  readonly backend: Backend;
  /** What the networks that find poses run on, and on how many threads. */
  readonly poseThreads: number;
  readonly poseRuntime: string;
}

export interface Verdict {
  /** Labels with their probabilities, the likeliest first. */
  readonly top: readonly { readonly label: string; readonly share: number }[];
  readonly unknown: number | null;
  readonly noneOfThese: boolean;
}

export type FromWorker =
  | { type: "loading"; what: string; done: number; total: number }
  | { type: "ready"; about: About }
  | { type: "note"; text: string }
  /** A file was opened: so many frames will come. */
  | { type: "film"; clip: number; nFrames: number; fps: number; width: number; height: number }
  /** The file is nothing that is taken apart here; the page may play it. */
  | { type: "not-here"; clip: number; why: string }
  | {
      type: "pose";
      clip: number;
      number: number;
      timeS: number;
      /** float32 (545, 4). */
      rows: Float32Array;
      width: number;
      height: number;
      ms: number;
      waiting: number;
      /** The frame itself, of a file: for the page to draw. */
      picture?: ImageBitmap;
    }
  | {
      type: "answer";
      clip: number;
      verdict: Verdict;
      features: Float32Array;
      logits: number[];
      frames: number;
      /** In how many of them somebody was found, and in how many a hand twice. */
      found: number;
      ghosts: number;
      /** What naming the sign took, and each of the networks that find poses since the page was opened. */
      ms: number;
      networks: Readonly<Record<string, { readonly runs: number; readonly ms: number }>>;
    }
  | { type: "taught-verdict"; clip: number; verdict: Verdict }
  | { type: "failed"; clip: number | null; text: string };
