// From the points that were found in a clip to what a pose recogniser sees: as signloom.data.skeleton,
// signloom.transforms.ghost_hands, signloom.streams.pose_cleaning and signloom.transforms.pose_input do in Python.

import { N_FACE, N_POINTS, N_ROWS } from "../holistic/graph";
import tables from "./tables.json";

const { fround, sqrt, max, min, abs, floor } = Math;

/** The joints' names, in the order of every array here. */
export const JOINTS: readonly string[] = tables.joints;
/** Of each joint, which of a frame's points it is. */
const ROWS: readonly number[] = tables.rows;
const MIRROR: readonly number[] = tables.mirror;
const N_JOINTS = JOINTS.length;
const INDEX = new Map(JOINTS.map((name, j) => [name, j]));
const HANDS = [tables.parts.left_hand, tables.parts.right_hand] as const;
const SIDES = ["left", "right"] as const;
const OUTSIDE = 2.0;
const ASTRAY = 0.4;
const DOUBTFUL = 0.25;
const TIMES = 2.0;
const COPY = 1.0;
const WRONG_SIDE = 0.78;
const RIGHT_SIDE = 0.85;
const APART = 1.5;
const FEW = 0.4;
const OWN = 2;

/** The joints of one signer over time, (T, J): x and y in 32 bits, and whether each was found. */
export interface Joints {
  readonly n: number;
  readonly xy: Float32Array;
  readonly present: Uint8Array;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

function joint(name: string): number {
  const j = INDEX.get(name);
  if (j === undefined) throw new RangeError(`no joint '${name}'`);
  return j;
}

const LEFT_SHOULDER = joint("left_shoulder");
const RIGHT_SHOULDER = joint("right_shoulder");
const ROOT = SIDES.map((side) => joint(`${side}_root`));
const WRIST = SIDES.map((side) => joint(`${side}_wrist`));
const ELBOW = SIDES.map((side) => joint(`${side}_elbow`));

/** The joints in `samples`, a clip's rows as the tracker gives them, of pictures of that size; hands that are a ghost
 * of the other left out. */
export function jointsOf(samples: readonly Float32Array[], size: Size): Joints & { ghosts: number } {
  const joints = rawJoints(samples, size);
  const ghosts = ghostHands(joints, rightHands(samples));
  const shoulder = shoulderWidthPx(joints) ?? 0;
  let frames = 0;
  for (let t = 0; t < joints.n; t++) {
    if (ghosts[2 * t] || ghosts[2 * t + 1]) frames++;
    for (const side of [0, 1] as const) {
      if (!ghosts[2 * t + side]) continue;
      const [start, stop] = HANDS[side];
      // Its arm may have followed it: then where elbow and wrist are nobody knows.
      const follows = distance(joints, t, ROOT[side], WRIST[side]) <= DOUBTFUL * shoulder;
      for (let j = start; j < stop; j++) forget(joints, t, j);
      if (!follows) continue;
      forget(joints, t, ELBOW[side]);
      forget(joints, t, WRIST[side]);
    }
  }
  return { ...joints, ghosts: frames };
}

function forget(joints: Joints, t: number, j: number): void {
  const at = t * N_JOINTS + j;
  joints.present[at] = 0;
  joints.xy[2 * at] = joints.xy[2 * at + 1] = 0;
}

function rawJoints(samples: readonly Float32Array[], { width, height }: Size): Joints {
  const n = samples.length;
  const found = (rows: Float32Array, p: number) => rows[4 * p + 3] > 0 && Number.isFinite(rows[4 * p] + rows[4 * p + 1]);
  const beyond = OUTSIDE * max(width, height);
  const far = (rows: Float32Array, p: number) =>
    abs(rows[4 * p] - width / 2) > width / 2 + beyond || abs(rows[4 * p + 1] - height / 2) > height / 2 + beyond;
  let [all, outside] = [0, 0];
  for (const rows of samples) {
    for (const p of KEPT) {
      if (!found(rows, p)) continue;
      all++;
      if (far(rows, p)) outside++;
    }
  }
  const drop = outside > 0 && outside <= all / 2; // where most lie outside, the size says nothing
  const joints = { n, xy: new Float32Array(2 * n * N_JOINTS), present: new Uint8Array(n * N_JOINTS) };
  samples.forEach((rows, t) => {
    ROWS.forEach((p, j) => {
      if (!found(rows, p) || (drop && far(rows, p))) return;
      const at = t * N_JOINTS + j;
      joints.present[at] = 1;
      joints.xy[2 * at] = rows[4 * p];
      joints.xy[2 * at + 1] = rows[4 * p + 1];
    });
  });
  return joints;
}

/** The points that a pose keeps: all, but of the face those of its contours. */
const KEPT: readonly number[] = [
  ...Array.from({ length: 33 }, (_, k) => k),
  ...tables.contours.map((k: number) => 33 + k),
  ...Array.from({ length: N_POINTS - 33 - N_FACE }, (_, k) => 33 + N_FACE + k),
];

/** How surely the left and the right hand's points are a right hand's, (T, 2), NaN without a hand. */
function rightHands(samples: readonly Float32Array[]): Float64Array {
  const right = new Float64Array(2 * samples.length).fill(NaN);
  samples.forEach((rows, t) => {
    if (rows.length < 4 * N_ROWS) return;
    for (const side of [0, 1]) {
      const at = 4 * (N_POINTS + side);
      if (rows[at + 3] > 0) right[2 * t + side] = rows[at + 1];
    }
  });
  return right;
}

function distance(joints: Joints, t: number, a: number, b: number): number {
  const [p, q] = [2 * (t * N_JOINTS + a), 2 * (t * N_JOINTS + b)];
  return hypot32(joints.xy[p] - joints.xy[q], joints.xy[p + 1] - joints.xy[q + 1]);
}

function hypot32(x: number, y: number): number {
  const [a, b] = [fround(x), fround(y)];
  return fround(sqrt(fround(fround(a * a) + fround(b * b))));
}

// --- ghosts ---------------------------------------------------------------------------------------------------------

/** In which frames the left and the right hand (T, 2) are a ghost of the other. */
export function ghostHands(joints: Joints, right: Float64Array): Uint8Array {
  const shoulder = shoulderWidthPx(joints);
  if (!shoulder) return new Uint8Array(2 * joints.n);
  const apart = Float64Array.from({ length: joints.n }, (_, t) => handsApart(joints, t));
  const ghosts = ghostsOf(joints, apart, shoulder);
  const more = ghostsBySide(apart, right, ghosts);
  return ghosts.map((ghost, k) => ghost | more[k]);
}

function ghostsOf(joints: Joints, apart: Float64Array, shoulder: number): Uint8Array {
  const { n } = joints;
  const ghosts = new Uint8Array(2 * n);
  if (!apart.some((far) => far < Infinity)) return ghosts;
  const astray = (t: number, side: number) => {
    const there = joints.present[t * N_JOINTS + ROOT[side]] && joints.present[t * N_JOINTS + WRIST[side]];
    return there ? distance(joints, t, ROOT[side], WRIST[side]) / shoulder : NaN;
  };
  for (const side of [0, 1]) {
    let run: number[] = [];
    let plain = false;
    const end = () => {
      if (plain) for (const t of run) ghosts[2 * t + side] = 1;
      run = [];
      plain = false;
    };
    for (let t = 0; t < n; t++) {
      const own = astray(t, side);
      if (apart[t] < COPY && own > DOUBTFUL && own > TIMES * astray(t, 1 - side)) {
        run.push(t);
        plain ||= own > ASTRAY;
      } else end();
    }
    end();
  }
  return ghosts;
}

function ghostsBySide(apart: Float64Array, right: Float64Array, known: Uint8Array): Uint8Array {
  const n = apart.length;
  const found = new Uint8Array(2 * n);
  const frames = Array.from({ length: n }, (_, t) => t);
  const near = frames.filter((t) => apart[t] < COPY && Number.isFinite(right[2 * t] + right[2 * t + 1]));
  const open = near.filter((t) => !known[2 * t] && !known[2 * t + 1]);
  if (!open.length) return found;
  const mean = (side: number) => open.reduce((sum, t) => sum + right[2 * t + side], 0) / open.length;
  const ofRight = [mean(0), mean(1)];
  for (const side of [0, 1]) {
    const [wrong, other] = side === 0 ? [ofRight[0], ofRight[1]] : [1 - ofRight[1], 1 - ofRight[0]];
    const knownHere = frames.filter((t) => known[2 * t + side]).length;
    const told = (wrong >= WRONG_SIDE && other >= RIGHT_SIDE) || knownHere >= OWN;
    const own = (t: number) => {
      const value = right[2 * t + side];
      return !Number.isNaN(value) && (side ? value : 1 - value) > 0.5;
    };
    const byItself = frames.filter((t) => own(t) && apart[t] > APART).length;
    const seen = frames.filter((t) => Number.isFinite(right[2 * t + 1 - side])).length;
    if (told && byItself < OWN && near.length <= FEW * seen) for (const t of open) found[2 * t + side] = 1;
  }
  return found;
}

/** How far both hands' points are apart on average, in spreads of the wider hand; infinite without both. */
function handsApart(joints: Joints, t: number): number {
  const [[left, stop], [right]] = HANDS;
  const both: number[] = [];
  for (let k = 0; k < stop - left; k++) {
    if (joints.present[t * N_JOINTS + left + k] && joints.present[t * N_JOINTS + right + k]) both.push(k);
  }
  if (!both.length) return Infinity;
  const at = (j: number) => [joints.xy[2 * (t * N_JOINTS + j)], joints.xy[2 * (t * N_JOINTS + j) + 1]];
  const mean = (value: (k: number) => number) => both.reduce((sum, k) => sum + value(k), 0) / both.length;
  const spread = (start: number) => {
    const [x, y] = [mean((k) => at(start + k)[0]), mean((k) => at(start + k)[1])];
    return sqrt(mean((k) => (at(start + k)[0] - x) ** 2 + (at(start + k)[1] - y) ** 2));
  };
  const widest = max(spread(left), spread(right));
  return widest > 0 ? mean((k) => distance(joints, t, left + k, right + k)) / widest : Infinity;
}

/** The signer's shoulder width in pixels, near the largest of the clip; null where both are never seen together. */
export function shoulderWidthPx(joints: Joints): number | null {
  const widths = bothShoulders(joints).map((t) => distance(joints, t, LEFT_SHOULDER, RIGHT_SHOULDER));
  return widths.length ? percentile(widths, 90) : null;
}

function bothShoulders(joints: Joints): number[] {
  const frames = [];
  for (let t = 0; t < joints.n; t++) {
    const at = t * N_JOINTS;
    if (joints.present[at + LEFT_SHOULDER] && joints.present[at + RIGHT_SHOULDER]) frames.push(t);
  }
  return frames;
}

/** As numpy's, by linear interpolation. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const where = (share / 100) * (sorted.length - 1);
  const before = min(floor(where), sorted.length - 1);
  const after = min(before + 1, sorted.length - 1);
  return sorted[before] + (sorted[after] - sorted[before]) * (where - before);
}

// --- what a model sees ----------------------------------------------------------------------------------------------

export interface PoseInput {
  readonly n_frames: number;
  readonly handedness: string;
}

/** What a pose model sees of a clip: `pose` (T, J, 2) in body units and `present` (T, J), T being `n_frames`. */
export function seenByModel(joints: Joints, input: PoseInput): Joints {
  if (!joints.n) throw new RangeError("the clip has no frame");
  let seen = bodyFrame(joints);
  if (input.handedness === "dominant-right" && leftIsBusier(seen)) seen = mirrored(seen);
  return resampled(seen, input.n_frames);
}

/** Coordinates relative to the signer: origin between the shoulders, unit = shoulder width. */
export function bodyFrame(joints: Joints): Joints {
  const { n, xy, present } = joints;
  const empty = () => ({ n, xy: new Float32Array(xy.length), present: new Uint8Array(present.length) });
  const at = (t: number, j: number, c: number) => xy[2 * (t * N_JOINTS + j) + c];
  const both = bothShoulders(joints);
  let origin: [number, number];
  let unit: number;
  if (both.length) {
    const middle = (c: number) =>
      median(both.map((t) => fround(fround(at(t, LEFT_SHOULDER, c) + at(t, RIGHT_SHOULDER, c)) / 2)));
    origin = [middle(0), middle(1)];
    unit = shoulderWidthPx(joints) ?? 0;
  } else {
    const frames = Array.from({ length: n }, (_, t) => t);
    const seen = (j: number) => frames.filter((t) => present[t * N_JOINTS + j]);
    const face = ["nose", "right_eye", "left_eye"].map(joint).find((j) => seen(j).length) ?? joint("nose");
    const head = seen(face);
    const palms = SIDES.flatMap((side, s) => {
      const knuckle = joint(`${side}_middle_1`);
      return seen(ROOT[s])
        .filter((t) => present[t * N_JOINTS + knuckle])
        .map((t) => distance(joints, t, knuckle, ROOT[s]));
    });
    const points: number[] = [];
    present.forEach((there, k) => there && points.push(k));
    if (!points.length) return { ...empty(), present };
    const of = (c: number) => (head.length ? head.map((t) => at(t, face, c)) : points.map((k) => xy[2 * k + c]));
    origin = [median(of(0)), median(of(1))];
    const extent = (c: number) => {
      const values = points.map((k) => xy[2 * k + c]);
      return values.reduce((a, b) => max(a, b)) - values.reduce((a, b) => min(a, b));
    };
    unit = palms.length ? 4 * percentile(palms, 75) : max(extent(0), extent(1)) / 2;
  }
  if (!(unit > 1e-6)) return empty();
  const size = fround(unit);
  const [ox, oy] = [fround(origin[0]), fround(origin[1])];
  const scaled = new Float32Array(xy.length);
  present.forEach((there, k) => {
    if (!there) return;
    scaled[2 * k] = fround(xy[2 * k] - ox) / size;
    scaled[2 * k + 1] = fround(xy[2 * k + 1] - oy) / size;
  });
  return { n, xy: scaled, present };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : fround(fround(sorted[half - 1] + sorted[half]) / 2);
}

/** Whether the signer's left hand does more of the signing: it is raised higher and detected longer. */
export function leftIsBusier({ n, xy, present }: Joints): boolean {
  const work = [0, 1].map((side) => {
    let [raised, seen] = [0, 0];
    for (let t = 0; t < n; t++) {
      const [root, wrist] = [t * N_JOINTS + ROOT[side], t * N_JOINTS + WRIST[side]];
      if (present[root]) seen++;
      if (!present[root] && !present[wrist]) continue;
      raised += max(0, fround(1.3 - xy[2 * (present[root] ? root : wrist) + 1]));
    }
    return raised / n + seen / n;
  });
  return work[0] > work[1];
}

function mirrored({ n, xy, present }: Joints): Joints {
  const other = { n, xy: new Float32Array(xy.length), present: new Uint8Array(present.length) };
  for (let t = 0; t < n; t++) {
    MIRROR.forEach((from, to) => {
      const [p, q] = [t * N_JOINTS + from, t * N_JOINTS + to];
      other.xy[2 * q] = -xy[2 * p];
      other.xy[2 * q + 1] = xy[2 * p + 1];
      other.present[q] = present[p];
    });
  }
  return other;
}

/** Stretch or shrink to `n` frames by linear interpolation in time; a joint is never blended with an absence. */
export function resampled(joints: Joints, n: number): Joints {
  if (joints.n === n) return joints;
  const step = (joints.n - 1) / (n - 1);
  return at(joints, Array.from({ length: n }, (_, k) => (k === n - 1 ? joints.n - 1 : k * step)));
}

/** Joints at fractional frames: the nearer frame decides on presence. */
function at(joints: Joints, where: readonly number[]): Joints {
  const n = where.length;
  const made = { n, xy: new Float32Array(2 * n * N_JOINTS), present: new Uint8Array(n * N_JOINTS) };
  where.forEach((place, t) => {
    const before = floor(place);
    const after = min(before + 1, joints.n - 1);
    const share = fround(place - before);
    const rest = fround(1 - share);
    for (let j = 0; j < N_JOINTS; j++) {
      const [p, q, k] = [before * N_JOINTS + j, after * N_JOINTS + j, t * N_JOINTS + j];
      const nearer = share < 0.5 ? p : q;
      if (!joints.present[nearer]) continue;
      made.present[k] = 1;
      const both = joints.present[p] && joints.present[q];
      for (const c of [0, 1]) {
        made.xy[2 * k + c] = both
          ? fround(joints.xy[2 * p + c] * rest) + fround(joints.xy[2 * q + c] * share)
          : joints.xy[2 * nearer + c];
      }
    }
  });
  return made;
}
