// From the planes of a decoded frame to RGB, by the rule by which signloom.media does so in Python (FFmpeg's exact
// conversion), so that page and Python see the same pictures: chroma is interpolated, from where H.264 and most others
// put it: on every second column, and midway between two rows.

import type { Picture } from "../holistic/crop";

/** Planes of 8-bit luma and of chroma at half the width and height. */
export interface Planes {
  readonly y: Uint8Array;
  readonly u: Uint8Array;
  readonly v: Uint8Array;
  readonly strideY: number;
  readonly strideUV: number;
  /** 1, or 2 where the samples of u and v alternate (NV12). */
  readonly stepUV: 1 | 2;
  readonly width: number;
  readonly height: number;
}

export type Matrix = "bt601" | "bt709";

/** FFmpeg's tables: red from v, blue from u, green from u and from v, in 1/65536. */
const COEFFICIENTS: Record<Matrix, readonly [number, number, number, number]> = {
  bt601: [104597, 132201, 25675, 53279],
  bt709: [117489, 138438, 13975, 34925],
};

/** The matrix by size, where a video does not tell: as players do. */
export function usualMatrix(width: number, height: number): Matrix {
  return width >= 1280 || height > 576 ? "bt709" : "bt601";
}

export function rgbOf(planes: Planes, matrix: Matrix, full: boolean): Picture {
  const { width, height, y, u, v, strideY, strideUV, stepUV } = planes;
  const to = (value: number) => Math.floor((value * 8192 + 32768) / 65536);
  const ranged = (value: number) => (full ? Math.trunc((value * 224) / 255) : value);
  const [crv, cbu, cgu, cgv] = COEFFICIENTS[matrix].map(ranged);
  const scale = to(full ? 65536 : Math.trunc((65536 * 255) / 219));
  const zero = full ? 0 : 16 * 512;
  const [redV, blueU, greenU, greenV] = [to(crv), to(cbu), to(-cgu), to(-cgv)];
  const wideC = (width + 1) >> 1;
  const highC = (height + 1) >> 1;
  const data = new Uint8ClampedArray(3 * width * height);
  // Chroma rows at full width, in 1/2; the row above and below are each used for two rows of the picture.
  const rowU = [new Int32Array(width), new Int32Array(width)];
  const rowV = [new Int32Array(width), new Int32Array(width)];
  const spread = (plane: Uint8Array, row: number, out: Int32Array) => {
    const start = row * strideUV;
    for (let i = 0; i < width; i++) {
      const own = i >> 1;
      const other = Math.min(wideC - 1, own + (i & 1));
      out[i] = plane[start + own * stepUV] + plane[start + other * stepUV];
    }
  };
  let at = 0;
  for (let j = 0; j < height; j++) {
    const own = j >> 1;
    const other = Math.min(highC - 1, Math.max(0, j & 1 ? own + 1 : own - 1));
    spread(u, own, rowU[0]);
    spread(v, own, rowV[0]);
    spread(u, other, rowU[1]);
    spread(v, other, rowV[1]);
    for (let i = 0; i < width; i++, at += 3) {
      // 8 shares of chroma make a sample; FFmpeg carries it in 1/512.
      const cu = (3 * rowU[0][i] + rowU[1][i] - 1024) * 64;
      const cv = (3 * rowV[0][i] + rowV[1][i] - 1024) * 64;
      const luma = (y[j * strideY + i] * 512 - zero) * scale + (1 << 21);
      data[at] = clipped(luma + cv * redV);
      data[at + 1] = clipped(luma + cv * greenV + cu * greenU);
      data[at + 2] = clipped(luma + cu * blueU);
    }
  }
  return { data, width, height, channels: 3 };
}

function clipped(value: number): number {
  return value <= 0 ? 0 : value >= 1069547520 ? 255 : value >> 22;
}
