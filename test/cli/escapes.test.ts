/**
 * Protects terminals and logs from names of files, layers and mountpoints: every command of unionfs shows them escaped,
 * on one line, and gives them whole to programs.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { assert } from 'chai';
import { type Union, usePlace } from '../support/mount/place.js';

const SUITE = 'unionfs: names that control';
const EVIL = 'a\x1b[2J\u009b\u202e\nb';
const ESCAPED = 'a\\x1b[2J\\u{9b}\\u{202e}\\x0ab';

describe(SUITE, () => {
  const place = usePlace(SUITE);
  let union: Union;

  before(() => {
    union = place.union(EVIL, {
      lowers: [{ [`${EVIL}/file`]: 'x', plain: 'x' }],
      upper: { [EVIL]: 'covers' },
    });
  });

  /** Runs unionfs; what it writes holds nothing that controls but the ends of its lines. */
  function lines(...args: readonly string[]): string[] {
    const { stdout, stderr } = place.unionfs(args);
    for (const line of [...stdout.split('\n'), ...stderr.split('\n')])
      assert.notMatch(line, /[\p{Cc}\p{Cf}]/u, args[0]);
    return (stdout + stderr).trimEnd().split('\n');
  }

  it('in a diff', () => {
    assert.deepEqual(lines('diff', union.mountpoint), [`C /${ESCAPED}`]);
    const [{ path } = { path: '' }] = JSON.parse(lines('diff', '--json', union.mountpoint).join('\n')) as {
      path: string;
    }[];
    assert.equal(path, `/${EVIL}`);
  });

  it('in explanations, of what is there and what is not', () => {
    const told = lines('explain', union.at(EVIL)).join('\n');
    assert.include(told, `/${ESCAPED} shows `);
    assert.lengthOf(
      lines('explain', union.at(`${EVIL}-missing`)),
      lines('explain', union.at('plain')).length,
    );
  });

  it('in the list and the inspection of mounts', () => {
    const listed = lines('list').filter((line) => line.includes(ESCAPED));
    assert.lengthOf(listed, 1);
    const json = JSON.parse(lines('list', '--json').join('\n')) as { mountpoint: string }[];
    assert.include(
      json.map(({ mountpoint }) => mountpoint),
      union.mountpoint,
    );
    assert.include(lines('inspect', union.mountpoint)[0], ESCAPED);
  });

  it('in mistakes', () => {
    for (const args of [
      ['diff', place.path(`${EVIL}-missing`)],
      ['umount', place.path(`${EVIL}-missing`)],
      ['mount', '--lower', place.path(`${EVIL}-missing`), place.path()],
      ['explain', '--op', EVIL, union.at('plain')],
      [EVIL],
      [`--${EVIL}`],
    ]) {
      const said = lines(...args);
      assert.lengthOf(said, 1, args[0]);
      assert.include(said[0], ESCAPED);
    }
  });

  it('in the log of a server', () => {
    for (const name of readdirSync(union.work).filter((entry) => entry.endsWith('.log')))
      assert.notMatch(readFileSync(`${union.work}/${name}`, 'utf8').replaceAll('\n', ''), /[\p{Cc}\p{Cf}]/u);
  });
});
