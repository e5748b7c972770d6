// A pose drawn over its frame.

import tables from "../pose/tables.json";

const COLOURS = { body: "#ffd166", face: "#8ecae6", left: "#06d6a0", right: "#ef476f" } as const;

/** Draw what was found, `rows` (545, 4) in pixels of a picture of that size, over all of `context`'s canvas. */
export function drawSkeleton(context: CanvasRenderingContext2D, rows: Float32Array, width: number, height: number): void {
  const { canvas } = context;
  const [sx, sy] = [canvas.width / width, canvas.height / height];
  context.lineCap = "round";
  for (const [part, lines] of Object.entries(tables.lines) as [keyof typeof COLOURS, number[][]][]) {
    context.strokeStyle = COLOURS[part];
    context.lineWidth = (part === "face" ? 0.0025 : 0.006) * canvas.width;
    context.beginPath();
    for (const [a, b] of lines) {
      if (rows[4 * a + 3] < 0.1 || rows[4 * b + 3] < 0.1) continue;
      context.moveTo(rows[4 * a] * sx, rows[4 * a + 1] * sy);
      context.lineTo(rows[4 * b] * sx, rows[4 * b + 1] * sy);
    }
    context.stroke();
  }
}
