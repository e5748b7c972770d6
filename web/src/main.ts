// The page: a camera or a file goes in, the worker looks, the answer is shown.

import { usefulThreads } from "./page/features";
import { Store } from "./page/store";
import { parts, say, showFrame, showMachine, showProgress, showSpeed, showTaught, showTimes, showVerdict } from "./page/view";
import type { About, FromWorker, ToWorker } from "./protocol";
import { framesOf, openCamera, playAll } from "./video/camera";
import { drawn, type Raw } from "./video/pictures";

/** So long may be signed at once: frames wait in memory until they were looked at. */
const LONGEST_S = 20;
const COUNTDOWN_S = 3;
const PICTURES_PER_S = 25;

const asked = new URLSearchParams(location.search);
const base = new URL("./", document.baseURI).href;
const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
const post = (message: ToWorker, transfer: Transferable[] = []) => worker.postMessage(message, transfer);

let about: About | null = null;
let store: Store | null = null;
let clip = 0;
/** What goes on: nothing, a countdown, somebody signs, or frames are still looked at. */
let state: "idle" | "counting" | "signing" | "looking" = "idle";
let given = 0;
let total = 0; // of a film, as it says
let seen = 0;
let tookMs = 0;
let name = "";
let features: Float32Array | null = null;
let stopSigning: (() => Promise<void>) | null = null;
let stream: MediaStream | null = null;
let onNotHere: ((why: string) => void) | null = null;

function begin(what: string): number {
  clip++;
  [given, total, seen, tookMs, name, features] = [0, 0, 0, 0, what, null];
  parts.label.value = "";
  enableTeach();
  return clip;
}

function become(next: typeof state): void {
  state = next;
  const idle = state === "idle";
  parts.camera.disabled = parts.choose.disabled = parts.model.disabled = !idle || !about;
  // Not disabled: it would lose the keyboard while one counts down.
  parts.sign.setAttribute("aria-disabled", String(state === "looking" || state === "counting"));
  parts.sign.replaceChildren(state === "signing" ? "Done " : "Start signing ", kbd("space"));
  parts.cancel.hidden = idle;
  if (idle) showProgress(null);
  parts.count.textContent = "";
}

function kbd(text: string): HTMLElement {
  return Object.assign(document.createElement("kbd"), { textContent: text });
}

// --- what the worker says -------------------------------------------------------------------------------------------

worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
  window.dispatchEvent(new CustomEvent("signloom", { detail: data }));
  if ("clip" in data && data.clip !== null && data.clip !== clip) return; // of a clip that was cancelled
  switch (data.type) {
    case "loading":
      say(`Loading ${data.what}: ${data.done} of ${data.total}`);
      showProgress(data.done / data.total);
      break;
    case "ready":
      void ready(data.about);
      break;
    case "note":
      parts.missing.append(Object.assign(document.createElement("li"), { className: "quiet", textContent: data.text }));
      break;
    case "film":
      total = data.nFrames;
      break;
    case "not-here":
      onNotHere?.(data.why);
      break;
    case "pose":
      seen++;
      tookMs += data.ms;
      if (data.picture) showFrame(data.picture, data.rows, data.width, data.height);
      else latest = data.rows;
      data.picture?.close();
      showSpeed(about as About, (1000 * seen) / tookMs);
      if (state === "looking") tellHowFar();
      break;
    case "answer": {
      features = data.features;
      const ghosts = data.ghosts ? `; in ${data.ghosts} one hand was found twice` : "";
      const found = data.found < data.frames ? `, somebody in ${data.found} of them` : "";
      name = `${name}: ${data.frames} frames${found}${ghosts}`;
      showVerdict(data.verdict, name);
      say(`Done: ${data.frames} frames looked at, ${((1000 * seen) / tookMs).toFixed(1)} a second.`);
      showTimes(data.networks);
      become("idle");
      enableTeach();
      break;
    }
    case "taught-verdict":
      showVerdict(data.verdict, name);
      break;
    case "failed":
      say(`${name || "It"} does not work: ${data.text}.`, true);
      become("idle");
      break;
  }
};
worker.onerror = (event) => {
  say(`The page's worker stopped: ${event.message || "it could not be loaded"}. Load the page again.`, true);
};

function tellHowFar(): void {
  const all = total || given;
  const speed = (1000 * seen) / tookMs;
  const left = (all - seen) / speed;
  showProgress(seen / all);
  say(`Looking: frame ${seen} of ${all}, ${speed.toFixed(1)} a second${left > 1 ? `, about ${Math.ceil(left)} s left` : ""}`);
}

async function ready(of: About): Promise<void> {
  about = of;
  showMachine(of);
  store = await Store.open(of.identity);
  post({ type: "taught", taught: store.taught });
  parts.teach.hidden = !of.canTeach;
  showTaught(store.taught, forget);
  say(`Ready: ${of.labels.length} signs.`);
  become("idle");
  window.dispatchEvent(new CustomEvent("signloom", { detail: { type: "page-ready" } }));
}

// --- files ----------------------------------------------------------------------------------------------------------

async function look(files: readonly File[]): Promise<void> {
  if (!about || state !== "idle" || !files.length) return;
  const pictures = files.filter((file) => file.type.startsWith("image/"));
  await closeCamera();
  if (pictures.length) return lookAtPictures(pictures);
  const [file] = files;
  const id = begin(file.name);
  become("looking");
  say(`Opening ${file.name} …`);
  onNotHere = (why) => void lookByPlaying(file, why);
  post({ type: "file", clip: id, file });
}

/** A video that the worker cannot take apart: played, and every frame taken as it is shown. */
async function lookByPlaying(file: File, why: string): Promise<void> {
  const what = file.name;
  try {
    const { frames, missed } = await playAll(
      file,
      parts.video,
      () => {
        post({ type: "cancel", clip });
        post({ type: "begin", clip: begin(what) });
        become("looking");
        say(`Playing ${what} (${why}) …`);
      },
      send,
    );
    if (missed) say(`${missed} of ${frames + missed} frames were passed over by the browser; give an MP4 file`, true);
    post({ type: "end", clip });
  } catch (error) {
    post({ type: "cancel", clip });
    say(`${what}: ${message(error)} (${why})`, true);
    become("idle");
    window.dispatchEvent(new CustomEvent("signloom", { detail: { type: "gave-up", why } }));
  }
}

/** Pictures are the frames of a clip, in the order of their names. */
async function lookAtPictures(files: File[]): Promise<void> {
  const id = begin(`${files.length} pictures`);
  become("looking");
  post({ type: "begin", clip: id });
  const byName = new Intl.Collator("en", { numeric: true });
  const inOrder = [...files].sort((a, b) => byName.compare(a.name, b.name));
  total = inOrder.length;
  for (const [number, file] of inOrder.entries()) {
    if (id !== clip || state !== "looking") return;
    const how: ImageBitmapOptions = { premultiplyAlpha: "none", colorSpaceConversion: "none" };
    const bitmap = await createImageBitmap(file, how).catch(() => null);
    if (!bitmap) {
      post({ type: "cancel", clip: id });
      say(`${file.name} is no picture that this browser can read`, true);
      return become("idle");
    }
    send(drawn(bitmap, bitmap.width, bitmap.height), number / PICTURES_PER_S);
    showFrame(bitmap, null, bitmap.width, bitmap.height);
    bitmap.close();
  }
  post({ type: "end", clip: id });
}

function send(raw: Raw, timeS: number): void {
  given++;
  post({ type: "frame", clip, timeS, raw }, [raw.data]);
}

// --- the camera -----------------------------------------------------------------------------------------------------

let latest: Float32Array | null = null;

async function useCamera(): Promise<void> {
  if (!about || state !== "idle") return;
  try {
    if (stream) return closeCamera();
    stream = await openCamera();
    parts.video.hidden = false;
    parts.video.srcObject = stream;
    await parts.video.play();
    parts.stage.classList.add("mirror");
    parts.sign.hidden = false;
    parts.camera.textContent = "Close the camera";
    become("idle");
    parts.sign.focus(); // so that space begins
    say("Press space, or the button, and sign. You see yourself as in a mirror; the model does not.");
    requestAnimationFrame(showCamera);
  } catch (error) {
    say(message(error), true);
  }
}

function showCamera(): void {
  if (!stream) return;
  const { video } = parts;
  if (video.videoWidth) showFrame(video, state === "signing" ? latest : null, video.videoWidth, video.videoHeight);
  requestAnimationFrame(showCamera);
}

async function closeCamera(): Promise<void> {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  parts.video.srcObject = null;
  parts.video.hidden = true;
  parts.stage.classList.remove("mirror");
  parts.sign.hidden = true;
  parts.camera.textContent = "Use the camera";
}

async function startOrStop(): Promise<void> {
  if (!stream || !about) return;
  if (state === "signing") return endSigning();
  if (state !== "idle") return;
  const id = begin("Your sign");
  become("counting");
  for (let left = COUNTDOWN_S; left > 0; left--) {
    parts.count.textContent = String(left);
    say(`Signing begins in ${left} s`);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    if (id !== clip || !stream) return;
  }
  latest = null;
  become("signing");
  post({ type: "begin", clip: id });
  const since = performance.now();
  stopSigning = framesOf(stream, parts.video, (raw, timeS) => {
    if (state !== "signing" || id !== clip) return;
    send(raw, timeS);
    const seconds = (performance.now() - since) / 1000;
    say(`Signing: ${seconds.toFixed(1)} s, ${given} frames, ${given - seen} of them wait. Space when you are done.`);
    if (seconds >= LONGEST_S) void endSigning();
  });
}

async function endSigning(): Promise<void> {
  if (state !== "signing") return;
  become("looking");
  const stop = stopSigning;
  stopSigning = null;
  await stop?.();
  post({ type: "end", clip });
  if (seen < given) tellHowFar();
}

async function cancel(): Promise<void> {
  post({ type: "cancel", clip });
  const stop = stopSigning;
  stopSigning = null;
  begin("");
  parts.video.pause();
  if (stream) void parts.video.play();
  become("idle");
  say("Cancelled.");
  await stop?.();
}

// --- teaching -------------------------------------------------------------------------------------------------------

function enableTeach(): void {
  const button = parts.teach.querySelector("button[type=submit]") as HTMLButtonElement;
  button.disabled = !features;
  parts.teachNote.textContent = features ? "" : "Show it a clip first.";
}

async function teach(event: Event): Promise<void> {
  event.preventDefault();
  const label = parts.label.value.trim();
  if (!features || !label || !store || !about) return;
  if (about.labels.includes(label)) {
    parts.teachNote.textContent = `The network was trained on '${label}'; choose another word for your sign.`;
    return;
  }
  try {
    await store.add(label, features);
  } catch (error) {
    parts.teachNote.textContent = `It could not be kept: ${message(error)}`;
    return;
  }
  features = null; // a clip is learnt from once
  enableTeach();
  parts.teachNote.textContent = `Remembered as '${label}'${store.lasts ? "" : ", until this page is closed"}.`;
  showTaught(store.taught, forget);
  post({ type: "taught", taught: store.taught });
}

async function forget(label: string): Promise<void> {
  if (!store) return;
  await store.forget(label);
  parts.teachNote.textContent = `'${label}' is forgotten.`;
  showTaught(store.taught, forget);
  post({ type: "taught", taught: store.taught });
}

const message = (error: unknown) => (error instanceof Error ? error.message : String(error));

// --- the page itself ------------------------------------------------------------------------------------------------

parts.choose.addEventListener("click", () => parts.file.click());
parts.file.addEventListener("change", () => {
  void look([...(parts.file.files ?? [])]);
  parts.file.value = "";
});
parts.camera.addEventListener("click", () => void useCamera());
parts.sign.addEventListener("click", () => void startOrStop());
parts.cancel.addEventListener("click", () => void cancel());
parts.teach.addEventListener("submit", (event) => void teach(event));
parts.model.addEventListener("change", () => {
  asked.set("model", parts.model.value);
  location.search = asked.toString();
});
for (const kind of ["dragover", "dragleave", "drop"] as const) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    parts.stage.classList.toggle("over", kind === "dragover");
    if (kind === "drop") void look([...(event.dataTransfer?.files ?? [])]);
  });
}
document.addEventListener("keydown", (event) => {
  const within = event.target as HTMLElement;
  const typing = within.closest("input, button, select, summary, textarea");
  if (event.key === " " && !typing && stream) {
    event.preventDefault();
    void startOrStop();
  } else if (event.key === "Escape" && state !== "idle") void cancel();
});

async function open(): Promise<void> {
  if (!("WebAssembly" in globalThis)) throw new Error("this browser has no WebAssembly; take a current one");
  const names = await modelNames();
  const chosen = asked.get("model") ?? names[0];
  if (!names.includes(chosen)) throw new Error(`the server has no model '${chosen}'; it has ${names.join(", ")}`);
  parts.model.replaceChildren(...names.map((one) => new Option(one, one, false, one === chosen)));
  parts.models.hidden = names.length < 2;
  post({
    type: "open",
    model: `${base}models/${encodeURIComponent(chosen)}/model.json`,
    networks: `${base}networks/`,
    runtime: `${base}litert/`,
    backend: (asked.get("backend") as "webgpu" | "wasm" | null) ?? "auto",
    threads: Number(asked.get("threads")) || usefulThreads(),
  });
}

/** The models that the server has and this page can use; what it said the last time where it does not answer. */
async function modelNames(): Promise<string[]> {
  const { fetchKept } = await import("./fetching");
  const list = JSON.parse(new TextDecoder().decode(await fetchKept(`${base}api/models`, "newest")));
  const rows = list as { name: string; task: string; web: boolean }[];
  const names = rows.filter((row) => row.task === "recognise" && row.web).map((row) => row.name);
  if (!names.length) throw new Error("the server has no recogniser for the page: signloom export RUN --to web, then signloom serve");
  return names;
}

if ("serviceWorker" in navigator && import.meta.env.PROD) {
  navigator.serviceWorker.register("./sw.js").catch(() => undefined); // without, the page needs its server
}
open().catch((error) => say(`${message(error)}.`, true));
