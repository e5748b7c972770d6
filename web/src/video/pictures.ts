// Frames as the browser holds them, as plain pictures.

import type { Picture } from "../holistic/crop";
import type { Colours } from "./h264";
import { rgbOf, usualMatrix, type Matrix } from "./yuv";

/** A frame's bytes, to be sent to a worker: planes as they are, or RGBA. */
export interface Raw {
  readonly format: "I420" | "NV12" | "RGBA";
  readonly data: ArrayBuffer;
  readonly layout: readonly PlaneLayout[];
  readonly width: number;
  readonly height: number;
  readonly matrix: Matrix;
  readonly full: boolean;
}

/** `frame`, turned by so many degrees clockwise, as RGB; the frame stays open. `told` is what its stream says. */
export async function pictureOf(frame: VideoFrame, turn = 0, told?: Colours): Promise<Picture> {
  return turned(ofRaw(await rawOf(frame, told)), turn);
}

/** What `frame` holds; it stays open. Without `told`, its colours are what the browser takes them for. */
export async function rawOf(frame: VideoFrame, told?: Colours): Promise<Raw> {
  const { width, height } = frame.visibleRect ?? { width: frame.codedWidth, height: frame.codedHeight };
  const square = Math.abs((frame.displayWidth * height) / (frame.displayHeight * width) - 1) <= 0.01;
  const format = frame.format === "I420" || frame.format === "NV12" ? frame.format : null;
  if (!format || !square) return drawn(frame, frame.displayWidth, frame.displayHeight);
  const data = new ArrayBuffer(frame.allocationSize());
  const layout = await frame.copyTo(data);
  const matrix = told ? BY_NUMBER[told.matrix ?? 2] : BY_NAME[(frame.colorSpace.matrix as string | null) ?? ""];
  return {
    format,
    data,
    layout,
    width,
    height,
    matrix: matrix ?? usualMatrix(width, height),
    full: (told ? told.full : frame.colorSpace.fullRange) ?? false,
  };
}

const BY_NUMBER: Readonly<Record<number, Matrix>> = { 1: "bt709", 5: "bt601", 6: "bt601" };
const BY_NAME: Readonly<Record<string, Matrix>> = { bt709: "bt709", smpte170m: "bt601", bt470bg: "bt601" };

/** Anything that can be drawn, as RGBA: by the browser's own conversion. */
export function drawn(source: CanvasImageSource, width: number, height: number): Raw {
  const canvas =
    "OffscreenCanvas" in globalThis
      ? new OffscreenCanvas(width, height)
      : Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false }) as CanvasRenderingContext2D;
  context.drawImage(source, 0, 0, width, height);
  const data = context.getImageData(0, 0, width, height).data.buffer as ArrayBuffer;
  return { format: "RGBA", data, layout: [], width, height, matrix: "bt601", full: true };
}

/** `raw` as a picture. */
export function ofRaw(raw: Raw): Picture {
  const { width, height } = raw;
  if (raw.format === "RGBA") return { data: new Uint8ClampedArray(raw.data), width, height, channels: 4 };
  const plane = (k: number, more = 0) => new Uint8Array(raw.data, raw.layout[k].offset + more);
  const nv12 = raw.format === "NV12";
  return rgbOf(
    {
      y: plane(0),
      u: plane(1),
      v: nv12 ? plane(1, 1) : plane(2),
      strideY: raw.layout[0].stride,
      strideUV: raw.layout[1].stride,
      stepUV: nv12 ? 2 : 1,
      width,
      height,
    },
    raw.matrix,
    raw.full,
  );
}

/** `picture` turned clockwise by 0, 90, 180 or 270 degrees. */
export function turned(picture: Picture, degrees: number): Picture {
  if (degrees % 360 === 0) return picture;
  const { data, width, height, channels } = picture;
  const [w, h] = degrees % 180 ? [height, width] : [width, height];
  const out = new Uint8Array(data.length);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const [i, j] =
        degrees === 90 ? [y, height - 1 - x] : degrees === 180 ? [width - 1 - x, height - 1 - y] : [width - 1 - y, x];
      for (let c = 0; c < channels; c++) out[(y * w + x) * channels + c] = data[(j * width + i) * channels + c];
    }
  }
  return { data: out, width: w, height: h, channels };
}
