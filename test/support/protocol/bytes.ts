/**
 * Messages as annotated hexadecimal bytes: what stands in a test is what is on the wire.
 *
 * Rule: nothing here knows a layout but that of the request header; the rest is written out in the tests.
 */

import type { AttributeChanges } from '../../../fs/protocol/filesystem.js';

/** Bytes written as hexadecimal pairs; `#` starts a comment. */
export function hex(text: string): Buffer {
  const digits = text.replace(/#.*$/gm, '').replace(/\s+/g, '');
  if (!/^([0-9a-f]{2})*$/.test(digits)) throw new Error(`no hexadecimal bytes: "${digits}"`);
  return Buffer.from(digits, 'hex');
}

/** Bytes as lines of eight, for failures that one can read. */
export function dump(bytes: Buffer): string {
  const pairs = bytes.toString('hex').match(/../g) ?? [];
  const lines: string[] = [];
  for (let at = 0; at < pairs.length; at += 8) lines.push(pairs.slice(at, at + 8).join(' '));
  return lines.join('\n');
}

/** The header's fields after length and opcode, as every request of these tests has them. */
const HEADER_REST = hex(`
  dd cc bb aa 44 33 22 11  # unique 0x11223344aabbccdd
  07 00 00 00 00 00 00 00  # nodeid 7
  e8 03 00 00              # uid 1000
  e9 03 00 00              # gid 1001
  d2 04 00 00              # pid 1234
  00 00 00 00              # total_extlen, padding
`);
export const NODE = 7;
export const CALLER = { uid: 1000, gid: 1001, pid: 1234 };

/** A request: struct fuse_in_header and a body. */
export function request(opcode: number, body: Buffer): Buffer {
  const start = Buffer.alloc(8);
  start.writeUInt32LE(start.length + HEADER_REST.length + body.length, 0);
  start.writeUInt32LE(opcode >>> 0, 4);
  return Buffer.concat([start, HEADER_REST, body]);
}

/** The reply to such a request: struct fuse_out_header and a body. */
export function reply(body: Buffer, error = 0): Buffer {
  const header = hex(`
    00 00 00 00 00 00 00 00  # len, error: below
    dd cc bb aa 44 33 22 11  # unique
  `);
  header.writeUInt32LE(header.length + body.length, 0);
  header.writeInt32LE(-error, 4);
  return Buffer.concat([header, body]);
}

/** A SETATTR that changes nothing. */
export const UNCHANGED: AttributeChanges = {
  mode: undefined,
  uid: undefined,
  gid: undefined,
  size: undefined,
  atime: undefined,
  mtime: undefined,
  killSetId: false,
};
