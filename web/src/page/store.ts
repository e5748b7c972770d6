// The signs that a visitor taught the page, kept in their browser: labels and what the network saw of each clip, no
// footage and no poses.

import type { Taught } from "../recognise/open_set";

const [DATABASE, TABLE] = ["signloom", "taught"];

interface Row {
  model: string;
  label: string;
  clips: Float32Array[];
}

export class Store {
  private constructor(
    private readonly database: IDBDatabase | null,
    private readonly model: string,
    private rows: Row[],
  ) {}

  /** What was taught to the model of that identity. Where the browser keeps nothing, it lasts until the page closes. */
  static async open(model: string): Promise<Store> {
    const database = await opened().catch(() => null);
    const rows = database ? await asked<Row[]>(table(database, "readonly").getAll()) : [];
    return new Store(database, model, rows.filter((row) => row.model === model));
  }

  get lasts(): boolean {
    return this.database !== null;
  }

  get taught(): Taught[] {
    return this.rows.map(({ label, clips }) => ({ label, clips }));
  }

  /** One clip more of `label`. */
  async add(label: string, features: Float32Array): Promise<void> {
    const before = this.rows.find((row) => row.label === label);
    const row = { model: this.model, label, clips: [...(before?.clips ?? []), features] };
    if (this.database) await asked(table(this.database, "readwrite").put(row));
    this.rows = before ? this.rows.map((one) => (one === before ? row : one)) : [...this.rows, row];
  }

  async forget(label: string): Promise<void> {
    if (this.database) await asked(table(this.database, "readwrite").delete([this.model, label]));
    this.rows = this.rows.filter((row) => row.label !== label);
  }
}

function opened(): Promise<IDBDatabase> {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(TABLE, { keyPath: ["model", "label"] });
  return asked(request);
}

function table(database: IDBDatabase, mode: IDBTransactionMode): IDBObjectStore {
  return database.transaction(TABLE, mode).objectStore(TABLE);
}

function asked<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
