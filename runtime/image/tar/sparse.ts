/**
 * Sparse files in tar archives: old GNU (type "S"), and GNU's PAX formats 0.0, 0.1 and 1.0, read.
 *
 * Rule: extents must be in order, not overlap, end within the file, and have the length of the data in total; otherwise
 * the entry is refused before a byte is written. Old GNU and 1.0 put (the rest of) the map in blocks before the data. Compare
 * GNU tar's manual, "Sparse Formats", and readGNUSparseMap1x0, readOldGNUSparseMap in archive/tar/reader.go.
 */
import type { Extent } from './tar-entry.js';
import { BLOCK, numberAt, type PaxRecords, SPARSE_MAP, TarError } from './tar-header.js';

/** Where the parts of the map lie in an old GNU header and its extension blocks. */
const OLD_GNU = { map: 386, entries: 4, extended: 482, realSize: 483 } as const;
const EXTENSION = { entries: 21, extended: 504 } as const;
const NUMBER = 12;
/** Extents that a map may have: a map of 1.0 grows with each, so it is bounded like a PAX header. */
const MAX_EXTENTS = 1_000_000;

/** A map that may go on in blocks before the data. */
export interface SparseMap {
  /** Bytes of the file, holes counted. */
  readonly size: number;
  readonly extents: Extent[];
  /** Whether blocks of the map are counted in the entry's size. */
  readonly isCounted: boolean;
  /** Takes a block of the map; true if another follows. Absent if the map is complete. */
  readonly more?: (block: Buffer) => boolean;
}

const isExtended = (block: Buffer, at: number): boolean => block[at] !== 0;

/** Whether an old GNU header, or an extension block, is followed by an extension block. */
export const isFollowed = (header: Buffer): boolean => isExtended(header, OLD_GNU.extended);
export const EXTENSION_FLAG = EXTENSION.extended;

/** The map of an entry of type "S". */
export function oldGnuMap(header: Buffer): SparseMap {
  const extents: Extent[] = [];
  readEntries(header, OLD_GNU.map, OLD_GNU.entries, extents);
  const map = { size: numberAt(header, OLD_GNU.realSize, NUMBER, 'real size'), extents, isCounted: false };
  if (!isFollowed(header)) return map;
  const more = (block: Buffer): boolean => {
    readEntries(block, 0, EXTENSION.entries, extents);
    return isExtended(block, EXTENSION.extended);
  };
  return { ...map, more };
}

function readEntries(block: Buffer, start: number, count: number, extents: Extent[]): void {
  for (let index = 0; index < count; index++) {
    const at = start + index * 2 * NUMBER;
    if (block[at] === 0) return;
    const offset = numberAt(block, at, NUMBER, 'sparse map');
    addExtent(extents, offset, numberAt(block, at + NUMBER, NUMBER, 'sparse map'));
  }
}

function addExtent(extents: Extent[], offset: number, length: number): void {
  if (extents.length >= MAX_EXTENTS) throw new TarError(`has more than ${MAX_EXTENTS} pieces`);
  extents.push({ offset, length });
}

/** The map in PAX records; undefined if the file is not sparse. */
export function paxMap(pax: PaxRecords): SparseMap | undefined {
  const list = pax[SPARSE_MAP];
  const size = pax['GNU.sparse.realsize'] ?? pax['GNU.sparse.size'];
  if (pax['GNU.sparse.major'] === '1' && pax['GNU.sparse.minor'] === '0') return textMap(decimal(size));
  if (list === undefined) return undefined;
  const numbers = list === '' ? [] : list.split(',').map(decimal);
  if (numbers.length % 2 !== 0) throw new TarError('has a damaged sparse map');
  const extents: Extent[] = [];
  for (let at = 0; at < numbers.length; at += 2) {
    addExtent(extents, numbers[at] as number, numbers[at + 1] as number);
  }
  return { size: decimal(size), extents, isCounted: true };
}

function decimal(digits: string | undefined): number {
  if (digits === undefined || !/^\d{1,15}$/.test(digits)) throw new TarError('has a damaged sparse map');
  return Number(digits);
}

/** Format 1.0: a count and pairs of numbers, a line each, filled up with NUL to whole blocks. */
function textMap(size: number): SparseMap {
  const extents: Extent[] = [];
  const numbers: number[] = [];
  let count: number | undefined;
  let rest = '';
  const more = (block: Buffer): boolean => {
    const lines = (rest + block.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (count === undefined) count = decimal(line);
      else if (extents.length < count) numbers.push(decimal(line));
      if (numbers.length === 2) addExtent(extents, ...(numbers.splice(0) as [number, number]));
    }
    if (rest.length > BLOCK) throw new TarError('has a damaged sparse map');
    return count === undefined || extents.length < count;
  };
  return { size, extents, isCounted: true, more };
}

/** Refuses a map that does not describe `stored` bytes of data in a file of its size. */
export function checkMap({ size, extents }: SparseMap, stored: number): void {
  let [end, total] = [0, 0];
  for (const { offset, length } of extents) {
    if (offset < end || length < 0) throw new TarError('has overlapping pieces in its sparse map');
    end = offset + length;
    total += length;
  }
  if (end > size || total !== stored) throw new TarError('has a sparse map that does not fit its data');
}

/** Writes the data of a sparse file, which arrives as one stream, to its extents. */
export class Placer {
  readonly #map: SparseMap;
  readonly #stored: number;
  #block = Buffer.alloc(0);
  #inMap: boolean;
  #mapBytes = 0;
  #extent = 0;
  #done = 0;

  /** @param stored the size in the header: the data in the archive, possibly including the map */
  constructor(map: SparseMap, stored: number) {
    this.#map = map;
    this.#stored = stored;
    this.#inMap = map.more !== undefined;
    if (!this.#inMap) checkMap(map, stored);
  }

  /** Writes the data of a chunk. */
  place(chunk: Buffer, write: (bytes: Buffer, offset: number) => void): void {
    let rest = this.#inMap ? this.#takeMap(chunk) : chunk;
    while (rest.length > 0) {
      const extent = this.#map.extents[this.#extent];
      if (extent === undefined) throw new TarError('has more data than its sparse map');
      const piece = rest.subarray(0, extent.length - this.#done);
      if (piece.length > 0) write(piece, extent.offset + this.#done);
      this.#done += piece.length;
      rest = rest.subarray(piece.length);
      if (this.#done < extent.length) continue;
      this.#extent += 1;
      this.#done = 0;
    }
  }

  #takeMap(chunk: Buffer): Buffer {
    let rest = Buffer.concat([this.#block, chunk]);
    while (this.#inMap && rest.length >= BLOCK) {
      this.#inMap = this.#map.more?.(rest.subarray(0, BLOCK)) ?? false;
      this.#mapBytes += BLOCK;
      rest = rest.subarray(BLOCK);
    }
    if (this.#inMap) {
      this.#block = rest;
      return rest.subarray(rest.length);
    }
    this.#block = rest.subarray(rest.length);
    checkMap(this.#map, this.#stored - (this.#map.isCounted ? this.#mapBytes : 0));
    return rest;
  }

  /** Refuses an end within the map or the data. */
  end(): void {
    if (this.#inMap) throw new TarError('ends within its sparse map');
  }
}
