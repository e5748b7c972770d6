// The frames of a video file, every one of them: taken out of the file here, decoded by the browser (WebCodecs).

import { createFile, DataStream, Endianness, MP4BoxBuffer, type ISOFile, type Movie, type Sample } from "mp4box";

import type { Picture } from "../holistic/crop";
import { coloursOf, type Colours } from "./h264";
import { pictureOf } from "./pictures";

/** Files up to this size are read. */
export const LARGEST_BYTES = 1 << 29;
const AHEAD = 8; // frames that wait to be looked at: a decoder has few buffers

export interface Timed {
  readonly picture: Picture;
  readonly timeS: number;
}

export interface Film {
  readonly fps: number;
  readonly nFrames: number;
  readonly width: number;
  readonly height: number;
  frames(): AsyncGenerator<Timed>;
}

/** What this browser cannot take out of a file by itself: let a video element play it. */
export class NotHere extends Error {}

/** Open an MP4 or MOV file. Throws NotHere for another kind, or a codec that this browser does not decode. */
export async function openFilm(file: Blob): Promise<Film> {
  if (!("VideoDecoder" in globalThis)) throw new NotHere("this browser has no WebCodecs");
  if (file.size > LARGEST_BYTES) {
    throw new Error(`the file has ${mib(file.size)} MiB, at most ${mib(LARGEST_BYTES)} are read; cut it`);
  }
  const { track, samples, config, turn, colours } = await read(file);
  const known = await VideoDecoder.isConfigSupported(config).catch(() => ({ supported: false }));
  if (!known.supported) throw new NotHere(`this browser does not decode ${config.codec}`);
  const seconds = samples.reduce((sum, sample) => sum + sample.duration, 0) / track.timescale;
  const turned = turn % 180 !== 0;
  return {
    fps: seconds > 0 ? samples.length / seconds : 25,
    nFrames: samples.filter(({ shown }) => shown).length,
    width: turned ? track.video!.height : track.video!.width,
    height: turned ? track.video!.width : track.video!.height,
    frames: () => decoded(samples, track.timescale, config, turn, colours),
  };
}

const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(0);

async function read(file: Blob) {
  const source = createFile();
  let movie: Movie | null = null;
  source.onReady = (info) => (movie = info);
  const buffer = MP4BoxBuffer.fromArrayBuffer(await file.arrayBuffer(), 0);
  try {
    source.appendBuffer(buffer, true);
    source.flush();
  } catch (error) {
    throw new NotHere(`it is no whole MP4 file (${String(error)})`);
  }
  const track = (movie as Movie | null)?.videoTracks[0];
  if (!track?.video) throw new NotHere("it is no MP4 file with video");
  const samples: Sample[] = source.getTrackSamplesInfo(track.id) ?? [];
  const start = track.edits?.length === 1 ? Math.max(0, track.edits[0].media_time) : 0;
  if (!samples.some((sample) => sample.cts >= start)) throw new Error("the file has no frame of video");
  const bytes = new Uint8Array(buffer);
  const short = samples.findIndex((sample) => sample.offset + sample.size > bytes.length);
  if (short >= 0) throw new Error(`the file is cut off: of ${samples.length} frames ${short} are there`);
  const description = descriptionOf(source, track.id);
  const config: VideoDecoderConfig = {
    codec: track.codec.startsWith("vp08") ? "vp8" : track.codec,
    codedWidth: track.video.width,
    codedHeight: track.video.height,
    ...(description ? { description } : {}),
  };
  const coded = samples.map((sample) => ({
    key: sample.is_sync,
    cts: sample.cts,
    duration: sample.duration,
    shown: sample.cts >= start,
    data: bytes.subarray(sample.offset, sample.offset + sample.size),
  }));
  const colours = description && track.codec.startsWith("avc") ? coloursOf(description) : undefined;
  return { track, samples: coded, config, turn: turnOf(track.matrix), colours };
}

type Coded = Awaited<ReturnType<typeof read>>["samples"][number];

function descriptionOf(source: ISOFile, track: number): Uint8Array | null {
  for (const entry of source.getTrackById(track).mdia.minf.stbl.stsd.entries) {
    const box = ["avcC", "hvcC", "vpcC", "av1C"].map((name) => (entry as never)[name]).find(Boolean) as
      | { write(stream: DataStream): void }
      | undefined;
    if (!box) continue;
    const stream = new DataStream(undefined, 0, Endianness.BIG_ENDIAN);
    box.write(stream);
    return new Uint8Array(stream.buffer as ArrayBuffer, 8); // without the box's header
  }
  return null;
}

/** By how many degrees, clockwise, a film is to be turned to stand upright. */
function turnOf(matrix: ArrayLike<number>): number {
  const [a, b] = [matrix[0], matrix[1]];
  if (Math.abs(a) >= Math.abs(b)) return a < 0 ? 180 : 0;
  return b > 0 ? 90 : 270;
}

async function* decoded(
  samples: readonly Coded[],
  timescale: number,
  config: VideoDecoderConfig,
  turn: number,
  colours: Colours | undefined,
): AsyncGenerator<Timed> {
  const hidden = new Set(samples.filter((sample) => !sample.shown).map((sample) => micros(sample.cts)));
  const waiting: VideoFrame[] = [];
  let failure: Error | null = null;
  let [given, done, shown] = [0, false, 0];
  let wake = () => {};
  const changed = () => new Promise<void>((resolve) => (wake = resolve));
  const decoder = new VideoDecoder({
    output: (frame) => (waiting.push(frame), wake()),
    error: (error) => ((failure = error), wake()),
  });
  decoder.configure(config);
  decoder.ondequeue = () => wake();
  function micros(cts: number): number {
    return Math.round((cts * 1e6) / timescale);
  }
  try {
    while (true) {
      if (failure) throw new Error(`frame ${shown} cannot be decoded: ${(failure as Error).message}`);
      while (given < samples.length && waiting.length + decoder.decodeQueueSize < AHEAD) {
        const sample = samples[given++];
        const type = sample.key ? "key" : "delta";
        decoder.decode(new EncodedVideoChunk({ type, timestamp: micros(sample.cts), data: sample.data }));
        if (given === samples.length) decoder.flush().then(() => ((done = true), wake()), () => wake());
      }
      const frame = waiting.shift();
      if (frame) {
        const timeS = frame.timestamp / 1e6;
        try {
          if (!hidden.has(frame.timestamp)) yield { picture: await pictureOf(frame, turn, colours), timeS };
          shown++;
        } finally {
          frame.close();
        }
      } else if (done) break;
      else await changed();
    }
    if (shown !== samples.length) throw new Error(`${samples.length - shown} of ${samples.length} frames got lost`);
  } finally {
    for (const frame of waiting) frame.close();
    if (decoder.state !== "closed") decoder.close();
  }
}
