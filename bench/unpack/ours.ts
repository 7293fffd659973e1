// Rule: what `tscr load` does for a layer: read, decompress, digest, unpack; nothing else.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { decompress } from '../../runtime/image/layer/compression.js';
import { unpackLayer } from '../../runtime/image/layer/unpack.js';

const CHUNK = 512 * 1024;
const [, , layer = '', directory = ''] = process.argv;
const { stream } = await decompress(createReadStream(layer, { highWaterMark: CHUNK }), layer);
const diffId = createHash('sha256');

async function* digested(): AsyncGenerator<Buffer> {
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    diffId.update(chunk);
    yield chunk;
  }
}

await unpackLayer(Readable.from(digested(), { objectMode: false }), directory);
process.stdout.write(`sha256:${diffId.digest('hex')}\n`);
