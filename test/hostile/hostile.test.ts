/**
 * Protects everything outside the directory that a hostile layer is unpacked into: each attack is refused with the
 * entry's name in one printable line, and nothing beside the root has changed.
 */
import { lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { assert } from 'chai';
import { UsageError } from '../../fs/index.js';
import { unpackLayer } from '../../runtime/image/layer/unpack.js';
import { describeTree, diffTrees } from '../support/acceptance/tree.js';
import { archive, entry } from '../support/image/archive.js';
import { unpackInto, useScratch } from '../support/image/scratch.js';
import { IS_HOST_ROOT } from '../support/privilege.js';
import { ATTACKS, DEVICE, REDIRECTED } from './corpus.js';

const LIMITS = { maxBytes: 1_000_000, maxEntries: 100 };
/** Pieces that an archive arrives in: whole, and cut at odd places. */
const BLOCK = 512;
/** Bytes between two places where a stream is cut. */
const STEP = 251;
const PIECES = [Number.MAX_SAFE_INTEGER, 1000];

describe('hostile layers', () => {
  const scratch = useScratch();

  /** A root and a directory beside it that nobody may touch. */
  function target(): { root: string; outside: string; base: string } {
    const base = scratch.fresh('case');
    const [root, outside] = [join(base, 'root'), join(base, 'outside')];
    mkdirSync(root);
    mkdirSync(outside);
    writeFileSync(join(outside, 'sentinel'), 'untouched');
    return { root, outside, base };
  }

  async function unpackAndWatch(bytes: (out: string) => Buffer, piece: number): Promise<unknown> {
    const { root, outside, base } = target();
    const before = describeTree(outside);
    let failure: unknown;
    try {
      await unpackInto(root, bytes(outside), piece, LIMITS);
    } catch (error) {
      failure = error;
    }
    assert.deepEqual(diffTrees(before, describeTree(outside)), []);
    assert.deepEqual(readdirSync(base).sort(), ['outside', 'root']);
    return failure;
  }

  for (const { name, bytes, complaint } of ATTACKS) {
    it(`refuses ${name}`, async () => {
      for (const piece of PIECES) {
        const failure = await unpackAndWatch(bytes, piece);
        assert.instanceOf(failure, UsageError);
        const { message } = failure as Error;
        assert.match(message, complaint);
        assert.notMatch(message, /\p{Cc}/u, 'one printable line');
      }
    });
  }

  for (const [name, entries, place] of REDIRECTED) {
    it(`keeps inside what a symlink would lead out: ${name}`, async () => {
      const { root, outside } = target();
      const before = describeTree(outside);
      await unpackInto(root, archive(...entries(outside)));
      const placed = lstatSync(`${root}/${place(outside)}`, { throwIfNoEntry: false });
      // Without the host's root there are no devices.
      assert.equal(placed !== undefined, IS_HOST_ROOT || name !== DEVICE);
      assert.deepEqual(diffTrees(before, describeTree(outside)), []);
    });
  }

  it('gives absolute names and "./" their place inside the root', async () => {
    const { root } = target();
    await unpackInto(root, archive({ name: '/etc/passwd' }, { name: './a//b/./c' }, { name: '///x' }));
    assert.deepEqual(
      [...describeTree(root).keys()],
      ['.', './a', './a/b', './a/b/c', './etc', './etc/passwd', './x'].map((p) => p.replace('./', '')),
    );
  });

  it('looks at nothing behind the end of the archive', async () => {
    const { root } = target();
    await unpackInto(root, Buffer.concat([archive({ name: 'a' }), archive({ name: '../outside/x' })]));
    assert.deepEqual(readdirSync(root), ['a']);
  });

  for (const [what, tail] of [
    ['text', Buffer.from('garbage!'.repeat(64))],
    ['zeros and text', Buffer.concat([Buffer.alloc(10_240), Buffer.alloc(5_000, 'x')])],
    ['less than a block', Buffer.from('x')],
    ['megabytes', Buffer.alloc(3 << 20, 'x')],
    ['the beginning of another archive', entry({ name: 'b', data: 'x'.repeat(5000) }).subarray(0, 3000)],
  ] as const) {
    it(`looks at nothing behind the end of the archive: ${what}`, async () => {
      const { root } = target();
      await unpackInto(root, Buffer.concat([archive({ name: 'a' }), tail]));
      assert.deepEqual(readdirSync(root), ['a']);
    });
  }

  it('refuses an archive that goes on after a single zero block, as Go does', async () => {
    const { root } = target();
    const bytes = Buffer.concat([entry({ name: 'a' }), Buffer.alloc(512), entry({ name: 'b' })]);
    const error = (await unpackInto(root, bytes).catch((reason: unknown) => reason)) as Error;
    assert.match(
      error.message,
      /^the archive is damaged at or after the entry "a": it continues after a single zero block$/,
    );
  });

  it('stores marks of the union that an image carries escaped, so that they mark nothing', async () => {
    const { root } = target();
    const pax = {
      'SCHILY.xattr.trusted.overlay.opaque': 'y',
      'SCHILY.xattr.trusted.overlay.redirect': '/etc',
      'SCHILY.xattr.user.overlay.metacopy': '',
    };
    await unpackInto(root, archive({ name: 'd', flag: '5', pax }));
    const fields = Object.keys(describeTree(root).get('d') ?? {}).filter((field) =>
      field.startsWith('xattr'),
    );
    assert.deepEqual(fields.sort(), [
      // Without the host's root there are no such attributes.
      ...(IS_HOST_ROOT ? ['opaque', 'redirect'].map((mark) => `xattr trusted.overlay.overlay.${mark}`) : []),
      'xattr user.overlay.overlay.metacopy',
    ]);
  });

  it('refuses a stream that ends within an entry, or fails, and leaves the rest alone', async () => {
    const entries = [
      { name: 'd', flag: '5', mode: 0o755 },
      { name: 'd/f', data: 'x'.repeat(1500), pax: { mtime: '1.5', 'SCHILY.xattr.user.a': 'b' } },
      { name: 'd/l', flag: '2', linkName: '../../outside' },
      { name: 'd/.wh.gone' },
      { name: 'h', flag: '1', linkName: 'd/f' },
    ];
    const whole = archive(...entries);
    /** From the last byte of an entry's data to the next entry, as umoci's layers end and Go reads them. */
    const ends = entries.map((_, at) => {
      const before = Buffer.concat(entries.slice(0, at + 1).map((fields) => entry(fields)));
      const padding = (BLOCK - ((entries[at]?.data?.length ?? 0) % BLOCK)) % BLOCK;
      return { from: before.length - padding, to: before.length };
    });
    const last = ends.at(-1)?.to ?? 0;
    const isWhole = (end: number): boolean =>
      ends.some(({ from, to }) => end >= from && end <= to) || (end > last && end % BLOCK === 0);
    const cuts = Array.from({ length: Math.ceil(whole.length / STEP) }, (_, at) => 1 + at * STEP);
    const edges = ends.flatMap(({ from, to }) => [from - 1, from, to, to + 1]);
    for (const end of [...cuts, ...edges]) {
      const cut = whole.subarray(0, end);
      const failure = await unpackAndWatch(() => cut, 300);
      if (isWhole(end)) assert.isUndefined(failure, `cut at ${end}`);
      else {
        assert.instanceOf(failure, UsageError, `cut at ${end}`);
        assert.match((failure as Error).message, /^the archive /, `cut at ${end}`);
      }
      const { root, outside } = target();
      const before = describeTree(outside);
      const broken = new Error('the disk is gone');
      const source = Readable.from(
        (function* () {
          yield cut;
          throw broken;
        })(),
        { objectMode: false },
      );
      const error = await unpackLayer(source, root).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.strictEqual(error, broken, `failed at ${end}`);
      assert.deepEqual(diffTrees(before, describeTree(outside)), []);
    }
  });

  it('leaves no descriptor open, whatever happens', async () => {
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    for (const { bytes } of ATTACKS) {
      const { root, outside } = target();
      await unpackInto(root, bytes(outside), 700, LIMITS).catch(() => {});
    }
    await unpackInto(target().root, entry({ name: 'f', data: 'x' }));
    assert.equal(open(), before);
  });
});
