// Where in a picture to look: turned rectangles, from points and boxes found before.
//
// The same arithmetic, in doubles, as signloom.streams.holistic.regions in Python. Everything is in pixels of the
// picture: x to the right, y down, (0, 0) its upper left corner; angles in radians, positive clockwise.

/** Rows of `width` numbers each, one row a point: x, y and what else there is. */
export type Points = Float64Array;

export interface Region {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly angle: number;
}

const PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18];
const { atan2, cos, sin, floor, max, min, abs, PI } = Math;

function hypot(x: number, y: number): number {
  return Math.sqrt(x * x + y * y);
}

/** The square on the longer side, moved `up` along its own height (as a share of it), then scaled. */
export function reshaped(r: Region, scale: number, up = 0): Region {
  const shift = -up * r.height;
  const side = max(r.width, r.height) * scale;
  return { x: r.x - shift * sin(r.angle), y: r.y + shift * cos(r.angle), width: side, height: side, angle: r.angle };
}

/** About which share of the region lies in a picture of `width` × `height`, by 8 × 8 of its points. */
export function shareInside(r: Region, width: number, height: number): number {
  let n = 0;
  for (let j = 0; j < 8; j++) {
    for (let i = 0; i < 8; i++) {
      const [x, y] = place(r, (i + 0.5) / 8, (j + 0.5) / 8);
      if (x > 0 && x < width && y > 0 && y < height) n++;
    }
  }
  return n / 64;
}

/** A point in shares of the region, in pixels of the picture. */
export function place(r: Region, u: number, v: number): [number, number] {
  const across = (u - 0.5) * r.width;
  const down = (v - 0.5) * r.height;
  return [r.x + across * cos(r.angle) - down * sin(r.angle), r.y + across * sin(r.angle) + down * cos(r.angle)];
}

/** `angle` from -π up to π. */
export function turn(angle: number): number {
  return angle - 2 * PI * floor((angle + PI) / (2 * PI));
}

type Place = readonly [number, number];

/** How far a region must be turned that `start` to `end` leads towards `target` in it (π/2: up). */
export function angleBetween(start: Place, end: Place, target: number): number {
  return turn(target - atan2(-(end[1] - start[1]), end[0] - start[0]));
}

/** The smallest square about the middle of a picture that holds all of it. */
export function wholePicture(width: number, height: number): Region {
  const side = max(width, height);
  return { x: width / 2, y: height / 2, width: side, height: side, angle: 0 };
}

/** A square about `centre` that just reaches `edge`, turned that it lies towards `target`. */
export function around(centre: Place, edge: Place, target: number): Region {
  const side = 2 * hypot(edge[0] - centre[0], edge[1] - centre[1]);
  return { x: centre[0], y: centre[1], width: side, height: side, angle: angleBetween(centre, edge, target) };
}

/** Where to look for the body: `hips` its middle, `edge` a point on the circle around it, towards the head. */
export function bodyRegion(hips: Place, edge: Place): Region {
  return reshaped(around(hips, edge, PI / 2), 1.25);
}

/** Where the body's points (wrist, pinky, index) say that a hand is. */
export function handRegionOfBody(wrist: Place, pinky: Place, index: Place): Region {
  const middle: Place = [(2 * index[0] + pinky[0]) / 3, (2 * index[1] + pinky[1]) / 3];
  const side = 2 * hypot(middle[0] - wrist[0], middle[1] - wrist[1]);
  const angle = angleBetween(wrist, middle, PI / 2);
  return reshaped({ x: middle[0], y: middle[1], width: side, height: side, angle }, 2.7, 0.1);
}

/** Where the network that looks again for the hand says that it is. */
export function handRegionOfRecrop(centre: Place, edge: Place): Region {
  return reshaped(around(centre, edge, -PI / 2), 1.0, 0.1);
}

/** Where a hand of these 21 points (rows of 3) will be in the next frame. */
export function handRegionOfHand(hand: Points): Region {
  const palm = PALM.map((k): Place => [hand[3 * k], hand[3 * k + 1]]);
  const [index, middle, ring] = [palm[4], palm[6], palm[8]];
  const goal: Place = [((index[0] + ring[0]) / 2 + middle[0]) / 2, ((index[1] + ring[1]) / 2 + middle[1]) / 2];
  const angle = angleBetween(palm[0], goal, PI / 2);
  const box = boxFromZero(palm);
  const centre: Place = [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2];
  const turned = palm.map(([x, y]): Place => {
    const [ax, ay] = [x - centre[0], y - centre[1]];
    return [ax * cos(-angle) - ay * sin(-angle), ax * sin(-angle) + ay * cos(-angle)];
  });
  const own = boxFromZero(turned);
  const [across, down] = [(own.x0 + own.x1) / 2, (own.y0 + own.y1) / 2];
  const region = {
    x: across * cos(angle) - down * sin(angle) + centre[0],
    y: across * sin(angle) + down * cos(angle) + centre[1],
    width: own.x1 - own.x0,
    height: own.y1 - own.y0,
    angle,
  };
  return reshaped(region, 2.0, 0.1);
}

interface Box {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

/** The box around points, whose far side is at least 0: as MediaPipe, whose "least number" is the least above 0. */
function boxFromZero(points: readonly Place[]): Box {
  const box = boxOf(points);
  return { ...box, x1: max(box.x1, 0), y1: max(box.y1, 0) };
}

function boxOf(points: readonly Place[]): Box {
  const box = { x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity };
  for (const [x, y] of points) {
    box.x0 = min(box.x0, x);
    box.y0 = min(box.y0, y);
    box.x1 = max(box.x1, x);
    box.y1 = max(box.y1, y);
  }
  return box;
}

function regionOfBox(box: Box, angle: number): Region {
  return {
    x: (box.x0 + box.x1) / 2,
    y: (box.y0 + box.y1) / 2,
    width: box.x1 - box.x0,
    height: box.y1 - box.y0,
    angle,
  };
}

/** The places in rows of `columns` numbers. */
export function placesOf(points: Points, columns: number, n: number): Place[] {
  return Array.from({ length: n }, (_, k): Place => [points[columns * k], points[columns * k + 1]]);
}

/** Where the first 11 of the body's points (nose, eyes, ears, mouth) say that the face is. */
export function faceRegionOfBody(face: readonly Place[]): Region {
  return reshaped(regionOfBox(boxFromZero(face), angleBetween(face[5], face[2], 0)), 3.0);
}

/** Where the face is whose six points were detected. */
export function faceRegionOfDetection(points: readonly Place[]): Region {
  return reshaped(regionOfBox(boxOf(points), angleBetween(points[0], points[1], 0)), 2.0, 0.1);
}

/** Where a face of these 468 points will be in the next frame. */
export function faceRegionOfFace(face: readonly Place[]): Region {
  return reshaped(regionOfBox(boxFromZero(face), angleBetween(face[33], face[263], 0)), 1.5);
}

/** When the place of the frame before is kept, rather than looked for anew. */
export interface Tracking {
  readonly degrees: number;
  readonly shift: number;
  readonly scale: number;
  readonly margin: number;
}

export const HAND_TRACKING: Tracking = { degrees: 40, shift: 0.2, scale: 0.4, margin: -0.1 };
export const FACE_TRACKING: Tracking = { degrees: 15, shift: 0.1, scale: 0.3, margin: -0.2 };

/** `last`, the region of `points` found in the frame before, or `next`, that of this frame. */
export function chooseRegion(rule: Tracking, next: Region, points: readonly Place[], last: Region): Region {
  const degrees = (radians: number) => radians * (180 / PI);
  const turned = abs(halfTurn(degrees(last.angle) - degrees(next.angle))) <= rule.degrees;
  return turned && near(rule, next, last) && within(rule, next, points) ? last : next;
}

function near(rule: Tracking, next: Region, last: Region): boolean {
  const [dx, dy] = alongSides(last.x - next.x, last.y - next.y, next.angle);
  return (
    abs(dx) <= next.width * rule.shift &&
    abs(dy) <= next.height * rule.shift &&
    abs(last.width - next.width) <= next.width * rule.scale &&
    abs(last.height - next.height) <= next.height * rule.scale
  );
}

function within(rule: Tracking, next: Region, points: readonly Place[]): boolean {
  const [halfX, halfY] = [(next.width * (1 + rule.margin)) / 2, (next.height * (1 + rule.margin)) / 2];
  return points.every(([x, y]) => {
    const [ax, ay] = alongSides(x - next.x, y - next.y, next.angle);
    return abs(ax) < halfX && abs(ay) < halfY;
  });
}

function halfTurn(degrees: number): number {
  if (degrees > 180) return degrees - 360;
  return degrees < -180 ? degrees + 360 : degrees;
}

/** A way in the picture as a way along the sides of a region that is turned by `angle`. */
function alongSides(x: number, y: number, angle: number): Place {
  return [x * cos(angle) + y * sin(angle), y * cos(angle) - x * sin(angle)];
}
