/**
 * Protects what an ordinary user may do with files and directories whose mode forbids something to himself: modes
 * withhold writing, listing and passing from the server, too, which has no more rights than he.
 *
 * Every case is done in a plain directory, in a union that the user has mounted through fusermount3, and on kernel
 * overlayfs, by an owner without capabilities each time; what it says and what is there afterwards must be the same,
 * and stay so over a remount. Lower layers stay as they were, down to the change times of their files.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { assert } from 'chai';
import { asUser, USER } from '../support/acceptance/as-user.js';
import { usePlace } from '../support/mount/place.js';
import { run } from '../support/run.js';

const SUITE = 'mount: modes that forbid something to their owner';

interface Case {
  readonly what: string;
  /** Makes what the lower layer holds. */
  readonly lower?: string;
  /** What is done. */
  readonly act: string;
  /** Why kernel overlayfs shows something else. */
  readonly kernelDiffers?: string;
}

/** Modes that forbid an owner something, each in its own way. */
const MODES = ['0', '0333', '0444', '1555'];

const CASES: readonly Case[] = [
  ...MODES.map((mode) => ({
    what: `mkdir -m ${mode}, chmod, rmdir`,
    act: `mkdir -m ${mode} a b c; ls -d a b c; rmdir b; chmod 755 c; touch c/in; chmod ${mode} c`,
  })),
  ...MODES.map((mode) => ({
    what: `mkdir -m ${mode} where a name was deleted`,
    lower: 'mkdir a b; touch a/in c',
    act: `rm -r a b c; mkdir -m ${mode} a b c; rmdir b; chmod 755 a; touch a/new`,
  })),
  ...['0500', '1555'].map((mode) => ({
    what: `a lower directory of mode ${mode}: touch, chmod, rmdir`,
    lower: `mkdir a b c; touch c/in; chmod ${mode} a b c`,
    act: `touch -d 2001-01-01 a; chmod 700 b; rmdir b; chmod 755 c; rm c/in; chmod ${mode} c; rmdir c`,
  })),
  ...MODES.map((mode) => ({
    what: `a lower file of mode ${mode}: touch, chmod, mv, ln, rm`,
    lower: `for f in a b c d e; do : > $f; done; chmod ${mode} ?`,
    act: 'touch -d 2001-01-01 a; chmod 640 b; mv c c2; ln d d2; rm -f e; mv a f; chmod u+rw f; echo x >> f',
  })),
  {
    what: 'files in a lower directory of mode 0555 are changed',
    lower: 'mkdir -p a/b; echo x > a/f; echo y > a/b/g; chmod 555 a/b a',
    act: `echo more >> a/f; chmod 600 a/b/g; touch -d 2001-01-01 a/b; cat a/f a/b/g; touch a/new; rm -f a/f; mv a/f a/h
      mkdir a/d`,
  },
  {
    what: 'the other names of a file lie in directories of mode 0555',
    kernelDiffers: 'without an index, which `userxattr` excludes, it parts them at once',
    lower: 'mkdir a b; echo x > a/f; ln a/f b/g; ln a/f h; chmod 555 a b',
    act: 'cat a/f b/g h; echo more >> a/f; cat a/f; chmod 755 a b; rm a/f; cat a/* 2>&1',
  },
  {
    what: 'a directory of mode 0555 is renamed where it lies, and not elsewhere',
    lower: 'mkdir d',
    act: `mkdir -m 555 a; mv a b; mv b d; ls -d b d/b; mkdir c; chmod 555 c; mv -T c b; mkdir -m 755 x; mv x d; ls d`,
  },
  {
    what: 'a directory of mode 0555 is emptied and removed, and takes its name again',
    lower: 'mkdir a; touch a/1 a/2; chmod 555 a',
    act: `rm -rf a; ls a; chmod 755 a; rm a/1; chmod 555 a; ls a; chmod 755 a; rm a/2; chmod 555 a; rmdir a; ls
      mkdir -m 555 a; ls -a a; rmdir a`,
  },
  {
    what: 'a directory of whiteouts and mode 0555 is replaced by another',
    lower: 'mkdir a; touch a/1',
    act: 'rm a/1; chmod 555 a; mkdir b; touch b/2; chmod 555 b; mv -T b a; ls a',
  },
  {
    what: 'a directory that may not be listed holds deleted names',
    lower: 'mkdir a; touch a/1 a/2',
    act: 'rm a/1 a/2; chmod 333 a; ls a; rmdir a; ls',
  },
  {
    what: 'a file is written through a descriptor that is older than its mode',
    lower: 'echo lower > a; echo lower > b',
    act: `exec 5>>a 6>>new; chmod 0 a new; echo one >&5; echo two >&6; exec 5>&- 6>&-
      exec 7<b; chmod 0 b; cat <&7; exec 7>&-; chmod 600 a b new; cat a b new`,
  },
  {
    what: 'a file is made with a mode that forbids writing it, and is written',
    act: `(umask 0777; echo a > a; mkdir d); (umask 0333; echo b > b); cat a b; ls d; chmod 600 a; cat a
      rmdir d; python3 -c "import os; fd = os.open('c', os.O_CREAT | os.O_WRONLY, 0); os.write(fd, b'c'); os.ftruncate(fd, 9)"`,
  },
  {
    what: 'a file is made so in place of a deleted one',
    lower: 'touch a b c',
    act: `rm a b c; (umask 0777; echo a > a); (umask 0333; echo b > b; mkdir c); chmod 600 a; cat a b; rmdir c`,
  },
  {
    what: 'attributes of files and directories that may not be written',
    lower: `touch a; mkdir d; setfattr -n user.x -v lower a d; chmod 444 a; chmod 555 d`,
    act: `setfattr -n user.x -v new a; setfattr -n user.x -v new d; chmod 644 a; chmod 755 d
      setfattr -n user.y -v new a; setfattr -n user.y -v new d; chmod 444 a; chmod 555 d
      for i in a d; do getfattr -n user.x $i; getfattr -n user.y $i; done; setfacl -m u:4321:r a d; getfacl -cn a d`,
  },
  {
    what: 'files whose ACL forbids',
    lower: `echo x > a; echo x > b; mkdir d; setfacl -m u:4321:rw,m::r a; setfacl -m u::r b; setfacl -d -m u::rx,g::- d`,
    act: `echo more >> a; cat a; echo more >> b; chmod u+w b; echo more >> b; touch d/f; mkdir d/e; touch d/e/g; rm d/f
      getfacl -cn a b d d/e; mkdir -m 555 d/h; rmdir d/h`,
  },
  {
    what: 'set-group-id and sticky directories',
    lower: 'mkdir a b; chmod 2555 a; chmod 1777 b; touch b/f; chmod 444 b/f',
    act: `touch -d 2001-01-01 a; chmod 2755 a; touch a/f; mkdir a/d; rm a/f; mkdir -m 555 a/f; mv b/f b/g; rm -f b/g
      mkdir -m 555 b/g; chmod 2555 a; mkdir a/x`,
  },
  {
    what: "Go's module cache is removed once it may be written",
    lower: `mkdir -p m/cache m/x@v1/sub; echo module > m/x@v1/go.mod; echo s > m/x@v1/sub/s.go; chmod 444 m/x@v1/go.mod m/x@v1/sub/s.go
      chmod 555 m/x@v1/sub m/x@v1`,
    act: `rm -rf m/x@v1; ls m; mkdir -p n/y@v1/sub; echo s > n/y@v1/sub/s.go; chmod 444 n/y@v1/sub/s.go; chmod 555 n/y@v1/sub n/y@v1
      rm -rf n; chmod -R u+w m n; rm -rf m n; ls; mkdir -p m/x@v1; touch m/x@v1/go.mod; chmod 555 m/x@v1`,
  },
  {
    what: 'archives of trees that may not be written: tar, cp -a, and again over them',
    kernelDiffers: 'tar(1) takes the owner there, who is uid 0, for root',
    lower: 'mkdir -p t/d/e; echo 1 > t/d/f; echo 2 > t/d/e/g; chmod 444 t/d/f t/d/e/g; chmod 555 t/d/e t/d t',
    act: `tar cf a.tar t; mkdir x; tar xpf a.tar -C x; cp -a t y; tar xpf a.tar -C x --skip-old-files; tar xpf a.tar -C x; cat x/t/d/f y/d/e/g
      chmod -R u+w t x y; rm -rf x t; tar xpf a.tar; cat t/d/e/g; rm a.tar`,
  },
  {
    what: 'a file that may not be read is cut off and written anew',
    lower: 'echo long > a; chmod 200 a',
    act: 'echo b > a; chmod 600 a; cat a',
  },
];

/** What an unprivileged server cannot copy: the owner would have to give himself the right in the lower layer. */
const UNREADABLE = 'echo x > a; echo x > b; chmod 0 a; chmod 200 b';
const DENIED: readonly (Case & { readonly says: string })[] = [
  {
    what: 'a lower file that may not be read gets no other mode',
    lower: UNREADABLE,
    act: 'chmod 600 a b; ls',
    says: "chmod: changing permissions of 'a': Permission denied\nchmod: changing permissions of 'b': Permission denied\na\nb\n",
  },
  {
    what: 'a lower file that may not be read gets no other name, but goes',
    lower: UNREADABLE,
    act: 'mv a c; rm -f b; ls',
    says: "mv: cannot move 'a' to 'c': Permission denied\na\n",
  },
  {
    what: 'a lower directory that may not be listed gets another mode, but shows nothing and stays',
    lower: 'mkdir a; touch a/in; chmod 333 a',
    act: 'chmod 700 a; ls a; touch a/new; rmdir a; ls -d a',
    says: "ls: reading directory 'a': Permission denied\nrmdir: failed to remove 'a': Permission denied\na\n",
  },
  {
    what: 'a lower directory that may not be passed gets another mode, and shows names alone',
    lower: 'mkdir a; touch a/in; chmod 444 a',
    act: 'chmod 700 a; ls a; cat a/in',
    says: 'in\ncat: a/in: Permission denied\n',
  },
];

/** Does all cases below $1, and says what they say and what there is, each after a line of its own. */
const perform = (cases: readonly Case[]): string =>
  cases
    .map(
      ({ act }, index) =>
        `echo "--- ${index}"; (cd $1/${index}; set +eu; ${act}) 2>&1 || :; look $1/${index}`,
    )
    .join('\n');

const prepare = (cases: readonly Case[]): string =>
  cases.map(({ lower = '' }, index) => `mkdir $1/${index}; (cd $1/${index}; umask 022; ${lower})`).join('\n');

const LOOK = `
  export LC_ALL=C
  look() { (set +e +o pipefail; cd $1; echo "--"; { find . -type d -printf '%P/ %m\\n'; find . ! -type d -printf '%P %y %m %n %s\\n'; } 2>&1 | sort); }
  change_times() { find $1 -printf '%P %C@ %m\\n' 2>/dev/null | sort || :; }
`;

describe(SUITE, () => {
  const place = usePlace(SUITE, ['fusermount3', 'getfacl', 'setfattr']);
  let named: readonly [source: string, target: string];
  let outcomes: Readonly<Record<'plain' | 'ours' | 'kernel' | 'again', readonly string[]>>;

  /** A directory of the user's own. */
  function home(name: string): string {
    place.make({ [name]: {} });
    run('chown', [String(USER), place.path(name)]);
    return place.path(name);
  }

  const split = (output: string): readonly string[] =>
    output
      .replaceAll(/^(bash|environment): line \d+: /gm, '')
      .split(/^--- \d+\n/m)
      .slice(1);

  before(() => {
    const passwd = place.path('passwd');
    writeFileSync(passwd, `${readFileSync('/etc/passwd', 'utf8')}ordinary:x:${USER}:${USER}::/:/bin/sh\n`);
    named = [passwd, '/etc/passwd'];
    const all = [...CASES, ...DENIED];
    const functions = `${LOOK} prepare() { ${prepare(all)}\n}; perform() { ${perform(all)}\n}`;
    const plain = asUser(`${functions}; mkdir p; prepare p; perform p`, home('plain'), 'none');
    const ours = asUser(
      `${functions}; mkdir l u m; prepare l; before=$(change_times l); $UNIONFS mount --lower l --upper u m
       perform m; $UNIONFS umount m; [ "$before" = "$(change_times l)" ]; $UNIONFS mount --lower l --upper u m; echo ======
       ${all.map((_, index) => `echo "--- ${index}"; look m/${index}`).join('\n')}
       $UNIONFS umount m; cat .u.unionfs-work/unionfs.log >&2`,
      home('ours'),
      'none',
      { over: [named] },
    );
    const bare = '--securebits +noroot --bounding-set -all --inh-caps -all --ambient-caps -all';
    const kernel = asUser(
      `${functions}; mkdir l u w m; prepare l; mount -t overlay -o userxattr,lowerdir=l,upperdir=u,workdir=w none m
       export -f perform look; setpriv ${bare} bash -c 'perform m'; umount m`,
      home('kernel'),
      'range',
    );
    const [first = '', second = ''] = ours.split('======\n');
    outcomes = { plain: split(plain), ours: split(first), kernel: split(kernel), again: split(second) };
  });

  CASES.forEach(({ what, kernelDiffers }, index) => {
    it(`${what}`, () => {
      const { plain, ours, kernel, again } = outcomes;
      assert.equal(ours[index], plain[index], 'as in a plain directory');
      if (kernelDiffers === undefined) assert.equal(kernel[index], plain[index], 'as on kernel overlayfs');
      assert.equal(again[index], `--\n${ours[index]?.split('--\n').at(-1)}`, 'after a remount');
    });
  });

  DENIED.forEach(({ what, says }, index) => {
    it(`${what}`, () => {
      assert.equal(outcomes.ours[CASES.length + index]?.split('--\n')[0], says);
    });
  });
});
