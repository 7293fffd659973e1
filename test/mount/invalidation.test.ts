/**
 * Protects what is mounted below a union from the union's own invalidations: the kernel unmounts everything below a
 * name that is invalidated carelessly.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { run } from '../acceptance/run.js';
import { list, mountAt, type Union, usePlace } from './place.js';
import { sleep, waitUntil } from './processes.js';

const SUITE = 'invalidation';
const ROUNDS = 20;
/** Long enough for an event to become a notification. */
const NOTICE_MS = 50;

describe(SUITE, () => {
  const place = usePlace(SUITE);
  let union: Union;
  const lower = (path: string): string => join(union.lowers[1] ?? '', path);
  const top = (path: string): string => join(union.lowers[0] ?? '', path);

  before(() => {
    union = place.union('tmpfs', {
      lowers: [
        {},
        { 'above/around/mounted/hidden': 'h', 'above/around/beside': 'b', 'above/sibling': {}, f: 'f' },
      ],
    });
    // Everything on the way is known and cached.
    list(union.mountpoint);
    list(union.at('above'));
    list(union.at('above/around'));
    run('mount', ['-t', 'tmpfs', 'tmpfs', union.at('above/around/mounted')]);
    writeFileSync(union.at('above/around/mounted/file'), 'on tmpfs');
  });

  function assertMounted(): void {
    assert.equal(mountAt(union.at('above/around/mounted'))?.type, 'tmpfs');
    assert.equal(readFileSync(union.at('above/around/mounted/file'), 'latin1'), 'on tmpfs');
    assert.deepEqual(list(union.at('above/around/mounted')), ['file']);
  }

  const CHANGES: Record<string, (round: number) => void> = {
    'names beside it come and go': (round) => {
      writeFileSync(lower(`above/around/new${round}`), '');
      writeFileSync(lower('above/around/beside'), `changed ${round}`);
      rmSync(lower(`above/around/new${round}`));
    },
    'directories above it get new names and new times': (round) => {
      mkdirSync(lower(`above/dir${round}`));
      mkdirSync(lower(`dir${round}`));
      utimesSync(lower('above'), round, round);
      utimesSync(lower('above/around'), round, round);
      chmodSync(lower('above'), round % 2 === 0 ? 0o755 : 0o711);
    },
    'the directory itself changes': (round) => {
      utimesSync(lower('above/around/mounted'), round, round);
      chmodSync(lower('above/around/mounted'), round % 2 === 0 ? 0o755 : 0o711);
      writeFileSync(lower('above/around/mounted/hidden'), `changed ${round}`);
      writeFileSync(lower(`above/around/mounted/hidden${round}`), '');
    },
    'another directory takes its name in the lower layer': (round) => {
      const [own, aside] = [lower('above/around/mounted'), lower(`aside${round}`)];
      mkdirSync(aside);
      place.python('renameat2(own, aside, RENAME_EXCHANGE)', { own, aside });
      rmSync(aside, { recursive: true });
    },
    'its name and those above it appear in the lower layer on top': (round) => {
      if (round === 0) mkdirSync(top('above'));
      if (round === 1) mkdirSync(top('above/around'));
      if (round === 2) mkdirSync(top('above/around/mounted'));
      if (round === 3) writeFileSync(top('above/around/mounted/merged'), '');
    },
    'it is changed through the union': (round) => {
      writeFileSync(union.at('above/around/beside'), `through the union ${round}`);
      mkdirSync(union.at(`above/around/made${round}`));
      renameSync(union.at(`above/around/made${round}`), union.at(`above/moved${round}`));
      chmodSync(union.at('above/around'), round % 2 === 0 ? 0o755 : 0o711);
    },
  };
  for (const [what, change] of Object.entries(CHANGES)) {
    it(`a tmpfs stays mounted while ${what}`, () => {
      for (let round = 0; round < ROUNDS; round++) {
        change(round);
        if (round % 5 === 0) sleep(NOTICE_MS);
        assertMounted();
      }
      sleep(NOTICE_MS);
      assertMounted();
      // The changes have been noticed, so the invalidations have happened.
      assert.isTrue(statSync(union.at('above')).isDirectory());
      writeFileSync(lower('above/sibling/last'), what);
      waitUntil('the last change shows', () => existsSync(union.at('above/sibling/last')), 1000);
      assertMounted();
    });
  }
});
