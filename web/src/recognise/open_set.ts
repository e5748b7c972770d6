// Signs that were taught, and how sure it is that a clip is of none that are known: as
// signloom.tasks.recognise.prototypes and open_set in Python. Shapes: F features, E dimensions of the space, K signs.

const FEW = 10;
/** From this unknown score on a clip is of none of the labels. */
export const NONE_OF_THESE = 0.5;

/** The space of features, and in it the mean of each sign. */
export interface Prototypes {
  readonly centre_F: Float64Array;
  /** (F, E), row by row. */
  readonly basis_FE: Float64Array;
  readonly spread_E: Float64Array;
  readonly means_KE: readonly Float64Array[];
  readonly count_K: readonly number[];
}

export interface Unknown {
  readonly figure: "prototypes" | "entropy" | null;
  readonly threshold: number;
  readonly slope: number;
  readonly heat: number;
}

/** A sign that was shown: the features of its clips. */
export interface Taught {
  readonly label: string;
  readonly clips: readonly Float32Array[];
}

export interface Answer {
  /** Natural logarithms of probabilities, of the signs of training and behind them those that were taught. */
  readonly logits: number[];
  /** From 0 to 1, how sure it is that this is none of them; null where the model does not tell. */
  readonly unknown: number | null;
}

/** Where a clip of these features lies in the space. */
export function placeOf(space: Prototypes, features: ArrayLike<number>): Float64Array {
  const n = space.centre_F.length;
  const e = space.spread_E.length;
  if (features.length !== n) throw new RangeError(`wanted ${n} features, got ${features.length}`);
  let length = 0;
  for (let k = 0; k < n; k++) length += features[k] ** 2;
  length = Math.max(Math.sqrt(length), 1e-12);
  const placed = new Float64Array(e);
  for (let k = 0; k < n; k++) {
    const off = features[k] / length - space.centre_F[k];
    for (let d = 0; d < e; d++) placed[d] += off * space.basis_FE[k * e + d];
  }
  return placed;
}

/** The space with the signs that were taught behind its own. */
export function withTaught(space: Prototypes, taught: readonly Taught[]): Prototypes {
  const means = taught.map(({ clips }) => {
    const places = clips.map((features) => placeOf(space, features));
    // As kept by Python, in 32 bits.
    return space.spread_E.map((_, d) => Math.fround(places.reduce((sum, place) => sum + place[d], 0) / places.length));
  });
  return {
    ...space,
    means_KE: [...space.means_KE, ...means],
    count_K: [...space.count_K, ...taught.map(({ clips }) => clips.length)],
  };
}

/** How likely a clip at `place` is of each sign: natural logarithms, up to a constant. */
export function logLikelihood(space: Prototypes, place: Float64Array): number[] {
  return space.means_KE.map((mean, k) => {
    const count = space.count_K[k];
    const sure = Math.max(1, count - FEW);
    return logNormal(space, (spread, d) => [
      place[d] - ((count * spread) / (count * spread + 1)) * mean[d],
      1 + spread / (sure * spread + 1),
    ]);
  });
}

/** How much likelier a clip is of another sign than of the one it fits best: a logarithm. */
export function strangeness(space: Prototypes, place: Float64Array): number {
  const another = logNormal(space, (spread, d) => [place[d], 1 + spread]);
  return another - Math.max(...logLikelihood(space, place));
}

function logNormal(space: Prototypes, at: (spread: number, d: number) => [number, number]): number {
  let sum = 0;
  space.spread_E.forEach((spread, d) => {
    const [off, variance] = at(spread, d);
    sum += off ** 2 / variance + Math.log(variance);
  });
  return -0.5 * sum;
}

/** The answer over K + M signs, from calibrated logits over K and the network's features. */
export function answerOf(
  logits: readonly number[],
  features: ArrayLike<number> | null,
  space: Prototypes | null,
  unknown: Unknown | null,
): Answer {
  let found = [...logits];
  const place = space && features ? placeOf(space, features) : null;
  if (space && place && space.means_KE.length > logits.length) {
    // Signs that were taught get the share that they have in the space beside the likeliest sign of training.
    const logP = logLikelihood(space, place).map((value) => value / (unknown?.heat ?? 1));
    const logQ = logSoftmax([Math.max(...logP.slice(0, logits.length)), ...logP.slice(logits.length)]);
    found = [...logSoftmax(logits).map((value) => value + logQ[0]), ...logQ.slice(1)];
  }
  if (!unknown?.figure) return { logits: found, unknown: null };
  const strange = unknown.figure === "entropy" ? entropy(found) : space && place ? strangeness(space, place) : NaN;
  const steep = Math.min(60, Math.max(-60, (strange - unknown.threshold) * unknown.slope));
  return { logits: found, unknown: 1 / (1 + Math.exp(-steep)) };
}

export function logSoftmax(values: readonly number[]): number[] {
  const most = Math.max(...values);
  const total = most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
  return values.map((value) => value - total);
}

/** Of the answer, in nats. */
function entropy(logits: readonly number[]): number {
  return -logSoftmax(logits).reduce((sum, value) => sum + Math.exp(value) * Math.max(value, -1e3), 0);
}
