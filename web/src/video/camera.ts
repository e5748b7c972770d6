// Frames of a camera, and of a video that plays: every one of them, as far as the browser gives them.

import { drawn, rawOf, type Raw } from "./pictures";

export type OnFrame = (raw: Raw, timeS: number) => void;

interface TrackProcessor {
  readonly readable: ReadableStream<VideoFrame>;
}

/** Open the camera. Throws an Error with what to do. */
export async function openCamera(): Promise<MediaStream> {
  try {
    const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, facingMode: "user" };
    return await navigator.mediaDevices.getUserMedia({ video, audio: false });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    if (name === "NotAllowedError") throw new Error("the camera is not allowed: allow it in the address bar, and try again");
    if (name === "NotFoundError") throw new Error("there is no camera: connect one, or choose a video file");
    if (name === "NotReadableError") throw new Error("the camera is in use by another program: close that, and try again");
    throw new Error(`the camera cannot be opened (${String(error)})`);
  }
}

/** Give every frame of `stream`, which `video` plays, until what is returned is called. */
export function framesOf(stream: MediaStream, video: HTMLVideoElement, onFrame: OnFrame): () => Promise<void> {
  const [track] = stream.getVideoTracks();
  const Processor = (globalThis as unknown as { MediaStreamTrackProcessor?: new (of: { track: MediaStreamTrack }) => TrackProcessor })
    .MediaStreamTrackProcessor;
  if (!Processor) return played(video, onFrame);
  const own = track.clone();
  const reader = new Processor({ track: own }).readable.getReader();
  let stopped = false;
  const running = (async () => {
    while (!stopped) {
      const { value, done } = await reader.read();
      if (done || !value) break;
      const raw = await rawOf(value);
      if (!stopped) onFrame(raw, value.timestamp / 1e6);
      value.close();
    }
  })();
  return async () => {
    stopped = true;
    await reader.cancel().catch(() => undefined);
    own.stop();
    await running.catch(() => undefined);
  };
}

const HAS_CALLBACK = "requestVideoFrameCallback" in HTMLVideoElement.prototype;

/** Frames as a video element shows them. */
function played(video: HTMLVideoElement, onFrame: OnFrame): () => Promise<void> {
  let stopped = false;
  let last = -1;
  const give = (timeS: number) => {
    if (timeS > last) onFrame(drawn(video, video.videoWidth, video.videoHeight), timeS);
    last = timeS;
  };
  const next = (now: number, about?: VideoFrameCallbackMetadata) => {
    if (stopped) return;
    give(about ? about.mediaTime || now / 1000 : video.currentTime);
    ask();
  };
  // Without the callback some frames may be missed: the page says so (page/features.ts).
  const ask = () => (HAS_CALLBACK ? video.requestVideoFrameCallback(next) : requestAnimationFrame((now) => next(now)));
  ask();
  return async () => {
    stopped = true;
  };
}

/**
 * Play a file that is not taken apart here, and give all of its frames: where some were passed over it is played again,
 * half as fast. Returns how many frames there were, and how many were missed all the same.
 */
export async function playAll(
  file: Blob,
  video: HTMLVideoElement,
  start: () => void,
  onFrame: OnFrame,
): Promise<{ frames: number; missed: number }> {
  if (!HAS_CALLBACK) throw new Error("this browser tells no single frames of a video; give an MP4 with H.264, or update it");
  const url = URL.createObjectURL(file);
  video.hidden = false; // what is not laid out gives no frames
  try {
    for (let rate = 1; ; rate /= 2) {
      start();
      const result = await playOnce(url, video, rate, onFrame);
      if (!result.missed || rate <= 1 / 8) return result;
    }
  } finally {
    video.hidden = true;
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(url);
  }
}

async function playOnce(url: string, video: HTMLVideoElement, rate: number, onFrame: OnFrame) {
  video.src = url;
  video.muted = true;
  video.playbackRate = rate;
  let [frames, shown, last] = [0, 0, -1];
  const failed = new Promise<never>((_, reject) => {
    video.onerror = () => reject(new Error("this browser cannot play the file; give an MP4 with H.264"));
  });
  const next = (_: number, about: VideoFrameCallbackMetadata) => {
    shown = about.presentedFrames;
    if (about.mediaTime > last) {
      frames++;
      last = about.mediaTime;
      onFrame(drawn(video, video.videoWidth, video.videoHeight), about.mediaTime);
    }
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
  const ended = new Promise<void>((resolve) => (video.onended = () => resolve()));
  await Promise.race([video.play(), failed]);
  await Promise.race([ended, failed]);
  video.onended = video.onerror = null;
  return { frames, missed: Math.max(0, shown - frames) };
}
