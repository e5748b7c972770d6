// Filters that take the tremble out of points and keep their movement: as signloom.streams.holistic.smoothing.

/** The 1€ filter (Casiez, Roussel & Vogel 2012): the faster a value moves, the less it is smoothed. */
export class OneEuro {
  private timeS: number | null = null;
  private raw: Float64Array = new Float64Array();
  private smooth: Float64Array = new Float64Array();
  private speed: Float64Array = new Float64Array();

  constructor(
    private readonly cutoffHz: number,
    private readonly beta: number,
    private readonly speedCutoffHz = 1.0,
  ) {}

  /** Forget what was before. */
  reset(): void {
    this.timeS = null;
  }

  /** `values` at `timeS`, smoothed. Speed is measured in `unit` (of the values) a second. */
  apply(values: Float64Array, timeS: number, unit: number): Float64Array {
    if (this.timeS === null) {
      this.raw = values;
      this.smooth = values;
      this.speed = new Float64Array(values.length);
      this.timeS = timeS;
      return values;
    }
    if (timeS <= this.timeS) return values;
    const stepS = timeS - this.timeS;
    this.timeS = timeS;
    const part = share(this.speedCutoffHz, stepS);
    const speed = new Float64Array(values.length);
    const smooth = new Float64Array(values.length);
    for (let k = 0; k < values.length; k++) {
      speed[k] = (part * (values[k] - this.raw[k])) / (unit * stepS) + (1 - part) * this.speed[k];
      const own = share(this.cutoffHz + this.beta * Math.abs(speed[k]), stepS);
      smooth[k] = own * values[k] + (1 - own) * this.smooth[k];
    }
    this.speed = speed;
    this.smooth = smooth;
    this.raw = values;
    return smooth;
  }
}

/** Each value is `part` of the new and the rest of what was before, whatever the time between. */
export class LowPass {
  private smooth: Float64Array | null = null;

  constructor(private readonly part: number) {}

  apply(values: Float64Array): Float64Array {
    const before = this.smooth ?? values;
    this.smooth = values.map((value, k) => this.part * value + (1 - this.part) * before[k]);
    return this.smooth;
  }
}

/** How much the new value counts in a low pass of `cutoffHz` that steps by `stepS`. */
function share(cutoffHz: number, stepS: number): number {
  return 1 / (1 + 1 / (2 * Math.PI * cutoffHz * stepS));
}
