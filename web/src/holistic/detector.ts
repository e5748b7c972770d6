// Boxes and points out of a single-shot detector: as signloom.streams.holistic.detector in Python.

/** How to read what a detector of one kind of thing says, for a square input `sizePx` wide. */
export class Detector {
  private readonly anchors: Float64Array;

  constructor(
    readonly sizePx: number,
    strides: readonly number[],
    readonly nPoints: number,
    perCell = 2,
    readonly leastOverlap = 0.3,
  ) {
    const rows: number[] = [];
    for (const stride of new Set(strides)) {
      const cells = Math.ceil(sizePx / stride);
      const each = perCell * strides.filter((s) => s === stride).length;
      for (let j = 0; j < cells; j++) {
        for (let i = 0; i < cells; i++) {
          for (let k = 0; k < each; k++) rows.push((i + 0.5) / cells, (j + 0.5) / cells);
        }
      }
    }
    this.anchors = Float64Array.from(rows);
  }

  get nAnchors(): number {
    return this.anchors.length / 2;
  }

  /** The points (x, y) of what is seen most surely, in shares of the input; null where nothing is. */
  best(raw: Float32Array, logits: Float32Array, leastScore: number): [number, number][] | null {
    const columns = raw.length / this.nAnchors;
    const seen: { score: number; box: number[]; points: number[] }[] = [];
    for (let n = 0; n < logits.length; n++) {
      const score = 1 / (1 + Math.exp(-Math.min(100, Math.max(-100, logits[n]))));
      if (!(score >= leastScore)) continue;
      const at = n * columns;
      const [ax, ay] = [this.anchors[2 * n], this.anchors[2 * n + 1]];
      const value = (k: number) => raw[at + k] / this.sizePx;
      const [w, h] = [value(2), value(3)];
      if (!(w >= 0 && h >= 0)) continue; // a box may come out inside out
      const [x, y] = [ax + value(0), ay + value(1)];
      const points = [];
      for (let k = 0; k < this.nPoints; k++) points.push(value(4 + 2 * k) + ax, value(5 + 2 * k) + ay);
      seen.push({ score, box: [x - w / 2, y - h / 2, x + w / 2, y + h / 2], points });
    }
    if (!seen.length) return null;
    const first = seen.reduce((a, b) => (b.score > a.score ? b : a));
    let together = seen.filter((one) => overlap(one.box, first.box) > this.leastOverlap);
    if (!together.length) together = [first]; // a box without area overlaps nothing, not even itself
    const total = together.reduce((sum, one) => sum + one.score, 0);
    return Array.from({ length: this.nPoints }, (_, k): [number, number] => [
      together.reduce((sum, one) => sum + one.points[2 * k] * one.score, 0) / total,
      together.reduce((sum, one) => sum + one.points[2 * k + 1] * one.score, 0) / total,
    ]);
  }
}

/** The share of the union of two boxes that both cover. */
function overlap(a: number[], b: number[]): number {
  const w = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const h = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h;
  return union > 0 ? (w * h) / union : 0;
}

export const BODY_DETECTOR = new Detector(224, [8, 16, 32, 32, 32], 4);
export const FACE_DETECTOR = new Detector(128, [8, 16, 16, 16], 6);
