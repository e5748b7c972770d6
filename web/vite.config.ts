import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";

import { defineConfig, type Plugin } from "vitest/config";

const here = import.meta.dirname;
const LITERT = resolve(here, "node_modules/@litertjs/core/wasm");

/** LiteRT's own files in litert/: as they are, but that they can be imported too (src/holistic/litert.ts). */
function litert(): Plugin {
  const wanted = /^litert_wasm_(compat_|threaded_)?internal\.(js|wasm)$/;
  const content = (name: string) => {
    const data = readFileSync(resolve(LITERT, name));
    return name.endsWith(".js") ? `${data.toString()}\nglobalThis.ModuleFactory = ModuleFactory;\n` : data;
  };
  return {
    name: "litert",
    generateBundle() {
      for (const name of readdirSync(LITERT).filter((file) => wanted.test(file))) {
        this.emitFile({ type: "asset", fileName: `litert/${name}`, source: content(name) });
      }
    },
    configureServer(server) {
      server.middlewares.use("/litert", (request, response, next) => {
        const name = (request.url ?? "").split("?")[0].slice(1);
        if (!wanted.test(name)) return next();
        response.setHeader("Content-Type", name.endsWith(".js") ? "text/javascript" : "application/wasm");
        response.end(content(name));
      });
    },
  };
}

/** files.json: what the service worker keeps from the start. What only some browsers need comes when it is asked for. */
function files(): Plugin {
  const sometimes = /asyncify|jsep|jspi|webgpu|compat|\.map$|^sw\.js$/;
  return {
    name: "files",
    enforce: "post",
    generateBundle(_, bundle) {
      const built = Object.keys(bundle).filter((name) => !sometimes.test(name) && name !== "index.html");
      const own = readdirSync(resolve(here, "public"));
      const source = JSON.stringify(["./", ...[...built, ...own].sort().map((name) => `./${name}`)], null, 1);
      this.emitFile({ type: "asset", fileName: "files.json", source });
      // A service worker is installed anew when its own bytes change: so they tell of what it keeps.
      const worker = bundle["sw.js"];
      if (worker?.type === "chunk") worker.code += `\n// ${createHash("sha256").update(source).digest("hex")}\n`;
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [litert(), files()],
  worker: { format: "es" },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 2000,
    reportCompressedSize: false,
    rollupOptions: {
      input: { main: resolve(here, "index.html"), sw: resolve(here, "src/sw.ts") },
      output: { entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
    },
  },
  server: { headers: { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" } },
  test: { include: ["test/**/*.test.ts"], testTimeout: 60_000 },
});
