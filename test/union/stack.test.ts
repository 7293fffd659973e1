/**
 * Protects users from stacks that would loop into themselves or lose data, and layer lists from the colons and
 * backslashes in their paths.
 */

import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { toBytes } from '../../fs/sys/path-bytes.js';
import { UsageError } from '../../fs/sys/refusal.js';
import {
  checkStack,
  defaultWork,
  directoryAt,
  joinLayers,
  recordedStack,
  recordStack,
  type Stack,
  splitLayers,
} from '../../fs/union/layers/stack.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { Random } from '../support/random.js';

const SEED = 19;
const DRAWN = 5000;

describe('union/stack: layer lists', () => {
  const LISTS: readonly [list: string, paths: readonly string[]][] = [
    ['/a', ['/a']],
    ['/a:/b:/c', ['/a', '/b', '/c']],
    ['/a\\:b', ['/a:b']],
    ['/a\\\\:b', ['/a\\', 'b']],
    ['/a\\\\\\:b', ['/a\\:b']],
    ['', ['']],
    [':', ['', '']],
    ['/a::/b', ['/a', '', '/b']],
    ['/line\nbreak:/b', ['/line\nbreak', '/b']],
    ['/\u00e4\u{1f600}', ['/\u00e4\u{1f600}']],
  ];
  for (const [list, paths] of LISTS) {
    it(`${JSON.stringify(list)} is ${JSON.stringify(paths)}, and back`, () => {
      assert.deepEqual(splitLayers(list), paths);
      assert.strictEqual(joinLayers(paths), list);
    });
  }

  it('a needless backslash is dropped before any character, and kept at the end', () => {
    assert.deepEqual(splitLayers('/\\a:b\\'), ['/a', 'b\\']);
  });

  it('any paths come back as they were joined', () => {
    const random = new Random(SEED);
    const characters = ['a', ':', '\\', '/', '\n', ' ', ',', '\u00e4', '\u{1f600}'];
    const text = () => Array.from({ length: random.below(6) }, () => random.pick(characters)).join('');
    for (let drawn = 0; drawn < DRAWN; drawn++) {
      const paths = Array.from({ length: 1 + random.below(4) }, text);
      assert.deepEqual(splitLayers(joinLayers(paths)), paths);
    }
  });

  it('a path as bytes has one character per byte', () => {
    assert.strictEqual(toBytes('/\u00e4'), '/\xc3\xa4');
  });
});

describe('union/stack: directories', () => {
  let root = '';
  const at = (...names: string[]): string => join(root, ...names);

  before(() => {
    root = realpathSync(mkdtempSync(join(tmpdir(), 'unionfs-stack-')));
    for (const name of [
      'low',
      'low2',
      'low/inside',
      'lower',
      'up',
      'up/inside',
      'work',
      'work/inside',
      'm',
      'm/in',
    ]) {
      mkdirSync(at(name));
    }
    writeFileSync(at('file'), '');
    symlinkSync('up', at('link'));
    symlinkSync('nowhere', at('dangling'));
  });

  after(() => rmSync(root, { recursive: true }));

  it('are found by their real path', () => {
    assert.strictEqual(directoryAt(at('link', 'inside')), at('up', 'inside'));
    assert.strictEqual(directoryAt(at('up', '.', '..', 'up')), at('up'));
  });

  for (const [name, complaint] of [
    ['missing', 'does not exist'],
    ['dangling', 'does not exist'],
    ['file', 'is not a directory'],
  ] as const) {
    it(`that are none are named: ${name}`, () => {
      assert.throws(() => directoryAt(at(name)), UsageError, `"${at(name)}" ${complaint}`);
    });
  }

  it('without a name do not mean the current one', () => {
    assert.throws(() => directoryAt(''), UsageError, '"" does not exist');
  });

  it('for work are a hidden sibling of upper by default', () => {
    assert.strictEqual(defaultWork(at('up')), at('.up.unionfs-work'));
  });

  interface Case {
    readonly what: string;
    readonly lowers?: readonly string[];
    readonly upper?: string;
    readonly work?: string;
    readonly mountpoint?: string;
    /** The complaint; none if the stack is fine. */
    readonly refused?: RegExp;
  }

  const CASES: readonly Case[] = [
    { what: 'separate directories' },
    { what: 'a work directory that is still to be made', work: 'new-work' },
    { what: 'two lowers one in the other', lowers: ['low', 'low/inside'] },
    { what: 'the same lower twice', lowers: ['low', 'low'] },
    { what: 'names that begin alike', lowers: ['lower', 'low2'], upper: 'low' },
    { what: 'an upper in a lower, as overlayfs', upper: 'low/inside' },
    { what: 'a work directory in a lower', work: 'low/inside' },
    {
      what: 'a lower in the mountpoint',
      lowers: ['m/in'],
      refused: /layer ".*\/m\/in" lies inside the mountpoint/,
    },
    {
      what: 'an upper in the mountpoint',
      upper: 'm/in',
      refused: /layer ".*\/m\/in" lies inside the mountpoint/,
    },
    { what: 'a work directory in the mountpoint', work: 'm/in', refused: /lies inside the mountpoint/ },
    { what: 'the mountpoint as a lower', lowers: ['low2', 'm'], refused: /lies inside the mountpoint/ },
    {
      what: 'the mountpoint in a lower',
      mountpoint: 'low/inside',
      refused: /mountpoint ".*" lies inside the layer/,
    },
    {
      what: 'the mountpoint in upper',
      mountpoint: 'up/inside',
      refused: /mountpoint ".*" lies inside the layer/,
    },
    {
      what: 'the mountpoint in work',
      mountpoint: 'work/inside',
      refused: /mountpoint ".*" lies inside the layer/,
    },
    { what: 'work in upper', work: 'up/inside', refused: /must not contain each other/ },
    { what: 'upper in work', upper: 'work/inside', refused: /must not contain each other/ },
    { what: 'upper as work', work: 'up', refused: /must not contain each other/ },
    {
      what: 'a lower in upper',
      lowers: ['low2', 'up/inside'],
      refused: /lower layer ".*" lies inside ".*\/up"/,
    },
    { what: 'upper as a lower', lowers: ['up'], refused: /lower layer ".*\/up" lies inside ".*\/up"/ },
    { what: 'a lower in work', lowers: ['work/inside'], refused: /lower layer ".*" lies inside ".*\/work"/ },
  ];
  for (const { what, lowers = ['low'], upper = 'up', work = 'work', mountpoint = 'm', refused } of CASES) {
    it(`${refused === undefined ? 'take' : 'refuse'} ${what}`, () => {
      const stack = { lowers: lowers.map((name) => at(name)), upper: at(upper), work: at(work) };
      const check = () => checkStack(stack, at(mountpoint));
      if (refused === undefined) check();
      else assert.throws(check, UsageError, refused);
    });
  }

  it('take lowers alone, and refuse "/" as one', () => {
    checkStack({ lowers: [at('low'), at('low2')] }, at('m'));
    assert.throws(() => checkStack({ lowers: ['/'] }, at('m')), UsageError, 'lies inside the layer "/"');
  });
});

describe('union/stack: work on another filesystem or mount than upper', () => {
  const SUITE = 'union/stack: work on another filesystem or mount than upper';
  let root = '';
  let stack: Required<Stack>;

  before(function () {
    requireConditions(this, SUITE, missingForFiles());
    root = realpathSync(mkdtempSync(join(tmpdir(), 'unionfs-stack-')));
    for (const name of ['low', 'up', 'm', 'other', 'same', 'bound']) mkdirSync(join(root, name));
    mount('-t', 'tmpfs', 'unionfs-test', join(root, 'other'));
    mount('--bind', join(root, 'same'), join(root, 'bound'));
    stack = { lowers: [join(root, 'low')], upper: join(root, 'up'), work: join(root, 'other', 'work') };
  });

  after(() => {
    if (root === '') return;
    spawnSync('umount', [join(root, 'other')]);
    spawnSync('umount', [join(root, 'bound')]);
    rmSync(root, { recursive: true });
  });

  function mount(...args: string[]): void {
    const { status, stderr } = spawnSync('mount', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
  }

  const refused = (work: string, what = 'filesystem'): void => {
    const complaint = `workdir "${work}" is not on the ${what} of upper "${stack.upper}"`;
    assert.throws(() => checkStack({ ...stack, work }, join(root, 'm')), UsageError, complaint);
  };

  it('is refused when it is still to be made', () => refused(stack.work));

  it('is refused when it exists', () => {
    mkdirSync(stack.work);
    refused(stack.work);
  });

  it('is refused when it is the mountpoint of the other filesystem', () => refused(join(root, 'other')));

  it('is refused on another mount of the same filesystem, where rename(2) does not lead', () => {
    refused(join(root, 'bound', 'work'), 'mount');
    refused(join(root, 'bound'), 'mount');
  });

  it('is fine the other way round: both on the other one', () => {
    mkdirSync(join(root, 'other', 'up'));
    checkStack({ ...stack, upper: join(root, 'other', 'up') }, join(root, 'm'));
  });
});

describe('union/stack: the record', () => {
  let work = '';
  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), 'unionfs-stack-'));
  });
  afterEach(() => rmSync(work, { recursive: true }));
  const file = (): string => join(work, readdirSync(work)[0] ?? '');
  const record = (stack: { lowers: readonly string[]; upper?: string }): void => {
    const fd = openSync(work, 'r');
    try {
      recordStack(fd, { ...stack, work });
    } finally {
      closeSync(fd);
    }
  };

  it('comes back as it was written, the last one counts, and nothing else is left', () => {
    record({ lowers: ['/old'], upper: '/u' });
    const stack = { lowers: ['/a:b', '/\u00e4'], upper: '/u', work };
    record(stack);
    assert.deepInclude(recordedStack(work), stack);
    assert.lengthOf(readdirSync(work), 1);
  });

  it('is absent where there is none', () => {
    assert.isUndefined(recordedStack(work));
    assert.isUndefined(recordedStack(join(work, 'missing')));
  });

  it('of another version is refused by name', () => {
    record({ lowers: ['/a'] });
    writeFileSync(file(), '{"version": 2, "lowers": []}');
    assert.throws(
      () => recordedStack(work),
      UsageError,
      `"${file()}" has the unsupported version 2; supported is 1`,
    );
  });

  it('that is damaged is refused by name', () => {
    record({ lowers: ['/a'] });
    for (const damaged of [
      '',
      '{"version": 1, "lowe',
      'null',
      '{"version": 1}',
      '{"version": 1, "lowers": [7]}',
    ]) {
      writeFileSync(file(), damaged);
      assert.throws(() => recordedStack(work), UsageError, file());
    }
  });
});
