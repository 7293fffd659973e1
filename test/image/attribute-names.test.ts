/**
 * Protects the names of extended attributes on their way through a tar: "%" and "=" are escaped as GNU tar does, once, and
 * unescaped once.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { assert } from 'chai';
import { unpackLayer } from '../../runtime/image/layer/unpack.js';

const NAMES = [
  'user.plain',
  'user.a=b',
  'user.a%b',
  'user.a%3Db',
  'user.a%253Db',
  'user.%25',
  'user.%%==%3D',
];

describe('image: names of extended attributes', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'tscr-attributes-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  for (const name of NAMES) {
    it(`${name} comes out of GNU tar's archive as it was`, async () => {
      const from = mkdtempSync(join(directory, 'from-'));
      writeFileSync(join(from, 'file'), '');
      execFileSync('setfattr', ['-n', name, '-v', 'value', join(from, 'file')]);
      const tar = execFileSync('tar', [
        '--format=posix',
        '--xattrs',
        '--xattrs-include=*',
        '-C',
        from,
        '-c',
        'file',
      ]);
      const to = mkdtempSync(join(directory, 'to-'));
      mkdirSync(to, { recursive: true });
      await unpackLayer(Readable.from([tar]), to);
      const shown = execFileSync('getfattr', ['-d', '-m', '^user', '--absolute-names', join(to, 'file')], {
        encoding: 'utf8',
      });
      assert.deepEqual(shown.trim().split('\n').slice(1), [`${name.replaceAll('=', '\\075')}="value"`]);
    });
  }
});
