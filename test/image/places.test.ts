/** Protects stores and directories of others: they are read without harm, never taken over, never written to. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { addImage, imageOf } from '../support/image/small-image.js';
import { useWorkshop } from '../support/image/workshop.js';

const IMAGE = imageOf('image:1', [{ name: 'file', data: 'x' }]);
const STRANGER = 12_345;

describe('places of others', function () {
  this.timeout(60_000);
  const shop = useWorkshop();
  const SAVED = ['TSCR_RUN'] as const;
  const given = SAVED.map((name) => process.env[name]);
  afterEach(() => {
    for (const [at, name] of SAVED.entries()) {
      const value = given[at];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });

  it("root adds nothing to another user's store, and removes nothing from it", async () => {
    await addImage(shop.path('theirs'), IMAGE);
    shop.write('more.tar', imageOf('more:1', [{ name: 'more' }]));
    execFileSync('chown', ['-R', `${STRANGER}:${STRANGER}`, shop.path('theirs')]);
    const files = (): string =>
      execFileSync('find', [shop.path('theirs'), '-printf', '%p %U %s\n']).toString();
    const was = files();
    for (const args of [
      ['load', '-q', '-i', 'more.tar'],
      ['tag', 'image:1', 'other:1'],
      ['rmi', 'image:1'],
      ['system', 'prune', '-a', '-f'],
      ['system', 'check', '--repair'],
    ]) {
      const { status, stderr } = shop.tscr(args, { store: 'theirs' });
      assert.equal(status, 125, args.join(' '));
      assert.match(stderr, new RegExp(`: the store ".*theirs" belongs to uid ${STRANGER}; run as that user`));
    }
    assert.include(shop.succeed(['images'], 'theirs'), 'image');
    shop.succeed(['save', '-o', 'theirs.tar', 'image:1'], 'theirs');
    assert.equal(files(), was);
  });

  it('saves from a store that may only be read', async () => {
    await addImage(shop.path('fixed'), IMAGE);
    mkdirSync(shop.path('bound'));
    execFileSync('mount', ['--bind', shop.path('fixed'), shop.path('bound')]);
    try {
      execFileSync('mount', ['-o', 'remount,bind,ro', shop.path('bound')]);
      for (const format of ['docker-archive', 'oci'])
        shop.succeed(['save', '--format', format, '-o', `${format}.tar`, 'image:1'], 'bound');
      for (const args of [
        ['images'],
        ['history', 'image:1'],
        ['inspect', 'image:1'],
        ['system', 'df'],
        ['system', 'check'],
        ['ps', '-a'],
      ])
        shop.succeed(args, 'bound');
    } finally {
      execFileSync('umount', [shop.path('bound')]);
    }
  });

  for (const [what, make, says] of [
    [
      'one that others may write to',
      (at: string) => {
        mkdirSync(at);
        chmodSync(at, 0o1777);
      },
      /is writable by other users/,
    ],
    [
      "another user's",
      (at: string) => {
        mkdirSync(at);
        chownSync(at, STRANGER, STRANGER);
      },
      /belongs to uid 12345/,
    ],
    ['a symlink', (at: string) => symlinkSync(shop.directory, at), /is a symlink/],
    ['a FIFO', (at: string) => execFileSync('mkfifo', [at]), /cannot create ".*": /],
  ] as const) {
    it(`refuses TSCR_RUN that is ${what}, and changes nothing about it`, () => {
      const at = shop.path(`run-${what.replace(/\W/g, '-')}`);
      make(at);
      const was = statSync(at).mode;
      process.env['TSCR_RUN'] = at;
      const { status, stderr } = shop.tscr(['ps']);
      assert.equal(status, 125);
      assert.match(stderr, says);
      assert.equal(statSync(at).mode, was);
    });
  }

  it('waits for no FIFO that lies where a lock, an index or a record should be', async () => {
    for (const file of ['lock', 'index.lock', 'index.json']) {
      const root = shop.path(`fifo-${file}`);
      await addImage(root, IMAGE);
      execFileSync('rm', ['-f', join(root, file)]);
      execFileSync('mkfifo', [join(root, file)]);
      for (const args of [['images'], ['rmi', 'image:1'], ['save', '-o', 'fifo.tar', 'image:1']]) {
        const { status } = shop.tscr(args, { store: `fifo-${file}` });
        assert.include([0, 125], status, `${file} ${args.join(' ')}`);
      }
      assert.isTrue(existsSync(join(root, file)));
      assert.isNotEmpty(readdirSync(join(root, 'layers')));
    }
  });
});
