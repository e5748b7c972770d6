import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";

import { describe, expect, it } from "vitest";

import { asFloats, crop, type Border, type Picture } from "../src/holistic/crop";
import { BODY_DETECTOR, FACE_DETECTOR } from "../src/holistic/detector";
import { HOLISTIC, refined, rowsOf, Tracker, type Networks } from "../src/holistic/graph";
import { pruned } from "../src/holistic/pruning";
import * as regions from "../src/holistic/regions";
import { LowPass, OneEuro } from "../src/holistic/smoothing";
import tables from "../src/pose/tables.json";
import { counted, fixtures } from "./fixtures";

const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

function picture(width: number, height: number, channels: 3 | 4 = 3): Picture {
  const rgb = Uint8Array.from({ length: 3 * width * height }, (_, k) => (k * 7919) % 256);
  if (channels === 3) return { data: rgb, width, height, channels };
  const data = Uint8Array.from({ length: 4 * width * height }, (_, k) => (k % 4 < 3 ? rgb[3 * (k >> 2) + (k % 4)] : 9));
  return { data, width, height, channels };
}

function region([x, y, width, height, angle]: number[]): regions.Region {
  return { x, y, width, height, angle };
}

const plain = (r: regions.Region) => [r.x, r.y, r.width, r.height, r.angle];

function close(got: ArrayLike<number>, wanted: ArrayLike<number>, digits = 9): void {
  expect(got.length).toBe(wanted.length);
  for (let k = 0; k < got.length; k++) expect(got[k]).toBeCloseTo(wanted[k], digits);
}

describe("crop", () => {
  it.each(fixtures.crops as never[])("gives Python's very bytes %#", (made: never) => {
    const { picture: [w, h], region: where, size, border, sha256: wanted } = made as {
      picture: [number, number]; region: number[]; size: number; border: Border; sha256: string;
    };
    expect(sha256(crop(picture(w, h), region(where), size, border))).toBe(wanted);
    expect(sha256(crop(picture(w, h, 4), region(where), size, border))).toBe(wanted);
  });

  it("gives 32-bit floats", () => {
    const got = asFloats(Uint8Array.of(0, 1, 255), 2 / 255, -1);
    expect([...got]).toEqual([-1, Math.fround(Math.fround(Math.fround(2 / 255)) - 1), 1]);
  });
});

describe("regions", () => {
  const r = fixtures.regions;
  const hand = counted(63).map((v) => v * 90 + 100);
  const at = (points: Float64Array, k: number): [number, number] => [points[3 * k], points[3 * k + 1]];

  it("are Python's", () => {
    close(plain(regions.wholePicture(480, 270)), r.whole);
    close(plain(regions.bodyRegion([200.5, 300.25], [190.0, 80.5])), r.body);
    close(plain(regions.handRegionOfBody(at(hand, 0), at(hand, 1), at(hand, 2))), r.hand_of_body);
    close(plain(regions.handRegionOfRecrop(at(hand, 0), at(hand, 1))), r.recrop);
    close(plain(regions.handRegionOfHand(hand)), r.hand_of_hand);
    close(plain(regions.handRegionOfHand(hand.map((v, k) => (k % 3 < 2 ? v - 250 : v)))), r.hand_beyond);
    const body = counted(44, 9).map((v) => v * 50 + 70);
    close(plain(regions.faceRegionOfBody(regions.placesOf(body, 4, 11))), r.face_of_body);
    const six = counted(12, 11).map((v) => v * 40 + 80);
    close(plain(regions.faceRegionOfDetection(regions.placesOf(six, 2, 6))), r.face_of_detection);
    const face = counted(1404, 7).map((v) => v * 80 + 60);
    close(plain(regions.faceRegionOfFace(regions.placesOf(face, 3, 468))), r.face_of_face);
  });

  it("turn from -π up to π", () => {
    for (const [angle, wanted] of r.turn) expect(regions.turn(angle)).toBeCloseTo(wanted, 12);
  });

  it("are kept from frame to frame where Python keeps them", () => {
    const near = region([150, 150, 120, 120, 0.3]);
    const inner = regions.placesOf(counted(63, 5).map((v) => v * 40 + 130), 3, 21);
    const kept = r.kept.map((one: { last: number[] }) => {
      const last = region(one.last);
      return regions.chooseRegion(regions.HAND_TRACKING, near, inner, last) === last;
    });
    expect(kept).toEqual(r.kept.map((one: { kept: boolean }) => one.kept));
    const far = inner.map(([x, y]): [number, number] => [x + 60, y]);
    const last = { ...near, x: 151 };
    expect(regions.chooseRegion(regions.HAND_TRACKING, near, far, last) !== near).toBe(r.kept_far);
    close([-40, 20, 150, 230].map((x) => regions.shareInside({ ...near, x }, 200, 180)), r.inside);
  });
});

describe("detectors", () => {
  it.each([
    [BODY_DETECTOR, 12, 0],
    [FACE_DETECTOR, 16, 1],
  ] as const)("read boxes as Python does %#", (detector, columns, which) => {
    const wanted = fixtures.detectors[which];
    const n = detector.nAnchors;
    expect(n).toBe(wanted.anchors);
    const raw = Float32Array.from(counted(n * columns, 3), (v) => v * 60 - 10);
    const logits = Float32Array.from(counted(n, 5), (v) => v * 6 - 5);
    close((detector.best(raw, logits, 0.5) ?? []).flat(), wanted.best.flat());
    expect(detector.best(raw, logits.map((v) => v - 10), 0.5) === null).toBe(wanted.nothing);
  });
});

describe("filters", () => {
  it("smooth as Python's", () => {
    const { times, euro, low } = fixtures.filters;
    const values = counted(60, 13).map((v) => v * 100);
    const [one, other] = [new OneEuro(0.05, 80), new LowPass(0.1)];
    times.forEach((time: number, k: number) => {
      close(one.apply(values.slice(6 * k, 6 * k + 6), time, 57.5), euro[k]);
      close(other.apply(values.slice(6 * k, 6 * k + 6)), low[k]);
    });
  });
});

describe("heatmaps", () => {
  it("move points as Python does", () => {
    const heatmap = Float32Array.from(counted(64 * 64 * 39, 17), (v) => (v - 0.93) * 60);
    const points = counted(70, 19).map((v) => v * 1.1 - 0.05);
    let moved = 0;
    fixtures.heatmaps.forEach((wanted: number[], k: number) => {
      const got = refined(points[2 * k], points[2 * k + 1], heatmap, k);
      close(got, wanted);
      if (got[0] !== points[2 * k]) moved++;
    });
    expect(moved).toBeGreaterThan(5);
  });
});

describe("networks", () => {
  const folder = process.env.SIGNLOOM_NETWORKS;
  it.skipIf(!folder)("are pruned to Python's very bytes", () => {
    for (const name of HOLISTIC) {
      const { file, outputs } = tables.networks[name];
      const path = resolve(folder ?? "", file);
      expect(existsSync(path), path).toBe(true);
      const data = pruned(new Uint8Array(readFileSync(path)), Object.keys(outputs).map(Number));
      expect(sha256(data)).toBe(fixtures.prunings[name]);
    }
  });

  it("that are no .tflite are refused", () => {
    expect(() => pruned(new Uint8Array(64), [0])).toThrow("no .tflite");
  });
});

describe("the tracker", () => {
  /** Networks that say the same of everything. */
  function saying(presence: { body: number; hand: number; face: number }) {
    const asked: Record<string, number> = {};
    const network = (name: string, sizePx: number, outputs: () => Float32Array[]) => ({
      sizePx,
      run: async () => ((asked[name] = (asked[name] ?? 0) + 1), outputs()),
    });
    const seen = (n: number, columns: number, at: number[]) => {
      const [boxes, logits] = [new Float32Array(n * columns), new Float32Array(n).fill(-9)];
      boxes.set(at, (n >> 1) * columns);
      logits[n >> 1] = 9;
      return [boxes, logits];
    };
    const body = new Float32Array(195);
    for (let k = 0; k < 39; k++) body.set([128 + 10 * Math.cos(k), 100 + 30 * Math.sin(k), 0, 4, 4], 5 * k);
    const networks = {
      body_detection: network("body_detection", 224, () => seen(2254, 12, [0, 0, 80, 80, 0, 20, 0, -70])),
      body: network("body", 256, () => [body, Float32Array.of(presence.body), new Float32Array(64 * 64 * 39).fill(-9)]),
      hand_recrop: network("hand_recrop", 256, () => [Float32Array.of(128, 128, 128, 30)]),
      hand: network("hand", 224, () => [
        Float32Array.from({ length: 63 }, (_, k) => 90 + ((k * 7) % 40)), Float32Array.of(presence.hand), Float32Array.of(0.8),
      ]),
      face_detection: network("face_detection", 128, () =>
        seen(896, 16, [0, 0, 50, 50, -8, -5, 8, -5, 0, 0, 0, 6, -12, 0, 12, 0])),
      face: network("face", 192, () => [
        Float32Array.from({ length: 1404 }, (_, k) => 60 + ((k * 5) % 70)), Float32Array.of(presence.face),
      ]),
    };
    return { networks: networks as unknown as Networks, asked };
  }

  it("finds what its networks are sure of, and detects anew only what it lost", async () => {
    const { networks, asked } = saying({ body: 0.9, hand: 0.9, face: 5 });
    const tracker = new Tracker(networks);
    const first = await tracker.find(picture(64, 48), 0);
    await tracker.find(picture(64, 48), 0.04);
    expect(first.body).not.toBeNull();
    expect(first.face).not.toBeNull();
    expect(first.left?.right).toBeCloseTo(0.8, 6);
    expect(asked.body_detection).toBe(1);
    const rows = rowsOf(first);
    expect(rows.length).toBe(4 * 545);
    expect([...rows.slice(4 * 543 + 2, 4 * 544)]).toEqual([0, 1]);
  });

  it("finds nothing where nobody is, and looks again", async () => {
    const { networks, asked } = saying({ body: 0.1, hand: 0.9, face: 5 });
    const tracker = new Tracker(networks);
    for (const time of [0, 0.04]) {
      expect(await tracker.find(picture(64, 48), time)).toEqual({ body: null, face: null, left: null, right: null });
    }
    expect(asked).toEqual({ body_detection: 2, body: 2 });
  });
});
