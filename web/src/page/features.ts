// What this browser can do, found by trying, and what it means in plain words.

export interface Feature {
  readonly name: string;
  readonly there: boolean;
  /** What is otherwise without it. */
  readonly without: string;
}

export function features(): Feature[] {
  const global = globalThis as unknown as Record<string, unknown>;
  const cores = navigator.hardwareConcurrency ?? 1;
  return [
    {
      name: "several threads",
      there: crossOriginIsolated && typeof SharedArrayBuffer !== "undefined" && cores > 1,
      without: crossOriginIsolated
        ? "this machine shows the browser one processor core; finding poses takes longer"
        : "the server did not send the headers that threads need (signloom serve does); finding poses takes longer",
    },
    {
      name: "WebGPU",
      there: "gpu" in navigator,
      without: "signs are named on the processor instead, which for this is about as fast",
    },
    {
      name: "WebCodecs",
      there: "VideoDecoder" in global,
      without: "a video file is played instead of being taken apart, slowly enough that no frame is missed",
    },
    {
      name: "camera",
      there: Boolean(navigator.mediaDevices?.getUserMedia),
      without: "a camera is given only to pages from this machine (localhost) or over https; choose a video file",
    },
    {
      name: "every camera frame",
      there: "MediaStreamTrackProcessor" in global || "requestVideoFrameCallback" in HTMLVideoElement.prototype,
      without: "some frames of the camera may be missed",
    },
    {
      name: "memory for what you teach",
      there: "indexedDB" in global,
      without: "what you teach lasts until this page is closed",
    },
    {
      name: "use without a network",
      there: "serviceWorker" in navigator,
      without: "the page must be loaded from the server each time",
    },
  ];
}

/** How many threads to find poses on: half of the processors, since these often are two to a core; at most 4. */
export function usefulThreads(): number {
  const cores = navigator.hardwareConcurrency ?? 1;
  return features()[0].there ? Math.min(4, Math.max(2, Math.floor(cores / 2))) : 1;
}
