// Keeps the page itself, so that it works without a network after the first load. Models and networks the page keeps
// by itself (fetching.ts); what the server computes is never kept.

const scope = self as unknown as ServiceWorkerGlobalScope;
const STORE = "signloom-page";

scope.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const files = (await (await fetch("./files.json", { cache: "no-cache" })).json()) as string[];
      const store = await caches.open(STORE);
      await store.addAll(files.map((file) => new Request(file, { cache: "no-cache" })));
      const kept = new Set(files.map((file) => new URL(file, scope.location.href).href));
      for (const request of await store.keys()) if (!kept.has(request.url)) await store.delete(request);
      await scope.skipWaiting();
    })(),
  );
});

scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const own = new URL("./", scope.location.href);
  if (request.method !== "GET" || url.origin !== own.origin || !url.href.startsWith(own.href)) return;
  const path = url.pathname.slice(own.pathname.length);
  if (/^(api|models|networks)\//.test(path)) return;
  event.respondWith(answer(request, path === "" || path === "index.html"));
});

/** The newest page where the server answers, else the one that was kept; files named by their content as kept. */
async function answer(request: Request, isPage: boolean): Promise<Response> {
  const store = await caches.open(STORE);
  const kept = await store.match(isPage ? "./" : request, { ignoreSearch: true, ignoreVary: true });
  if (kept && !isPage) return kept;
  try {
    const found = await fetch(request);
    if (found.ok && !isPage) await store.put(request, found.clone()).catch(() => undefined);
    return found;
  } catch (error) {
    if (kept) return kept;
    throw error;
  }
}
