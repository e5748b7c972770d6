// How a turned rectangle of a picture becomes a network's input, by the rule at the top of
// signloom.streams.holistic.crop in Python, whose steps are numbered here.

import type { Region } from "./regions";

/** A picture of 8-bit RGB, or RGBA whose last channel nothing looks at, row by row without gaps. */
export interface Picture {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
  readonly channels: 3 | 4;
}

export type Border = "edge" | "zero";

/** `region` of `picture` as (size, size, 3), into `out` where given. */
export function crop(
  picture: Picture,
  region: Region,
  size: number,
  border: Border = "edge",
  out = new Uint8Array(3 * size * size),
): Uint8Array {
  const { data, width, height, channels } = picture;
  const { x, y, width: w, height: h, angle } = region;
  // Steps 1 and 2: the way from output pixels to places in the picture.
  const [ax, ay] = [w * Math.cos(angle), w * Math.sin(angle)];
  const [dx, dy] = [-h * Math.sin(angle), h * Math.cos(angle)];
  const [m00, m01, m02] = [ax / size, dx / size, x - ax / 2 - dx / 2];
  const [m10, m11, m12] = [ay / size, dy / size, y - ay / 2 - dy / 2];
  const zero = border === "zero";
  let at = 0;
  for (let v = 0; v < size; v++) {
    const rowX = m01 * v + m02;
    const rowY = m11 * v + m12;
    for (let u = 0; u < size; u++, at += 3) {
      // Step 3: to 1/32 pixel.
      const X = halfEven(clipped(32 * (rowX + m00 * u)));
      const Y = halfEven(clipped(32 * (rowY + m10 * u)));
      const i = X >> 5;
      const j = Y >> 5;
      const f = X & 31;
      const g = Y & 31;
      // Step 4: the four pixels around, by their shares.
      const w00 = (32 - f) * (32 - g);
      const w10 = f * (32 - g);
      const w01 = (32 - f) * g;
      const w11 = f * g;
      if (i >= 0 && j >= 0 && i < width - 1 && j < height - 1) {
        const p = (j * width + i) * channels;
        const q = p + width * channels;
        for (let c = 0; c < 3; c++) {
          const sum =
            w00 * data[p + c] + w10 * data[p + channels + c] + w01 * data[q + c] + w11 * data[q + channels + c];
          out[at + c] = (sum + 512) >> 10;
        }
        continue;
      }
      const left = zero && (i < 0 || i >= width) ? 0 : 1;
      const right = zero && (i + 1 < 0 || i + 1 >= width) ? 0 : 1;
      const top = zero && (j < 0 || j >= height) ? 0 : 1;
      const bottom = zero && (j + 1 < 0 || j + 1 >= height) ? 0 : 1;
      const i0 = inside(i, width);
      const i1 = inside(i + 1, width);
      const j0 = inside(j, height) * width;
      const j1 = inside(j + 1, height) * width;
      for (let c = 0; c < 3; c++) {
        const sum =
          w00 * left * top * data[(j0 + i0) * channels + c] +
          w10 * right * top * data[(j0 + i1) * channels + c] +
          w01 * left * bottom * data[(j1 + i0) * channels + c] +
          w11 * right * bottom * data[(j1 + i1) * channels + c];
        out[at + c] = (sum + 512) >> 10;
      }
    }
  }
  return out;
}

/** Step 5: what a network gets of a crop, 32-bit floats; `scale` and `offset` as in Python. */
export function asFloats(crop: Uint8Array, scale: number, offset: number, out = new Float32Array(crop.length)) {
  const table = tableOf(scale, offset);
  for (let k = 0; k < crop.length; k++) out[k] = table[crop[k]];
  return out;
}

const tables = new Map<string, Float32Array>();

function tableOf(scale: number, offset: number): Float32Array {
  const key = `${scale} ${offset}`;
  let table = tables.get(key);
  if (!table) {
    const [s, o] = [Math.fround(scale), Math.fround(offset)];
    table = Float32Array.from({ length: 256 }, (_, p) => Math.fround(p * s) + o);
    tables.set(key, table);
  }
  return table;
}

function clipped(value: number): number {
  return value > 1_000_000 ? 1_000_000 : value < -1_000_000 ? -1_000_000 : value;
}

/** The nearest whole number, of two the even one: for values up to 2^51, by what a double cannot hold. */
function halfEven(value: number): number {
  return value + 6755399441055744 - 6755399441055744;
}

function inside(k: number, n: number): number {
  return k < 0 ? 0 : k >= n ? n - 1 : k;
}
