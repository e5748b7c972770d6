// Body, hands and face of one person in a video, as signloom.streams.holistic.graph finds them in Python: what follows
// what, and where the numbers are from, stands at the top of that file.

import { asFloats, crop, type Border, type Picture } from "./crop";
import { BODY_DETECTOR, FACE_DETECTOR } from "./detector";
import {
  FACE_TRACKING,
  HAND_TRACKING,
  bodyRegion,
  chooseRegion,
  faceRegionOfBody,
  faceRegionOfDetection,
  faceRegionOfFace,
  handRegionOfBody,
  handRegionOfHand,
  handRegionOfRecrop,
  place,
  placesOf,
  shareInside,
  wholePicture,
  type Region,
} from "./regions";
import { LowPass, OneEuro } from "./smoothing";

export const N_BODY = 33;
export const N_FACE = 468;
export const N_HAND = 21;
export const N_POINTS = N_BODY + N_FACE + 2 * N_HAND;
/** Of a frame: the points, and a row of notes for each hand. */
export const N_ROWS = N_POINTS + 2;

const HANDS_OF_BODY = [
  [15, 17, 19],
  [16, 18, 20],
] as const;
const LEAST_VISIBLE = 0.1;
const PRESENT = 0.5;
const HAND_DEPTH = 0.4;
const SURE = 0.5;
const LEAST_INSIDE = 0.1;
const REACH = 4;
const N_TRACKED = 35; // the body's points, and two that say where to look next

/** A network, ready to run: `picture` floats (sizePx, sizePx, 3) in, its outputs out. */
export interface Network {
  readonly sizePx: number;
  run(picture: Float32Array): Promise<Float32Array[]>;
}

export const HOLISTIC = ["body_detection", "body", "hand_recrop", "hand", "face_detection", "face"] as const;
export type NetworkName = (typeof HOLISTIC)[number];
export type Networks = Readonly<Record<NetworkName, Network>>;

export interface Hand {
  /** (21, 3): x and y in pixels, z in picture widths. */
  readonly points: Float64Array;
  readonly presence: number;
  readonly right: number;
  readonly region: Region;
}

/** What was found in a frame: body (33, 4) with visibility, face (468, 3), the hands. */
export interface Found {
  readonly body: Float64Array | null;
  readonly face: Float64Array | null;
  readonly left: Hand | null;
  readonly right: Hand | null;
}

export interface Settings {
  readonly leastDetection: number;
  readonly leastTracking: number;
  readonly regain: boolean;
}

export const SETTINGS: Settings = { leastDetection: 0.5, leastTracking: 0.5, regain: true };

/** Follows one person through the frames of one clip. */
export class Tracker {
  private bodyRegion: Region | null = null;
  private readonly visibility = new LowPass(0.1);
  private readonly points = new OneEuro(0.05, 80.0);
  private readonly auxiliary = new OneEuro(0.01, 10.0);
  private hands: [Hand | null, Hand | null] = [null, null];
  private face: Float64Array | null = null;

  constructor(
    private readonly networks: Networks,
    private readonly settings: Settings = SETTINGS,
  ) {}

  /** What there is in `frame`, filmed at `timeS`, later than the one before. */
  async find(frame: Picture, timeS: number): Promise<Found> {
    const body = await this.findBody(frame, timeS);
    if (!body) {
      this.hands = [null, null];
      this.face = null;
      return { body: null, face: null, left: null, right: null };
    }
    const left = await this.findHand(frame, body, 0);
    const right = await this.findHand(frame, body, 1);
    this.hands = [left, right];
    this.face = await this.findFace(frame, body);
    return { body, face: this.face, left, right };
  }

  // --- body ---

  private async findBody(frame: Picture, timeS: number): Promise<Float64Array | null> {
    const region = this.bodyRegion ?? (await this.detectBody(frame));
    const found = region && (await this.bodyIn(frame, region));
    if (!found) {
      this.bodyRegion = null;
      this.points.reset();
      this.auxiliary.reset();
      return null;
    }
    const at = (k: number): [number, number] => [found[4 * k], found[4 * k + 1]];
    const sizePx = bodyRegion(at(N_BODY), at(N_BODY + 1)).width / 1.25;
    const xyz = (from: number, to: number) => {
      const rows = new Float64Array(3 * (to - from));
      for (let k = from; k < to; k++) {
        rows[3 * (k - from)] = found[4 * k];
        rows[3 * (k - from) + 1] = found[4 * k + 1];
        rows[3 * (k - from) + 2] = found[4 * k + 2] * frame.width; // in pixels, as x and y are
      }
      return rows;
    };
    const visibility = this.visibility.apply(Float64Array.from({ length: N_TRACKED }, (_, k) => found[4 * k + 3]));
    const large = sizePx > 1e-6;
    const own = xyz(0, N_BODY);
    const two = xyz(N_BODY, N_TRACKED);
    const smooth = large ? this.points.apply(own, timeS, sizePx) : own;
    const hips = large ? this.auxiliary.apply(two, timeS, sizePx) : two;
    this.bodyRegion = bodyRegion([hips[0], hips[1]], [hips[3], hips[4]]);
    const body = new Float64Array(4 * N_BODY);
    for (let k = 0; k < N_BODY; k++) {
      body[4 * k] = smooth[3 * k];
      body[4 * k + 1] = smooth[3 * k + 1];
      body[4 * k + 2] = smooth[3 * k + 2] / frame.width;
      body[4 * k + 3] = visibility[k];
    }
    return body;
  }

  private async detectBody(frame: Picture): Promise<Region | null> {
    const region = wholePicture(frame.width, frame.height);
    const network = this.networks.body_detection;
    const [boxes, logits] = await look(network, frame, region, "zero", 2 / 255, -1);
    const points = BODY_DETECTOR.best(boxes, logits, this.settings.leastDetection);
    return points && bodyRegion(place(region, ...points[0]), place(region, ...points[1]));
  }

  /** The 35 points (x, y in pixels, z in picture widths, visibility); null where nobody is. */
  private async bodyIn(frame: Picture, region: Region): Promise<Float64Array | null> {
    const network = this.networks.body;
    const [raw, presence, heatmap] = await look(network, frame, region);
    if (!(presence[0] > this.settings.leastTracking)) return null;
    const body = new Float64Array(4 * N_TRACKED);
    for (let k = 0; k < N_TRACKED; k++) {
      const [u, v] = refined(raw[5 * k] / network.sizePx, raw[5 * k + 1] / network.sizePx, heatmap, k);
      const [x, y] = place(region, u, v);
      body[4 * k] = x;
      body[4 * k + 1] = y;
      body[4 * k + 2] = ((raw[5 * k + 2] / network.sizePx) * region.width) / frame.width;
      body[4 * k + 3] = sigmoid(raw[5 * k + 3]);
    }
    return body;
  }

  // --- hands ---

  private async findHand(frame: Picture, body: Float64Array, side: 0 | 1): Promise<Hand | null> {
    const [wrist, pinky, index] = HANDS_OF_BODY[side];
    if (!(body[4 * wrist + 3] > LEAST_VISIBLE)) return null;
    const at = (k: number): [number, number] => [body[4 * k], body[4 * k + 1]];
    const ofBody = handRegionOfBody(at(wrist), at(pinky), at(index));
    const network = this.networks.hand_recrop;
    const [ends] = await look(network, frame, ofBody);
    const end = (k: number) => place(ofBody, ends[2 * k] / network.sizePx, ends[2 * k + 1] / network.sizePx);
    const next = handRegionOfRecrop(end(0), end(1));
    const last = this.hands[side];
    const region = last
      ? chooseRegion(HAND_TRACKING, next, placesOf(last.points, 3, N_HAND), handRegionOfHand(last.points))
      : next;
    const found = await this.handIn(frame, region);
    return !found && this.settings.regain && region !== next ? this.handIn(frame, next) : found;
  }

  private async handIn(frame: Picture, region: Region): Promise<Hand | null> {
    if (shareInside(region, frame.width, frame.height) < LEAST_INSIDE) return null;
    const network = this.networks.hand;
    const [points, presence, right] = await look(network, frame, region);
    if (!(presence[0] > PRESENT)) return null;
    const placed = placePoints(points, N_HAND, region, network.sizePx, frame.width, HAND_DEPTH);
    return { points: placed, presence: presence[0], right: right[0], region };
  }

  // --- face ---

  private async findFace(frame: Picture, body: Float64Array): Promise<Float64Array | null> {
    const around = faceRegionOfBody(placesOf(body, 4, 11));
    const [boxes, logits] = await look(this.networks.face_detection, frame, around, "zero", 2 / 255, -1);
    const detected = FACE_DETECTOR.best(boxes, logits, PRESENT);
    if (!detected) return null;
    const next = faceRegionOfDetection(detected.map(([u, v]) => place(around, u, v)));
    let region = next;
    if (this.face) {
      const last = placesOf(this.face, 3, N_FACE);
      region = chooseRegion(FACE_TRACKING, next, last, faceRegionOfFace(last));
    }
    const found = await this.faceIn(frame, region);
    return !found && this.settings.regain && region !== next ? this.faceIn(frame, next) : found;
  }

  private async faceIn(frame: Picture, region: Region): Promise<Float64Array | null> {
    const network = this.networks.face;
    const [points, logit] = await look(network, frame, region);
    if (!(sigmoid(logit[0]) > PRESENT)) return null;
    return placePoints(points, N_FACE, region, network.sizePx, frame.width);
  }
}

/** What `network` says of `region`. */
function look(
  network: Network,
  frame: Picture,
  region: Region,
  border: Border = "edge",
  scale = 1 / 255,
  offset = 0,
): Promise<Float32Array[]> {
  return network.run(asFloats(crop(frame, region, network.sizePx, border), scale, offset));
}

/** Points in pixels of a network's input (and z) as points in pixels of the picture, z in picture widths. */
function placePoints(
  raw: Float32Array,
  n: number,
  region: Region,
  sizePx: number,
  widthPx: number,
  depth = 1,
): Float64Array {
  const points = new Float64Array(3 * n);
  for (let k = 0; k < n; k++) {
    const [x, y] = place(region, raw[3 * k] / sizePx, raw[3 * k + 1] / sizePx);
    points[3 * k] = x;
    points[3 * k + 1] = y;
    points[3 * k + 2] = ((raw[3 * k + 2] / sizePx / depth) * region.width) / widthPx;
  }
  return points;
}

const HEATMAP = 64;
const N_MAPS = 39;

/** A point in shares of the input, moved to the middle of its heatmap (64, 64, 39) about it where that is sure. */
export function refined(u: number, v: number, heatmap: Float32Array, map: number): [number, number] {
  const column = Math.trunc(u * HEATMAP);
  const row = Math.trunc(v * HEATMAP);
  if (!(column >= 0 && row >= 0 && column < HEATMAP && row < HEATMAP)) return [u, v];
  let [total, most, x, y] = [0, 0, 0, 0];
  for (let j = Math.max(0, row - REACH); j <= Math.min(HEATMAP - 1, row + REACH); j++) {
    for (let i = Math.max(0, column - REACH); i <= Math.min(HEATMAP - 1, column + REACH); i++) {
      const sure = sigmoid(heatmap[(j * HEATMAP + i) * N_MAPS + map]);
      total += sure;
      most = Math.max(most, sure);
      x += sure * i;
      y += sure * j;
    }
  }
  return most >= SURE && total > 0 ? [x / total / HEATMAP, y / total / HEATMAP] : [u, v];
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** What was found in a frame as the rows of a sample, float32 (545, 4): points with confidence, then notes of hands. */
export function rowsOf(found: Found): Float32Array {
  const rows = new Float32Array(4 * N_ROWS);
  if (found.body) rows.set(found.body);
  const put = (points: Float64Array, from: number) => {
    for (let k = 0; k < points.length / 3; k++) {
      const at = 4 * (from + k);
      rows[at] = points[3 * k];
      rows[at + 1] = points[3 * k + 1];
      rows[at + 2] = points[3 * k + 2];
      rows[at + 3] = 1;
    }
  };
  if (found.face) put(found.face, N_BODY);
  [found.left, found.right].forEach((hand, side) => {
    if (!hand) return;
    put(hand.points, N_BODY + N_FACE + N_HAND * side);
    rows.set([hand.presence, hand.right, 0, 1], 4 * (N_POINTS + side));
  });
  return rows;
}
