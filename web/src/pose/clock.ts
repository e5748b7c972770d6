// Clips of variable frame rate at a constant one: as signloom.media.constant_rate in Python.

/** The numbers of the frames nearest to a constant grid of `fps`; all in order where the clip is constant already. */
export function constantRate(timesS: readonly number[], fps: number): number[] {
  const n = timesS.length;
  const all = timesS.map((_, k) => k);
  if (n < 2) return all;
  const [step, start] = line(timesS);
  const even = Math.max(...timesS.map((time, k) => Math.abs(time - (start + step * k)))) <= 0.25 * step;
  if (even && Math.abs(step * fps - 1) <= 0.02) return all;
  const count = Math.floor((timesS[n - 1] - timesS[0]) * fps + 0.5) + 1;
  if (count > 20_000 && count > 100 * n) throw new RangeError(`${n} frames span ${timesS[n - 1] - timesS[0]} s`);
  let after = 1;
  return Array.from({ length: count }, (_, k) => {
    const at = timesS[0] + k / fps;
    while (after < n - 1 && timesS[after] < at) after++;
    // A tie goes to the frame that is still on screen.
    return at - timesS[after - 1] <= timesS[after] - at + 1e-6 ? after - 1 : after;
  });
}

/** The straight line through `values`, by least squares: its slope, and its value at 0. */
function line(values: readonly number[]): [number, number] {
  const n = values.length;
  const middle = (n - 1) / 2;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  let [above, below] = [0, 0];
  values.forEach((value, k) => {
    above += (k - middle) * (value - mean);
    below += (k - middle) ** 2;
  });
  return [above / below, mean - (above / below) * middle];
}
