/** Small files of JSON that appear whole: written beside their place and renamed; read by the schema of what they hold. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { parseDocument } from '../../fs/input/document.js';
import type { Schema } from '../../fs/input/schema.js';
import { quoted } from '../../fs/input/shown.js';

/** What a file holds; undefined if there is none. Throws `DocumentError` naming the file and the field. */
export function readJson<T>(schema: Schema<T>, path: string): T | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return parseDocument(schema, bytes, quoted(path));
}

/** A reader sees the old file or the new one. A power cut may lose either: what must not be lost is fsynced. */
export function writeJson(path: string, value: unknown, mode = 0o600): void {
  writeFileSync(`${path}.new`, JSON.stringify(value, null, 2), { mode });
  renameSync(`${path}.new`, path);
}
