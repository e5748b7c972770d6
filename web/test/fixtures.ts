import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";

const file = process.env.SIGNLOOM_WEB_FIXTURES ?? resolve(import.meta.dirname, "fixtures.json");
if (!existsSync(file)) throw new Error(`${file} is not there: run scripts/make_web_fixtures`);

// eslint-disable-next-line @typescript-eslint/no-explicit-any
export const fixtures: any = JSON.parse(readFileSync(file, "utf-8"));

/** Numbers from 0 up to 1, by the rule of scripts/make_web_fixtures. */
export function counted(n: number, start = 1): Float64Array {
  let x = start;
  return Float64Array.from({ length: n }, () => (x = (x * 48271) % 2147483647) / 2147483647);
}
