/** Protects the place of the store: what the user names wins, root's is the machine's, others' lies where XDG says. */
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { assert } from 'chai';
import { HostError, UsageError } from '../../fs/index.js';
import { type Caller, caller, setCaller } from '../../runtime/host/caller.js';
import { isWritable, requireWritable, storeRoot } from '../../runtime/image/store/place.js';
import { useScratch } from '../support/image/scratch.js';

const ROOT: Caller = { uid: 0, gid: 0, home: '/root' };
const USER: Caller = { uid: 1000, gid: 1000, home: '/home/u' };
const HOMELESS: Caller = { uid: 1000, gid: 1000 };
const STRANGER = 12_345;

describe('place of the store', () => {
  const scratch = useScratch();
  const own = caller();
  const given = { ...process.env };
  afterEach(() => {
    setCaller(own);
    for (const name of ['TSCR_ROOT', 'XDG_DATA_HOME']) {
      const value = given[name];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });

  type Settings = { readonly option?: string; readonly TSCR_ROOT?: string; readonly XDG_DATA_HOME?: string };
  const PLACES: readonly [who: Caller, settings: Settings, place: string][] = [
    [ROOT, {}, '/var/lib/tscr'],
    [ROOT, { XDG_DATA_HOME: '/data' }, '/var/lib/tscr'],
    [ROOT, { TSCR_ROOT: '/s' }, '/s'],
    [ROOT, { TSCR_ROOT: '' }, '/var/lib/tscr'],
    [ROOT, { option: '/o', TSCR_ROOT: '/s' }, '/o'],
    [ROOT, { option: 'o/../p' }, `${process.cwd()}/p`],
    [USER, {}, '/home/u/.local/share/tscr'],
    [USER, { XDG_DATA_HOME: '/data' }, '/data/tscr'],
    [USER, { XDG_DATA_HOME: 'data' }, '/home/u/.local/share/tscr'],
    [USER, { XDG_DATA_HOME: '' }, '/home/u/.local/share/tscr'],
    [USER, { TSCR_ROOT: 's', XDG_DATA_HOME: '/data' }, `${process.cwd()}/s`],
    [HOMELESS, { XDG_DATA_HOME: '/data' }, '/data/tscr'],
    [HOMELESS, { option: '/o' }, '/o'],
  ];
  const set = (who: Caller, { TSCR_ROOT, XDG_DATA_HOME }: Settings): void => {
    setCaller(who);
    for (const [name, value] of Object.entries({ TSCR_ROOT, XDG_DATA_HOME })) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  for (const [who, settings, place] of PLACES) {
    it(`uid ${who.uid}${who.home === undefined ? ' without a home' : ''} with ${JSON.stringify(settings)}: ${place}`, () => {
      set(who, settings);
      assert.equal(storeRoot(settings.option), place);
    });
  }

  it('an empty --root, and nowhere to put it, are refused', () => {
    assert.throws(() => storeRoot(''), UsageError, 'option "--root" needs a value');
    set(HOMELESS, {});
    assert.throws(() => storeRoot(), HostError, /no home directory.*--root or TSCR_ROOT/);
  });

  it('a store can be written where its nearest directory can', () => {
    const directory = scratch.fresh();
    for (const root of [directory, `${directory}/not/yet`]) {
      requireWritable(root);
      assert.isTrue(isWritable(root));
    }
    assert.isTrue(isWritable('/not-there/store'));
  });

  it("another user's store is not: neither one with content nor, for root, a directory", () => {
    const full = scratch.fresh();
    mkdirSync(`${full}/blobs`);
    chownSync(`${full}/blobs`, STRANGER, STRANGER);
    assert.throws(() => requireWritable(full), HostError, `the store "${full}" belongs to uid ${STRANGER}`);
    assert.isFalse(isWritable(full));
    const empty = scratch.fresh();
    chownSync(empty, STRANGER, STRANGER);
    setCaller(ROOT);
    assert.throws(() => requireWritable(empty), HostError, `belongs to uid ${STRANGER}`);
    setCaller(USER);
    assert.isTrue(isWritable(empty), 'where directories of others are shared on purpose');
  });

  it('what is in the way is named, with what to do', () => {
    const file = scratch.path('file');
    writeFileSync(file, '', { mode: 0o644 });
    const root = `${file}/not/yet`;
    assert.throws(
      () => requireWritable(root),
      HostError,
      new RegExp(
        `^cannot write to the store "${root}": EACCES; choose another store with --root or TSCR_ROOT`,
      ),
    );
    assert.isFalse(isWritable(root));
  });

  it('what is no complaint about the place is no answer', () => {
    assert.throws(() => isWritable(undefined as unknown as string), TypeError);
  });
});
