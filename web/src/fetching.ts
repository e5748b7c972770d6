// What is fetched is kept, so that the page works offline after the first load.

const STORE = "signloom-data";

/**
 * The bytes at `url`. `version` is their sha256, by which a copy that was kept is taken at once and a damaged one
 * refused; or "newest": asked for anew, and the copy is taken where nobody answers.
 */
export async function fetchKept(url: string, version: string): Promise<Uint8Array> {
  const store = "caches" in globalThis ? await caches.open(STORE).catch(() => null) : null;
  const hashed = version !== "newest";
  const key = hashed ? `${url}?sha256=${version}` : url;
  const kept = await store?.match(key);
  if (kept && hashed) return new Uint8Array(await kept.arrayBuffer());
  let bytes: Uint8Array;
  try {
    const answer = await fetch(url, { cache: "no-cache" });
    if (!answer.ok) throw new Error(`${url}: the server answers ${answer.status} ${answer.statusText}`);
    bytes = new Uint8Array(await answer.arrayBuffer());
  } catch (error) {
    if (kept) return new Uint8Array(await kept.arrayBuffer());
    if (error instanceof TypeError) throw new Error(`${url} cannot be fetched: is signloom serve still running?`);
    throw error;
  }
  if (hashed) {
    const got = await sha256(bytes);
    if (got && got !== version) {
      throw new Error(`${url} is damaged: sha256 ${got.slice(0, 12)}…, wanted ${version.slice(0, 12)}…. Load it again`);
    }
  }
  await store?.put(key, new Response(bytes.slice())).catch(() => undefined); // a full disk: it is fetched again then
  return bytes;
}

/** In hexadecimal; null where the browser does not tell, outside of a secure context. */
async function sha256(bytes: Uint8Array): Promise<string | null> {
  if (!globalThis.crypto?.subtle) return null;
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
