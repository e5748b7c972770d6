import { createHash } from "node:crypto";

import { describe, expect, it } from "vitest";

import { constantRate } from "../src/pose/clock";
import { bodyFrame, jointsOf, leftIsBusier, percentile, seenByModel } from "../src/pose/joints";
import { answerOf, NONE_OF_THESE, withTaught, type Prototypes, type Unknown } from "../src/recognise/open_set";
import { coloursOf, type Colours } from "../src/video/h264";
import { turned } from "../src/video/pictures";
import { rgbOf, type Matrix } from "../src/video/yuv";
import { counted, fixtures } from "./fixtures";

function apart(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  expect(got.length).toBe(wanted.length);
  let most = 0;
  for (let k = 0; k < got.length; k++) most = Math.max(most, Math.abs(got[k] - wanted[k]));
  return most;
}

describe("colours", () => {
  it.each(fixtures.colours as never[])("are Python's very bytes %#", (made: never) => {
    const { size: [width, height], record, told, matrix, full, sha256, first } = made as {
      size: [number, number]; record: string; told: Colours; matrix: Matrix; full: boolean; sha256: string; first: number[];
    };
    expect(coloursOf(new Uint8Array(Buffer.from(record, "base64")))).toEqual(told);
    const n = (width * height * 3) / 2;
    const pixels = Uint8Array.from(counted(n, 23), (v) => (full ? v * 256 : 16 + (Math.floor(v * 256) % 220)));
    const [y, u, v] = [pixels, pixels.subarray(width * height), pixels.subarray((width * height * 5) / 4)];
    const planes = { y, u, v, strideY: width, strideUV: width / 2, stepUV: 1 as const, width, height };
    const { data } = rgbOf(planes, matrix, full);
    expect([...data.subarray(0, 24)]).toEqual(first);
    expect(createHash("sha256").update(data).digest("hex")).toBe(sha256);
    // The same samples with u and v side by side.
    const uv = Uint8Array.from({ length: (width * height) / 2 }, (_, k) => (k % 2 ? v : u)[k >> 1]);
    const nv12 = { ...planes, u: uv, v: uv.subarray(1), strideUV: width, stepUV: 2 as const };
    expect(rgbOf(nv12, matrix, full).data).toEqual(data);
  });
});

describe("pictures", () => {
  it("are turned clockwise, and four quarters make a whole", () => {
    const picture = { data: Uint8Array.from({ length: 18 }, (_, k) => k), width: 3, height: 2, channels: 3 as const };
    const quarter = turned(picture, 90);
    expect([quarter.width, quarter.height]).toEqual([2, 3]);
    expect([...quarter.data.slice(0, 6)]).toEqual([9, 10, 11, 0, 1, 2]); // the lower left comes to the upper left
    expect(turned(quarter, 90).data).toEqual(turned(picture, 180).data);
    expect(turned(turned(picture, 270), 90).data).toEqual(picture.data);
  });
});

describe("the clock", () => {
  it.each(fixtures.clocks as never[])("picks Python's frames %#", (made: never) => {
    const { times, fps, rows } = made as { times: number[]; fps: number; rows: number[] };
    expect(constantRate(times, fps)).toEqual(rows);
  });
});

describe("joints", () => {
  it.each(fixtures.clips as never[])("are Python's %#", (made: never) => {
    const clip = made as {
      size: [number, number]; samples: number[][]; found: number[]; ghosts: number; left: boolean; pose: number[]; present: number[];
    };
    const samples = clip.samples.map((row) => Float32Array.from(row));
    const joints = jointsOf(samples, { width: clip.size[0], height: clip.size[1] });
    expect([...joints.present]).toEqual(clip.found);
    expect(joints.ghosts).toBe(clip.ghosts);
    expect(leftIsBusier(bodyFrame(joints))).toBe(clip.left);
    const seen = seenByModel(joints, { n_frames: 32, handedness: "dominant-right" });
    expect([...seen.present]).toEqual(clip.present);
    expect(apart(seen.xy, clip.pose)).toBeLessThan(2e-5);
  });

  it("interpolate percentiles as numpy does", () => {
    expect(percentile([4, 1, 3, 2], 90)).toBeCloseTo(3.7, 12);
  });
});

describe("signs not known, and taught", () => {
  const { space, shown, clip, logits, answers } = fixtures.open_sets;
  const e = space.spread_E.length;
  const own: Prototypes = {
    centre_F: Float64Array.from(space.centre_F),
    basis_FE: Float64Array.from(space.basis_FE.flat()),
    spread_E: Float64Array.from(space.spread_E),
    means_KE: space.means_KE.map((row: number[]) => Float64Array.from(row)),
    count_K: space.count_K,
  };
  const unknown = (figure: Unknown["figure"]): Unknown => ({ figure, threshold: 0.7, slope: 1.3, heat: 2.5 });

  it("are answered as in Python", () => {
    expect(own.means_KE[0].length).toBe(e);
    const before = answerOf(logits, clip, own, unknown("prototypes"));
    const wiser = withTaught(own, [{ label: "new", clips: shown.map((row: number[]) => Float32Array.from(row)) }]);
    const after = answerOf(logits, clip, wiser, unknown("prototypes"));
    const entropy = answerOf(logits, null, null, unknown("entropy"));
    for (const [got, name] of [[before, "before"], [after, "taught"], [entropy, "entropy"]] as const) {
      expect(apart(got.logits, answers[name].logits)).toBeLessThan(2e-5);
      expect(got.unknown).toBeCloseTo(answers[name].unknown, 5);
    }
    expect(after.logits.length).toBe(5);
    expect(after.logits[4]).toBe(Math.max(...after.logits)); // the clip is like those that were shown
    expect(after.unknown as number).toBeLessThan(before.unknown as number);
    expect(NONE_OF_THESE).toBe(0.5);
  });

  it("of a model that does not tell have no score", () => {
    expect(answerOf([1, 2], null, null, null)).toEqual({ logits: [1, 2], unknown: null });
  });
});
