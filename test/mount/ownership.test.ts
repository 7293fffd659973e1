/**
 * Protects ownership without privilege. fuse-overlayfs with the same options on the same layers is the oracle for what is
 * shown and for who owns what on disk; a plain directory on the same filesystem, for what an ordinary user's mount that
 * keeps owners in attributes does with them.
 */
import { assert } from 'chai';
import { asUser, USER } from '../support/acceptance/as-user.js';
import { usePlace } from '../support/mount/place.js';
import { IS_HOST_ROOT } from '../support/privilege.js';
import { run } from '../support/run.js';

const SUITE = 'ownership';
/** The first id and the number of ids of a mapping, and an id out of it; a user namespace has no more than 65,536. */
const [FAR, LENGTH, OUTSIDE] = IS_HOST_ROOT ? [110_000, 65_536, 70_000] : [20_000, 30_000, 60_000];
const MAPPING = `:0:1000:1:1:${FAR}:${LENGTH}`;

/** Everything below a directory: owner, mode, type, target. fuse-overlayfs leaves marks in every new directory. */
const SHOW = `show() { (cd "$1" && find . -not -name '.wh*' -printf '%P %U:%G %#m %y %l\\n' | LC_ALL=C sort); }`;

/** Layers with owners in and out of the mapping. */
const LAYERS = `
mkdir -p lower/dir/inner upper merged
for id in 0 1 1000 ${LENGTH} ${OUTSIDE}; do echo x > lower/$id; chown $id:$id lower/$id; done
chmod 4755 lower/1; ln -s 0 lower/link; chown -h 1:1 lower/link
chown 1:0 lower/dir; chmod 775 lower/dir; ${IS_HOST_ROOT ? 'mknod lower/null c 1 3' : 'mkfifo lower/null'}; chown 0:6 lower/null
`;

describe(SUITE, () => {
  const place = usePlace(SUITE, ['fuse-overlayfs', 'setfacl', 'setfattr']);

  function bash(script: string, at = ''): string {
    return run('bash', ['-euo', 'pipefail', '-c', `${SHOW}\n${script}`], { cwd: place.path(at) });
  }

  describe('as root', () => {
    /** Runs a script in the merged directory, once with ours and once with fuse-overlayfs; what both show. */
    function both(
      name: string,
      options: string,
      layers: string,
      script: string,
    ): { ours: string; theirs: string } {
      const mounts = {
        ours: () =>
          void place.succeed(['mount', '--lower', 'lower', '--upper', 'upper', '-o', options, 'merged'], {
            cwd: place.path(`${name}-ours`),
          }),
        theirs: () => {
          bash(
            `mkdir work; fuse-overlayfs -o lowerdir=lower,upperdir=upper,workdir=work,${options} merged`,
            `${name}-theirs`,
          );
        },
      };
      const shown = (who: keyof typeof mounts): string => {
        const at = `${name}-${who}`;
        bash(`mkdir ${at}; cd ${at}; ${layers}`);
        mounts[who]();
        const merged = bash(`cd merged\n${script}\ncd ..; show merged`, at);
        place.detachBelow(place.path(at));
        return `${merged}${bash('show upper', at)}`;
      };
      return { ours: shown('ours'), theirs: shown('theirs') };
    }

    const WRITE = `
      echo more >> 1000; chown 1000:${FAR} ${LENGTH} || true; chmod 600 0
      setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'mkdir mine mine/own; echo x > mine/f; ln -s x mine/l'
    `;
    const OPTIONS: readonly [options: string, script: string][] = [
      [`uidmapping=${MAPPING},gidmapping=${MAPPING}`, `chmod 777 .\n${WRITE}`],
      [`uidmapping=${MAPPING}`, `chmod 777 .\n${WRITE}`],
      ['squash_to_root', ''],
      ['squash_to_uid=7', ''],
      ['squash_to_root,squash_to_gid=7', 'chown 5:5 0'],
      [`squash_to_uid=7,gidmapping=${MAPPING}`, ''],
      ['xattr_permissions=0', `chmod 777 dir\n${WRITE.replaceAll('mine', 'dir/mine')}`],
    ];
    for (const [index, [options, script]] of OPTIONS.entries()) {
      it(`-o ${options} shows and stores what fuse-overlayfs does`, () => {
        const { ours, theirs } = both(`root-${index}`, options, LAYERS, script);
        assert.strictEqual(ours, theirs);
      });
    }

    /** A layer as containers/storage makes it with force_mask. */
    const MARKED = `
      mkdir -p lower/dir upper merged; echo x > lower/file; ln -s file lower/link
      mark() { setfattr -n user.containers.override_stat -v "$1" "$2"; }
      mark 0:0:0755:dir lower; mark 5:6:4711:file lower/file; mark 7:8:1777:dir lower/dir
    `;
    it('layers that say who owns their files are shown as fuse-overlayfs shows them', () => {
      bash(`mkdir marked; cd marked; ${MARKED}
        mkdir theirs; fuse-overlayfs -o lowerdir=lower theirs`);
      const at = place.path('marked');
      place.succeed(['mount', '--lower', 'lower', '-o', 'xattr_permissions=2', 'merged'], { cwd: at });
      const ours = bash('show merged', 'marked');
      assert.strictEqual(ours, bash('show theirs', 'marked'));
      assert.include(ours, 'file 5:6 04711 f');
      place.detachBelow(at);
    });

    it('what the owner of a file says about it counts for root only where the mount asks for it', () => {
      bash(`mkdir planted; cd planted; ${MARKED}`);
      const at = place.path('planted');
      place.succeed(['mount', '--lower', 'lower', 'merged'], { cwd: at });
      // Who is root of a namespace alone gives nobody rights by that.
      const shown = IS_HOST_ROOT ? 'file 0:0 0644 f' : 'file 5:6 04711 f';
      assert.include(bash('show merged', 'planted'), shown);
      place.detachBelow(at);
    });

    it('xattr_permissions=1 keeps owners, modes and devices where root alone can write them', () => {
      bash('mkdir -p privileged/lower privileged/upper privileged/merged; echo x > privileged/lower/file');
      const at = place.path('privileged');
      const mount = ['mount', '--lower', 'lower', '--upper', 'upper', '-o', 'xattr_permissions=1', 'merged'];
      place.succeed(mount, { cwd: at });
      const script =
        'cd merged; chown 5:6 file; chmod 4711 file; mknod null c 1 3; chmod 666 null; cd ..; show merged';
      const merged = bash(script, 'privileged');
      place.umount(place.path('privileged/merged'));
      assert.strictEqual(merged, ' 0:0 0555 d \nfile 5:6 04711 f \nnull 0:0 0666 c \n');
      assert.strictEqual(
        bash('show upper', 'privileged').replace(/^.*\n/, ''),
        'file 0:0 0711 f \nnull 0:0 0600 f \n',
      );
      const value = bash(
        'getfattr --only-values -n security.fuseoverlayfs.override_stat upper/null',
        'privileged',
      );
      assert.strictEqual(value, '0:0:0666:char-1-3');
    });
  });

  describe('as an ordinary user', () => {
    /** What is done to a plain directory by root, and to a union by a user who is root of a namespace. */
    const WORK = `
      umask 022
      mkdir made; chown 9:10 made; chmod 2775 made; touch made/inherits; mkdir made/inner
      chown 5:6 file; chmod 4711 file; chown -h 7:7 link
      mkfifo pipe; chmod 600 pipe; chown 0:5 pipe
      cp -p file copied; chown 33:33 copied; ln copied linked; mv copied moved
      setpriv --reuid 33 --regid 33 --clear-groups sh -c 'ln -s nowhere tmp/link; echo x > tmp/file; mkdir tmp/dir; rm tmp/gone'
      setpriv --reuid 34 --regid 34 --clear-groups sh -c '! rm -f tmp/link 2> /dev/null; ! chmod 777 tmp/file 2> /dev/null'
      rm -r dir; mkdir dir; chown 1:1 dir; chmod 700 dir
      touch suid; chmod 6755 suid; chown 1:1 suid
      touch grown; chmod 6777 grown; setpriv --reuid 33 --regid 33 --clear-groups sh -c 'echo x >> grown'
    `;
    const BEFORE = `mkdir dir tmp; echo x > file; ln -s file link; echo x > dir/f; echo x > tmp/gone; chmod 1777 tmp`;

    function prepared(name: string): string {
      const directory = place.path(name);
      bash(`mkdir -p ${name}/lower ${name}/upper ${name}/merged; cd ${name}/lower; ${BEFORE}
        touch tmp/gone; chown -hR ${USER}:${USER} ${directory}`);
      return directory;
    }

    it('every owner, mode and type is kept, shown, and there again after a remount', () => {
      bash(`mkdir plain; chmod 555 plain; cd plain; ${BEFORE}; chown 33:33 tmp/gone\n${WORK}`);
      const at = prepared('kept');
      const script = `
        ${SHOW}
        mount() { $UNIONFS mount --lower lower --upper upper -o xattr_permissions=2 merged; }
        mount; cd merged; chown 33:33 tmp/gone
        ${WORK}
        cd ..; show merged; umount merged
        sleep 0.2; mount; show merged; umount merged
        find upper \\( -perm /6022 -o -not -user 0 \\) -not -type l -printf 'unsafe %p\\n'
      `;
      const plain = bash('show plain');
      assert.strictEqual(asUser(script, at, 'range'), plain + plain);
    });

    /** Everything that may inherit or change an ACL. */
    const ACLS = `
      umask 027
      mkdir acl; setfacl -d -m u:33:rwx,g:34:r-x,m:rwx,o:r acl; chmod 777 acl; chown 0:34 acl; chmod g+s acl
      touch acl/file; mkdir acl/dir acl/dir/inner; mkdir -m 700 acl/private; touch acl/dir/inner/file; mkfifo acl/pipe
      setpriv --reuid 33 --regid 33 --clear-groups sh -c 'umask 077; mkdir acl/of33; echo x > acl/of33/file'
      rm dir/f; setfacl -d -m u:5:r dir; touch dir/f
      python3 -c 'import os
fd = os.open("acl", os.O_TMPFILE | os.O_RDWR, 0o666)
os.link(f"/proc/self/fd/{fd}", "acl/unnamed", src_dir_fd=fd, follow_symlinks=True)'
      touch changed removed minimal; setfacl -m u:5:rw,g:6:rwx changed removed; chmod 604 changed; setfacl -b removed
      chmod 6755 minimal; setfacl --set u::rw,g::r,o::- minimal
      setfacl -m u:33:- file; cp -p file copied; cp -p copied plain; setfacl -b plain; chmod 640 plain; cp -p plain plain2
      setpriv --reuid 33 --regid 33 --clear-groups sh -c '! cat file 2> /dev/null; cat acl/file; echo x > acl/file'
      chown 34:34 changed
      mkdir bare; setfacl -d -m u::rwx,g::rx,o::- bare; setfacl -k acl/dir/inner; touch bare/file acl/dir/inner/plain
    `;
    const SHOW_ACLS = `acls() { (cd "$1" && find . -not -type l | LC_ALL=C sort | xargs getfacl -n); }`;

    it("ACLs are inherited, changed and kept as by a plain directory and by the kernel's overlay", () => {
      bash(`mkdir acls-plain; chmod 555 acls-plain; cd acls-plain; ${BEFORE}\n${ACLS}`);
      const at = prepared('acls');
      const script = `
        ${SHOW}\n${SHOW_ACLS}
        mount() { $UNIONFS mount --lower lower --upper upper -o xattr_permissions=2 merged; }
        mount; cd merged; ${ACLS}
        cd ..; show merged; acls merged; umount merged
        sleep 0.2; mount; show merged; acls merged; umount merged
        getfacl -Rcs upper
      `;
      const plain = bash(`${SHOW_ACLS}\nshow acls-plain; acls acls-plain`);
      assert.include(plain, 'default:user:33:rwx');
      assert.strictEqual(asUser(script, at, 'range'), plain + plain);
      const overlay = `
        mkdir overlay; mount -t tmpfs none overlay; cd overlay; mkdir lower upper work merged; chmod 555 upper
        (cd lower; ${BEFORE})
        mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none merged; cd merged; ${ACLS}
        cd ..; show merged; acls merged
      `;
      const command = `${SHOW}\n${SHOW_ACLS}\n${overlay}`;
      const args = ['--mount', '--propagation', 'private', 'bash', '-euo', 'pipefail', '-c', command];
      assert.strictEqual(run('unshare', args, { cwd: place.path() }), plain);
    });

    it('what is made again and again in place of a whiteout leaves neither copies nor open files', () => {
      const at = prepared('whiteouts');
      const script = `
        $UNIONFS mount --lower lower --upper upper --workdir work -o xattr_permissions=2 merged
        pid=$($UNIONFS inspect --json merged | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])')
        again() { for time in $(seq 20); do rm -r file dir; touch file; mkdir dir; done; }
        cd merged; again; before=$(ls /proc/$pid/fd | wc -l); again; after=$(ls /proc/$pid/fd | wc -l); cd ..
        test $((after - before)) -lt 10 || echo "$before open files became $after"
        ls work/work; umount merged
      `;
      assert.strictEqual(asUser(script, at, 'range'), '');
    });

    it('nobody becomes root by setting the attribute', () => {
      const at = prepared('planting');
      const script = `
        $UNIONFS mount --lower lower --upper upper -o xattr_permissions=2 merged
        cd merged; touch own; chown 33:33 own
        setpriv --reuid 33 --regid 33 --clear-groups setfattr -n user.containers.override_stat -v 0:0:4755 own
        stat -c '%u:%g %a' own; getfattr -d own; cd ..; umount merged
      `;
      assert.strictEqual(
        asUser(script, at, 'range'),
        '33:33 644\n# file: own\nuser.containers.override_stat="0:0:4755"\n\n',
      );
    });

    it('capabilities are kept without privilege, and go with a write and with chown', () => {
      const at = prepared('capable');
      const script = `
        $UNIONFS mount --lower lower --upper upper -o xattr_permissions=2 merged
        cd merged; for file in kept written chowned; do touch $file; setcap cap_net_raw+ep $file; done
        echo x >> written; chown 1:1 chowned; getcap kept written chowned; cd ..; umount merged
      `;
      assert.strictEqual(asUser(script, at, 'range'), 'kept cap_net_raw=ep\n');
    });

    it('an attribute that is no sense is an error of that file alone', () => {
      const at = prepared('nonsense');
      const script = `
        setfattr -n user.containers.override_stat -v 0:0:0755:dir lower
        setfattr -n user.containers.override_stat -v root:root:0755 lower/file
        $UNIONFS mount --lower lower merged
        stat merged/file 2>&1 | tail -c 19 || true; ls merged | tr '\\n' ' '; umount merged
      `;
      assert.strictEqual(asUser(script, at, 'single'), 'Input/output error\ndir file link tmp ');
    });
  });
});
