/**
 * Protects the order of an image's layers: the last covers those before it, whichever storage driver makes the root, in
 * content, in deletions and in what comes back after one.
 */
import { assert } from 'chai';
import { DRIVERS } from '../../runtime/container/records/record.js';
import { Tscr } from '../support/container/tscr.js';
import { usePlace } from '../support/mount/place.js';

const SUITE = 'tscr: the order of layers';
const STEPS = [
  'echo 1 > /all; echo 1 > /first; echo 1 > /gone; mkdir /d /o; echo 1 > /d/1; echo 1 > /o/1',
  'echo 2 > /all; rm /gone; echo 2 > /back; rm -r /o; mkdir /o; echo 2 > /o/2; echo 2 > /d/2',
  'echo 3 > /all; rm /back /d/1; echo 3 > /d/3',
  'echo 4 > /all; echo 4 > /back',
];
const SHOWN = ['all 4', 'first 1', 'back 4', 'd/2 2', 'd/3 3', 'o/2 2'];

describe(SUITE, function () {
  this.timeout(120_000);
  const place = usePlace(SUITE);
  let tscr: Tscr;

  before(() => {
    tscr = new Tscr(place.path('store'), place.path('run'));
    tscr.succeed(['image', 'from-host', 'sh,rm,mkdir,find,cat', '-t', 'step:0']);
    for (const [at, script] of STEPS.entries()) {
      tscr.succeed(['run', '--name', `c${at}`, `step:${at}`, 'sh', '-c', script]);
      tscr.succeed(['commit', `c${at}`, `step:${at + 1}`]);
      tscr.succeed(['rm', `c${at}`]);
    }
  });

  for (const driver of DRIVERS) {
    it(`${driver} shows what the last layer says`, () => {
      const script =
        'cd /; for f in all first gone back d/* o/*; do [ -e "$f" ] && read v < "$f" && echo "$f $v"; done; true';
      const shown = tscr.succeed([
        'run',
        '--rm',
        '--storage-driver',
        driver,
        `step:${STEPS.length}`,
        'sh',
        '-c',
        script,
      ]);
      assert.deepEqual(shown.trim().split('\n'), SHOWN);
    });
  }
});
