// What stands on the page.

import type { About, Verdict } from "../protocol";
import type { Taught } from "../recognise/open_set";
import { features } from "./features";
import { drawSkeleton } from "./skeleton";

function byId<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no '${id}'`);
  return found as T;
}

export const parts = {
  stage: byId<HTMLDivElement>("stage"),
  video: byId<HTMLVideoElement>("video"),
  canvas: byId<HTMLCanvasElement>("canvas"),
  hint: byId("hint"),
  count: byId("count"),
  camera: byId<HTMLButtonElement>("camera"),
  sign: byId<HTMLButtonElement>("sign"),
  choose: byId<HTMLButtonElement>("choose"),
  cancel: byId<HTMLButtonElement>("cancel"),
  file: byId<HTMLInputElement>("file"),
  progress: byId<HTMLProgressElement>("progress"),
  status: byId("status"),
  answer: byId("answer"),
  teach: byId<HTMLFormElement>("teach"),
  label: byId<HTMLInputElement>("label"),
  teachNote: byId("teach-note"),
  taught: byId<HTMLUListElement>("taught"),
  facts: byId<HTMLDListElement>("facts"),
  missing: byId<HTMLUListElement>("missing"),
  speed: byId("speed"),
  models: byId<HTMLLabelElement>("models"),
  model: byId<HTMLSelectElement>("model"),
};

export function say(text: string, bad = false): void {
  parts.status.textContent = text;
  parts.status.classList.toggle("bad", bad);
}

/** How far it is, from 0 to 1; null: nothing is going on. */
export function showProgress(share: number | null): void {
  parts.progress.hidden = share === null;
  parts.progress.value = share ?? 0;
}

/** Draw a frame and the pose in it. */
export function showFrame(source: CanvasImageSource | null, rows: Float32Array | null, width: number, height: number): void {
  const { canvas, hint } = parts;
  const context = canvas.getContext("2d");
  if (!context) return;
  hint.hidden = true;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  if (source) context.drawImage(source, 0, 0, canvas.width, canvas.height);
  if (rows) drawSkeleton(context, rows, width, height);
}

export function showVerdict(verdict: Verdict, note: string): void {
  const made: HTMLElement[] = [];
  if (verdict.noneOfThese) {
    made.push(element("p", "none", `None of these: it looks like no sign that the model knows.`));
  }
  const list = element("ol", "answers");
  for (const { label, share } of verdict.top) {
    const row = element("li");
    row.style.setProperty("--share", String(share));
    row.append(element("span", "label", label), element("span", "share", percent(share)));
    list.append(row);
  }
  made.push(list);
  const sure = verdict.unknown === null ? "" : ` · ${percent(verdict.unknown)} sure that it is none of its signs`;
  made.push(element("p", "quiet", note + sure));
  parts.answer.replaceChildren(...made);
}

const percent = (share: number) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

export function showTaught(taught: readonly Taught[], forget: (label: string) => void): void {
  parts.taught.replaceChildren(
    ...taught.map(({ label, clips }) => {
      const row = element("li");
      const button = element("button", "plain", "Forget");
      button.setAttribute("type", "button");
      button.setAttribute("aria-label", `Forget ${label}`);
      button.addEventListener("click", () => forget(label));
      row.append(element("span", "", `${label} (${clips.length} clip${clips.length > 1 ? "s" : ""})`), button);
      return row;
    }),
  );
}

export function showMachine(about: About): void {
  const where = { webgpu: "WebGPU (graphics processor)", wasm: "WebAssembly (processor)" };
  const rows = {
    Model: `${about.name}, ${about.labels.length} signs`,
    Signs: about.labels.join(", "),
    "Finding poses": about.poseRuntime,
    Threads: `${about.poseThreads}`,
    "Naming signs": where[about.backend],
    "None of these": about.tellsUnknown ? "told" : "this model does not tell",
  };
  parts.facts.replaceChildren(
    ...Object.entries(rows).flatMap(([name, text]) => [element("dt", "", name), element("dd", "", text)]),
  );
  parts.missing.replaceChildren(
    ...features()
      .filter(({ there }) => !there)
      .map(({ name, without }) => element("li", "quiet", `No ${name}: ${without}.`)),
  );
  showSpeed(about, null);
}

const OF_PART = {
  body: ["body_detection", "body"],
  "both hands": ["hand_recrop", "hand"],
  face: ["face_detection", "face"],
};

/** What of a frame's time each part takes: what leaving it out would gain. */
export function showTimes(networks: Readonly<Record<string, { readonly runs: number; readonly ms: number }>>): void {
  const frames = Math.max(1, networks.body?.runs ?? 0);
  const told = Object.entries(OF_PART).map(([part, names]) => {
    const ms = names.reduce((sum, name) => sum + (networks[name]?.ms ?? 0), 0);
    return `${part} ${(ms / frames).toFixed(0)} ms`;
  });
  timesRow ??= element("dd");
  timesRow.textContent = told.join(", ");
  if (!timesRow.isConnected) parts.facts.append(element("dt", "", "Of a frame's time"), timesRow);
}

let timesRow: HTMLElement | null = null;

export function showSpeed(about: About, framesPerS: number | null): void {
  const threads = `${about.poseThreads} thread${about.poseThreads > 1 ? "s" : ""}`;
  const speed = framesPerS === null ? "" : `${framesPerS.toFixed(1)} frames/s, `;
  parts.speed.textContent = `${speed}${threads}, ${about.backend}`;
}

function element(name: string, className = "", text = ""): HTMLElement {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
