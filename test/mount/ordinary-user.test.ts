/**
 * Protects mounts by ordinary users: through fusermount3 where only root may call mount(2), with mount(2) where they
 * are root of a user namespace; and that a refusal says what to do.
 */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import { asUser, USER } from '../support/acceptance/as-user.js';
import { usePlace } from '../support/mount/place.js';
import { IS_HOST_ROOT } from '../support/privilege.js';
import { run } from '../support/run.js';

const SUITE = 'mount: ordinary users';

/** What both ways of mounting must give; $UNIONFS is the program. */
const SCRIPT = `
  mkdir -p a b/d u m
  echo a >a/x; echo b >b/x; echo y >b/y; echo z >b/d/z
  $UNIONFS mount --lower a:b --upper u m
  cat m/x m/y m/d/z
  rm m/y; rm -r m/d; mkdir m/d; echo more >>m/x; mv m/x m/x2; ln m/x2 m/x3; echo new >m/new
  $UNIONFS diff m | sort
  grep " $PWD/m fuse.unionfs " /proc/mounts | cut -d' ' -f4
  $UNIONFS inspect m >/dev/null
  { cd m; $UNIONFS umount ../m 2>&1 || :; cd ..; }
  $UNIONFS umount m
  ! grep " $PWD/m " /proc/mounts
  $UNIONFS mount --lower a:b --upper u m
  ls m; cat m/x2; ls m/d
  $UNIONFS umount m
  cat a/x b/y b/d/z
`;
const CHANGES = ['A /new', 'A /x2', 'A /x3', 'C /d', 'D /d/z', 'D /x', 'D /y'];
const SEEN = ['a', 'y', 'z'];
const REMOUNTED = ['d', 'new', 'x2', 'x3', 'a', 'more'];

describe(SUITE, () => {
  const place = usePlace(SUITE, ['fuse-overlayfs', 'fusermount3']);
  let number = 0;
  let named: readonly [source: string, target: string];

  before(() => {
    const passwd = place.path('passwd');
    writeFileSync(passwd, `${readFileSync('/etc/passwd', 'utf8')}ordinary:x:${USER}:${USER}::/:/bin/sh\n`);
    named = [passwd, '/etc/passwd'];
  });

  /** A directory of the user's own. */
  function home(): string {
    const name = `home${number++}`;
    place.make({ [name]: {} });
    run('chown', [String(USER), place.path(name)]);
    return place.path(name);
  }

  const ways = [
    [
      'through fusermount3',
      'none',
      'rw,nosuid,nodev,relatime,user_id=61234,group_id=61234,default_permissions',
    ],
    ['as root of a user namespace', 'single', undefined],
    ['as root of a user namespace with many ids', 'range', undefined],
  ] as const;
  for (const [name, namespace, options] of ways) {
    it(`${name}: a union is mounted, changed, busy, unmounted and mounted again`, () => {
      const directory = home();
      const lines = asUser(SCRIPT, directory, namespace, { over: [named] })
        .trimEnd()
        .split('\n');
      const busy = `unionfs umount: "${directory}/m" is busy; stop the processes that use it, or detach it with --lazy`;
      const [shown] = lines.splice(SEEN.length + CHANGES.length, 1);
      if (options !== undefined) assert.equal(shown, options);
      assert.deepEqual(lines, [...SEEN, ...CHANGES, busy, ...REMOUNTED, 'a', 'y', 'z']);
    });
  }

  it('a mount without upper is read-only, and flags that users may give arrive', () => {
    const script = `
      mkdir -p a m; echo a >a/x
      $UNIONFS mount -o noexec,noatime,relatime,sync --lower a m
      grep " $PWD/m fuse.unionfs " /proc/mounts | cut -d' ' -f4
      fusermount3 -u m
    `;
    const flags = 'ro,nosuid,nodev,noexec,sync,noatime,user_id=61234,group_id=61234,default_permissions';
    assert.sameMembers(
      asUser(script, home(), 'none', { over: [named] })
        .trim()
        .split(','),
      flags.split(','),
    );
  });

  it('others get in when the user asks for it and fuse.conf allows it', () => {
    const directory = home();
    const mount = '$UNIONFS mount -o allow_other --lower a m';
    const denied = asUser(`mkdir -p a m; ${mount} 2>&1 || :`, directory, 'none', { over: [named] });
    assert.equal(
      denied,
      'unionfs mount: fusermount3 refused "-o allow_other"; add the line "user_allow_other" to /etc/fuse.conf\n',
    );
    writeFileSync(`${directory}/fuse.conf`, 'user_allow_other\n');
    const allowed = asUser(
      `${mount}; grep -o allow_other /proc/mounts | head -1; $UNIONFS umount m`,
      directory,
      'none',
      { over: [named, [`${directory}/fuse.conf`, '/etc/fuse.conf']] },
    );
    assert.equal(allowed, 'allow_other\n');
  });

  /** In a mount namespace of its own: $1 the project, $2 the user's home. Others are in the mount with the user. */
  const OTHERS = `
    mount -t tmpfs -o mode=755 none /mnt; mkdir /mnt/project; mount --bind "$1" /mnt/project
    mknod -m 666 /mnt/fuse c 10 229; mount --bind /mnt/fuse /dev/fuse; mount --bind passwd /etc/passwd
    echo user_allow_other > fuse.conf; mount --bind fuse.conf /etc/fuse.conf
    as() { setpriv --reuid $1 --regid $2 --groups $3 env LC_ALL=C HOME=/ sh -c "$4" 2>&1 || :; }
    cd "$2"; chmod 755 .; ours="/mnt/project/dist/bin/unionfs mount -o allow_other --lower a --upper u --workdir w m"
    theirs="fuse-overlayfs -o allow_other,lowerdir=a,upperdir=u,workdir=w m"
    as ${USER} ${USER} 7,8 "mkdir -p a/d u w m; chmod 777 a a/d; echo a > a/x; chmod 666 a/x; touch a/gone; \${!3}"
    as ${USER} ${USER} 7,8 "chmod 777 m; mkdir m/shared; chmod 2777 m/shared"; chgrp 9 u/shared; chmod 2777 u/shared
    cd m
    for who in 1234 0; do
      as $who $who $who "touch new; mkdir dir; mkfifo pipe; touch d/in; rm -f gone; touch gone; echo more >> x; mv x y; mv y x; ls"
    done
    as ${USER} 7 7 "touch group; mkdir groupdir; touch gone; umask 0; : > mode; chmod 6755 mode"
    as ${USER} 9 9 "touch foreign"
    find . -printf '%P %U:%G %m %y\\n' | LC_ALL=C sort; cat x
    echo ---
    as ${USER} 7 7 "touch shared/in"; stat -c '%u:%g' shared/in
    as 1234 1234 1234 "ln -s x link"
    cd ..; find w/work -mindepth 1; umount m
  `;
  it('what others make is refused as by fuse-overlayfs, and the user may use all of his groups', () => {
    const project = fileURLToPath(new URL('../../..', import.meta.url));
    const seen = (who: 'ours' | 'theirs'): string[] => {
      const command = ['bash', '-euc', OTHERS, 'bash', project, home(), who];
      const args = ['--mount', '--propagation', 'private', ...command];
      return run('unshare', args, { cwd: place.path() }).split('---\n');
    };
    const [ours = '', more] = seen('ours');
    assert.include(ours, "touch: cannot touch 'new': Operation not permitted");
    assert.include(ours, `\ngroup ${USER}:7 644 f\n`);
    assert.equal(ours, seen('theirs')[0]);
    // Where fuse-overlayfs gives the caller's group to what should have the directory's, and ENOMEM.
    assert.equal(more, `${USER}:9\nln: failed to create symbolic link 'link': Operation not permitted\n`);
  });

  const refusals: readonly [name: string, script: string, message: string][] = [
    [
      'fusermount3 does not know them',
      'mkdir -p a m; $UNIONFS mount --lower a m',
      `fusermount3 works only for users with a name; add uid ${USER} to /etc/passwd, or use "unionfs exec"`,
    ],
    [
      'fusermount3 does not know them, in the foreground',
      'mkdir -p a m; $UNIONFS mount -f --lower a m',
      `fusermount3 works only for users with a name; add uid ${USER} to /etc/passwd, or use "unionfs exec"`,
    ],
    [
      'fusermount3 is missing',
      'mkdir -p bin a m; ln -s "$(command -v node)" "$(command -v readlink)" bin/; PATH=$PWD/bin $UNIONFS mount --lower a m',
      `uid ${USER} cannot mount on "HOME/m" without fusermount3; install the package "fuse3", or use "unionfs exec"`,
    ],
    [
      "the mountpoint is not the user's",
      'mkdir -p a; $UNIONFS mount --lower a /opt',
      `"/opt" is not writable by uid ${USER}; choose a mountpoint that is`,
    ],
    [
      'a lower layer cannot be read',
      'mkdir -p a m b; chmod 0 b; $UNIONFS mount --lower a:b m',
      `cannot read lower "HOME/b" as uid ${USER}: EACCES`,
    ],
    [
      'upper cannot be written',
      'mkdir -p a m u; chmod 500 u; $UNIONFS mount --lower a --upper u m',
      `cannot write to upper "HOME/u" as uid ${USER}: EACCES`,
    ],
  ];
  for (const [name, script, message] of refusals) {
    it(`says what to do when ${name}`, () => {
      const directory = home();
      const said = asUser(`${script} 2>&1 || :`, directory, 'none').replaceAll(directory, 'HOME');
      assert.equal(said, `unionfs mount: ${message}\n`);
      assert.notInclude(readFileSync('/proc/self/mounts', 'latin1'), directory);
    });
  }

  it('says what to do when /dev/fuse is closed to them', () => {
    const directory = home();
    const closed = place.path('closed-device');
    if (IS_HOST_ROOT) run('mknod', [closed, 'c', '10', '229']);
    else writeFileSync(closed, '');
    chmodSync(closed, 0o600);
    const said = asUser('mkdir -p a m; $UNIONFS mount --lower a m 2>&1 || :', directory, 'none', {
      over: [[closed, '/dev/fuse']],
    });
    const fix = 'as root, run "chmod 666 /dev/fuse", or run "tscr doctor"';
    assert.equal(said, `unionfs mount: cannot open /dev/fuse: permission denied; ${fix}\n`);
  });
});
