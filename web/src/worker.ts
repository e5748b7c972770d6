// Finds poses and names signs, beside the page: so that the page answers while this works.

import { N_BODY, N_FACE, N_POINTS, SETTINGS, Tracker, rowsOf, type Networks } from "./holistic/graph";
import { networkTimes, openNetworks, runtimeName, settingsOf } from "./holistic/litert";
import type { Picture } from "./holistic/crop";
import { constantRate } from "./pose/clock";
import { jointsOf } from "./pose/joints";
import type { FromWorker, ToWorker, Verdict } from "./protocol";
import { fetchModel } from "./recognise/model";
import { NONE_OF_THESE, logSoftmax, type Taught } from "./recognise/open_set";
import { Recogniser, type Seen } from "./recognise/recogniser";
import { NotHere, openFilm } from "./video/demux";
import { ofRaw, type Raw } from "./video/pictures";

const scope = self as unknown as DedicatedWorkerGlobalScope;
const tell = (message: FromWorker, transfer: Transferable[] = []) => scope.postMessage(message, transfer);

let networks: Networks | null = null;
let settings = SETTINGS;
let recogniser: Recogniser | null = null;
let taught: Taught[] = [];
let last: { clip: number; seen: Seen } | null = null;

/** A clip while it is looked at. */
class Clip {
  readonly tracker = new Tracker(networks as Networks, settings);
  readonly samples: Float32Array[] = [];
  readonly timesS: number[] = [];
  width = 0;
  height = 0;
  cancelled = false;

  constructor(readonly id: number) {}

  async look(picture: Picture, timeS: number, waiting: number, show?: ImageBitmap): Promise<void> {
    if (this.timesS.length && !(timeS > this.timesS[this.timesS.length - 1])) return; // the same frame again
    const before = performance.now();
    const rows = rowsOf(await this.tracker.find(picture, timeS));
    this.width = picture.width;
    this.height = picture.height;
    this.samples.push(rows);
    this.timesS.push(timeS);
    const ms = performance.now() - before;
    const { width, height } = picture;
    const number = this.samples.length - 1;
    tell(
      {
        type: "pose", clip: this.id, number, timeS, rows: rows.slice(), width, height, ms, waiting,
        ...(show ? { picture: show } : {}),
      },
      show ? [show] : [],
    );
  }

  /** `fps`: the rate that the frames are brought to; null: that at which they came, on average. */
  async answer(fps: number | null): Promise<void> {
    const { timesS, samples } = this;
    const n = timesS.length;
    if (!n) throw new Error("there was no frame");
    if (!samples.some(somebody)) throw new Error(`nobody was found in any of ${n} frames: are shoulders and hands in sight?`);
    const rate = fps ?? (n > 1 ? (n - 1) / (timesS[n - 1] - timesS[0]) : 25);
    const rows = constantRate(timesS, rate).map((k) => samples[k]);
    const joints = jointsOf(rows, this);
    const before = performance.now();
    const seen = await (recogniser as Recogniser).see(joints);
    last = { clip: this.id, seen };
    tell({
      type: "answer",
      clip: this.id,
      verdict: verdictOf(seen),
      features: seen.features,
      logits: seen.logits,
      frames: n,
      found: samples.filter(somebody).length,
      ghosts: joints.ghosts,
      ms: performance.now() - before,
      networks: networkTimes(),
    });
  }
}

const somebody = (rows: Float32Array) => [0, N_BODY, N_BODY + N_FACE, N_POINTS - 21].some((p) => rows[4 * p + 3] > 0);

function verdictOf(seen: Seen): Verdict {
  const { about } = (recogniser as Recogniser).model;
  const known = [...about.labels, ...about.taught, ...taught.map(({ label }) => label)];
  const { logits, unknown } = (recogniser as Recogniser).answer(seen, taught);
  const shares = logSoftmax(logits).map(Math.exp);
  const order = shares.map((_, k) => k).sort((a, b) => shares[b] - shares[a]);
  const top = order.slice(0, 3).map((k) => ({ label: known[k], share: shares[k] }));
  return { top, unknown, noneOfThese: unknown !== null && unknown > NONE_OF_THESE };
}

// --- what is to be done, one thing after the other ------------------------------------------------------------------

const clips = new Map<number, Clip>();
const waiting: { message: Exclude<ToWorker, { type: "cancel" }>; raw?: Raw }[] = [];
let busy = false;

scope.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (data.type === "cancel") {
    const clip = clips.get(data.clip);
    if (clip) clip.cancelled = true;
    for (let k = waiting.length - 1; k >= 0; k--) {
      const { message } = waiting[k];
      if ("clip" in message && message.clip === data.clip) waiting.splice(k, 1);
    }
    return;
  }
  waiting.push({ message: data });
  void work();
};

async function work(): Promise<void> {
  if (busy) return;
  busy = true;
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const { message } = next;
    try {
      await breath();
      await done(message);
    } catch (error) {
      const clip = "clip" in message ? message.clip : null;
      if (clip !== null && clips.get(clip)?.cancelled) continue;
      tell({ type: "failed", clip, text: error instanceof Error ? error.message : String(error) });
    }
  }
  busy = false;
}

/** Lets what came in meanwhile be heard: a cancel, say. */
function breath(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => (port1.close(), resolve());
    port2.postMessage(null);
  });
}

async function done(message: Exclude<ToWorker, { type: "cancel" }>): Promise<void> {
  switch (message.type) {
    case "open": {
      const told = (what: string) => (done: number, total: number) => tell({ type: "loading", what, done, total });
      const model = await fetchModel(message.model, told("the model"));
      settings = settingsOf(model.about.estimator);
      networks = await openNetworks(message, told("the networks that find poses"));
      recogniser = await Recogniser.open(model, message.backend, (text) => tell({ type: "note", text }));
      const { about, space, identity } = model;
      const { name } = about;
      const labels = [...about.labels, ...about.taught];
      tell({
        type: "ready",
        about: {
          name, labels, identity, canTeach: space !== null, tellsUnknown: Boolean(about.unknown?.figure),
          backend: recogniser.backend, ...runtimeName(),
        },
      });
      return;
    }
    case "taught":
      taught = message.taught;
      if (last) tell({ type: "taught-verdict", clip: last.clip, verdict: verdictOf(last.seen) });
      return;
    case "begin":
      clips.set(message.clip, new Clip(message.clip));
      return;
    case "frame": {
      const frames = waiting.filter((one) => one.message.type === "frame").length;
      await clips.get(message.clip)?.look(ofRaw(message.raw), message.timeS, frames);
      return;
    }
    case "end": {
      const clip = clips.get(message.clip);
      clips.delete(message.clip);
      await clip?.answer(null);
      return;
    }
    case "file":
      return film(message.clip, message.file);
  }
}

async function film(id: number, file: Blob): Promise<void> {
  const clip = new Clip(id);
  clips.set(id, clip);
  try {
    const film = await openFilm(file);
    const { nFrames, fps, width, height } = film;
    tell({ type: "film", clip: id, nFrames, fps, width, height });
    for await (const { picture, timeS } of film.frames()) {
      if (clip.cancelled) return;
      await clip.look(picture, timeS, nFrames - clip.samples.length - 1, await bitmapOf(picture));
    }
    await clip.answer(film.fps);
  } catch (error) {
    if (!(error instanceof NotHere)) throw error;
    tell({ type: "not-here", clip: id, why: error.message });
  } finally {
    clips.delete(id);
  }
}

/** A picture that the page can draw. */
function bitmapOf({ data, width, height, channels }: Picture): Promise<ImageBitmap> {
  const image = new ImageData(width, height);
  for (let k = 0; k < width * height; k++) {
    for (let c = 0; c < 3; c++) image.data[4 * k + c] = data[channels * k + c];
    image.data[4 * k + 3] = 255;
  }
  return createImageBitmap(image);
}
