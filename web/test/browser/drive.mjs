// Drives the page in a headless Chromium and prints, as JSON, what it said. Called by tests/web and scripts/measure_web:
//
//     node drive.mjs JOB.json OUT.json
//
// A job: `url` of the page; `chromium`, the program; `steps`, one after the other; `camera`, a .mjpeg or .y4m file that
// is played as the camera; `size` of the window. Steps: {look: [files]} drops files and waits for the answer;
// {camera: seconds}; {sign: seconds}; {teach: label}; {forget: label}; {press: key}; {shot: file.png}; {offline: true};
// {reload: true}; {evaluate: code}.

import { readFileSync, writeFileSync } from "node:fs";

import { chromium } from "playwright-core";

const [jobFile, outFile] = process.argv.slice(2);
const job = JSON.parse(readFileSync(jobFile, "utf-8"));
const limit = job.limit_ms ?? 600_000;

const browser = await chromium.launch({
  executablePath: job.chromium,
  headless: true,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    ...(job.camera ? [`--use-file-for-fake-video-capture=${job.camera}`] : []),
    ...(job.arguments ?? []),
  ],
});
const out = { browser: browser.version(), clips: [], shots: [], values: [], errors: [], requests: [] };
try {
  const context = await browser.newContext({
    viewport: job.size ?? { width: 1280, height: 860 },
    permissions: ["camera"],
    colorScheme: job.scheme ?? "dark",
    deviceScaleFactor: 1,
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => out.errors.push(String(error)));
  page.on("console", (message) => message.type() === "error" && out.errors.push(message.text()));
  page.on("request", (request) => out.requests.push(request.url()));
  await page.addInitScript(() => {
    window.said = [];
    window.addEventListener("signloom", ({ detail }) => {
      const { rows, picture, ...rest } = detail;
      if (rows) rest.rows = btoa(String.fromCharCode(...new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength)));
      if (rest.features) rest.features = [...rest.features];
      window.said.push(rest);
    });
  });
  const said = (test) =>
    page.waitForFunction(test, undefined, { timeout: limit, polling: 100 }).then((found) => found.jsonValue());
  const taken = () => page.evaluate(() => window.said.splice(0));
  const ready = async () => {
    await said(() => window.said.some(({ type }) => type === "page-ready" || type === "failed") || document.querySelector(".status.bad"));
    const first = await taken();
    out.about = first.find(({ type }) => type === "ready")?.about ?? null;
    out.status = await page.textContent("#status");
  };
  const answered = async () => {
    await said(() => window.said.some(({ type }) => type === "answer" || type === "failed" || type === "gave-up"));
    const events = await taken();
    const verdict = await page.$eval("#answer", (element) => element.innerText);
    out.clips.push({
      film: events.find(({ type }) => type === "film") ?? null,
      notHere: events.find(({ type }) => type === "not-here")?.why ?? null,
      poses: events.filter(({ type }) => type === "pose"),
      answer: events.find(({ type }) => type === "answer") ?? null,
      failed: events.find(({ type }) => type === "failed")?.text ?? null,
      shown: verdict,
      status: await page.textContent("#status"),
    });
  };
  await page.goto(job.url, { waitUntil: "load" });
  await ready();
  for (const step of out.about ? job.steps : []) {
    if (step.look) {
      await page.setInputFiles("#file", step.look);
      await answered();
    } else if (step.camera !== undefined) {
      await page.click("#camera");
      await page.waitForSelector("#sign:focus", { timeout: limit });
      await page.waitForTimeout(1000 * step.camera);
    } else if (step.sign !== undefined) {
      await page.keyboard.press("Space");
      await said(() => document.querySelector("#status").textContent.startsWith("Signing:"));
      await page.waitForTimeout(1000 * step.sign);
      await page.keyboard.press("Space");
      await answered();
    } else if (step.teach) {
      await page.fill("#label", step.teach);
      await page.keyboard.press("Enter");
      await page.waitForFunction((label) => document.querySelector("#taught").textContent.includes(label), step.teach);
      await page.waitForTimeout(300);
      out.values.push(await page.$eval("#answer", (element) => element.innerText));
      await taken();
    } else if (step.forget) {
      await page.click(`button[aria-label="Forget ${step.forget}"]`);
      await page.waitForFunction((label) => !document.querySelector("#taught").textContent.includes(label), step.forget);
    } else if (step.press) {
      await page.keyboard.press(step.press);
    } else if (step.shot) {
      await page.screenshot({ path: step.shot, fullPage: true });
      out.shots.push(step.shot);
    } else if (step.size) {
      await page.setViewportSize(step.size);
      await page.waitForTimeout(200);
    } else if (step.offline !== undefined) {
      await context.setOffline(step.offline);
    } else if (step.reload) {
      await page.reload({ waitUntil: "load" });
      await ready();
    } else if (step.evaluate) {
      out.values.push(await page.evaluate(step.evaluate));
    } else if (step.click) {
      await page.click(step.click);
    } else if (step.pause) {
      await page.waitForTimeout(step.pause);
    }
  }
} catch (error) {
  out.errors.push(`drive: ${error.stack ?? error}`);
  process.exitCode = 1;
} finally {
  writeFileSync(outFile, JSON.stringify(out));
  await browser.close();
}
