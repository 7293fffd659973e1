/**
 * Protects the instrument of the acceptance tests: a comparison that overlooks a kind of difference would
 * let every one of them pass. One row for each thing that two trees can differ in.
 */
import {
  appendFileSync,
  chmodSync,
  lchownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { checksum, describeTree, diffTrees, maskTimesSince } from '../support/acceptance/tree.js';
import { IS_HOST_ROOT, MARK, SECOND_NAMESPACE } from '../support/privilege.js';
import { run } from '../support/run.js';

const SUITE = 'acceptance: comparing trees';
const ATTRIBUTE = `${SECOND_NAMESPACE}a`;
/** Whiteouts may be made by anybody. */
const DEVICE = IS_HOST_ROOT ? ['c', '1', '3'] : ['c', '0', '0'];
const OLD_S = 1_000_000_000;
const NS_PER_S = 1_000_000_000n;

interface Case {
  readonly change: string;
  readonly apply: (root: string) => void;
  /** Whether the change is about times: they are made equal again before the comparison otherwise. */
  readonly ofTimes?: true;
  /** The lines of the difference that the change must lead to. */
  readonly differences: readonly RegExp[];
}

const CASES: readonly Case[] = [
  {
    change: 'a new file',
    apply: (root) => writeFileSync(join(root, 'added'), ''),
    differences: [/^"added": only in the second tree \(file\)$/],
  },
  {
    change: 'a lost file',
    apply: (root) => unlinkSync(join(root, 'file')),
    differences: [/^"file": only in the first tree \(file\)$/],
  },
  {
    change: 'a name that differs in one byte beyond UTF-8',
    apply: (root) => run('sh', ['-euc', 'cd "$1"; mv "$(printf "\\377")" "$(printf "\\376")"', 'sh', root]),
    differences: [/^"þ": only in the second/, /^"ÿ": only in the first/],
  },
  {
    change: 'content of the same size',
    apply: (root) => writeFileSync(join(root, 'file'), 'CONTENT'),
    differences: [/^"file": sha256: \w{64} != \w{64}$/],
  },
  {
    change: 'a longer content',
    apply: (root) => appendFileSync(join(root, 'file'), '!'),
    differences: [/^"file": sha256/, /^"file": size: 7 != 8$/],
  },
  {
    change: 'a mode bit beyond the permissions',
    apply: (root) => chmodSync(join(root, 'file'), 0o4644),
    differences: [/^"file": mode: 644 != 4644$/],
  },
  {
    change: 'the mode of the root',
    apply: (root) => chmodSync(root, 0o711),
    differences: [/^".": mode: 700 != 711$/],
  },
  {
    change: 'the owner and group of a symlink',
    apply: (root) => lchownSync(join(root, 'symlink'), 1, 2),
    differences: [/^"symlink": gid: 0 != 2$/, /^"symlink": uid: 0 != 1$/],
  },
  {
    change: 'a nanosecond of a time',
    ofTimes: true,
    apply: (root) => run('touch', ['-d', '2001-09-09 01:46:40.000000001 UTC', join(root, 'directory')]),
    differences: [/^"directory": mtime: 1000000000000000000 != 1000000000000000001$/],
  },
  {
    change: 'the target of a symlink',
    apply: (root) => {
      unlinkSync(join(root, 'symlink'));
      symlinkSync('elif', join(root, 'symlink'));
    },
    differences: [/^"symlink": target: file != elif$/],
  },
  {
    change: 'another type under the same name',
    apply: (root) => {
      unlinkSync(join(root, 'fifo'));
      run('mknod', [join(root, 'fifo'), ...DEVICE]);
    },
    differences: [/^"fifo": rdev: none != (259|0)$/, /^"fifo": type: fifo != character device$/],
  },
  {
    change: 'another device number',
    apply: (root) => {
      unlinkSync(join(root, 'device'));
      run('mknod', [join(root, 'device'), 'c', '1', '5']);
    },
    differences: [/^"device": rdev: 259 != 261$/],
  },
  {
    change: 'the value of an attribute',
    apply: (root) => run('setfattr', ['-n', ATTRIBUTE, '-v', 'y', join(root, 'file')]),
    differences: [/^"file": xattr (trusted|user\.second)\.a: 78 != 79$/],
  },
  {
    change: 'an attribute of the root',
    apply: (root) => run('setfattr', ['-n', `${MARK}opaque`, '-v', 'y', root]),
    differences: [/^".": xattr (trusted|user)\.overlay\.opaque: none != 79$/],
  },
  {
    change: 'an empty attribute of a symlink',
    apply: (root) => run('setfattr', ['-h', '-n', 'trusted.b', join(root, 'symlink')]),
    differences: [/^"symlink": xattr trusted\.b: none != $/],
  },
  {
    change: 'an attribute of a file whose name getfattr quotes',
    apply: (root) => run('setfattr', ['-n', ATTRIBUTE, '-v', 'y', join(root, 'new\nline\\')]),
    differences: [/^"new\\nline\\\\": xattr (trusted|user\.second)\.a: none != 79$/],
  },
  {
    change: 'a hard link that became a copy',
    apply: (root) => {
      unlinkSync(join(root, 'link2'));
      writeFileSync(join(root, 'link2'), 'linked');
    },
    differences: [
      /^"link1": nlink: 2 != 1$/,
      /^"link2": nlink: 2 != 1$/,
      /^"link2": same file as: link1 != link2$/,
    ],
  },
  {
    change: 'a hard link that left one group for another',
    apply: (root) => {
      unlinkSync(join(root, 'other2'));
      linkSync(join(root, 'link1'), join(root, 'other2'));
    },
    differences: [
      /^"link1": nlink: 2 != 3$/,
      /^"link2": nlink: 2 != 3$/,
      /^"other1": nlink: 2 != 1$/,
      /^"other2": nlink: 2 != 3$/,
      /^"other2": same file as: other1 != link1$/,
    ],
  },
];

describe(SUITE, () => {
  let root: string;

  before(function () {
    requireConditions(this, SUITE, missingForFiles());
  });

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'unionfs-tree-'));
    makeSample(root);
  });

  afterEach(() => rmSync(root, { recursive: true, force: true }));

  for (const { change, apply, ofTimes, differences } of CASES) {
    it(`sees ${change}, and nothing else`, () => {
      const before = describeTree(root);
      apply(root);
      if (!ofTimes) setOldTimes(root);
      const after = describeTree(root);
      const found = diffTrees(before, after);
      assert.lengthOf(found, differences.length, found.join('\n'));
      for (const [index, pattern] of differences.entries()) assert.match(found[index] ?? '', pattern);
      assert.notStrictEqual(checksum(after), checksum(before));
    });
  }

  it('finds a tree equal to its copy', () => {
    const copy = join(root, 'copy');
    const original = join(root, 'original');
    mkdirSync(original);
    makeSample(original);
    run('cp', ['-a', original, copy]);
    assert.deepEqual(diffTrees(describeTree(original), describeTree(copy)), []);
    assert.strictEqual(checksum(describeTree(original)), checksum(describeTree(copy)));
  });

  it('masks the times of a run, and only those', () => {
    const start = BigInt(OLD_S) * NS_PER_S;
    const before = maskTimesSince(describeTree(root), start + 1n);
    utimesSync(join(root, 'file'), OLD_S + 1, OLD_S + 1);
    utimesSync(join(root, 'directory'), OLD_S + 2, OLD_S + 2);
    const after = maskTimesSince(describeTree(root), start + 1n);
    assert.deepEqual(diffTrees(before, after), [
      '"directory": mtime: 1000000000000000000 != during the run',
      '"file": mtime: 1000000000000000000 != during the run',
    ]);
  });
});

function makeSample(root: string): void {
  mkdirSync(join(root, 'directory'));
  writeFileSync(join(root, 'file'), 'content');
  run('setfattr', ['-n', ATTRIBUTE, '-v', 'x', join(root, 'file')]);
  writeFileSync(join(root, 'new\nline\\'), '');
  run('sh', ['-euc', ': > "$1/$(printf "\\377")"', 'sh', root]);
  symlinkSync('file', join(root, 'symlink'));
  run('mkfifo', [join(root, 'fifo')]);
  run('mknod', [join(root, 'device'), ...DEVICE]);
  for (const name of ['link', 'other']) {
    writeFileSync(join(root, `${name}1`), 'linked');
    linkSync(join(root, `${name}1`), join(root, `${name}2`));
  }
  setOldTimes(root);
}

function setOldTimes(root: string): void {
  run('find', [root, '-exec', 'touch', '-h', '-d', `@${OLD_S}`, '{}', '+']);
}
