/**
 * Protects the host from the container: one test for each known way out.
 */
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { assert } from 'chai';
import { defaultSpec } from '../../runtime/container/spec/default-spec.js';
import { type Bundle, shell, useBundles } from '../support/container/bundles.js';
import { run } from '../support/run.js';

describe('container: escapes', () => {
  const bundles = useBundles();
  let bundle: Bundle;
  beforeEach(() => {
    bundle = bundles.bundle();
  });

  const change = (process: object): void =>
    bundle.change((spec) => ({ ...spec, process: { ...spec.process, ...process } }));

  /**
   * CVE-2019-5736: the image's entrypoint is a script whose interpreter is /proc/self/exe, the runtime's own program.
   * A library of the image's then runs in it, keeps a descriptor of the program, lets go of it by execve(2), and opens
   * the descriptor for writing. While the supervisor lives the kernel calls the file busy; what outlives it, and
   * changes that need no opening, are stopped by the read-only mount alone.
   */
  describe('the runtime’s program (CVE-2019-5736)', () => {
    const LIBRARY = `
      #include <fcntl.h>
      #include <unistd.h>
      __attribute__((constructor)) static void attack(void) {
        char *arguments[] = {"/overwrite", 0}, *environment[] = {0};
        if (dup2(open("/proc/self/exe", O_RDONLY), 9) == 9) execve("/overwrite", arguments, environment);
      }`;
    const PROGRAM = `
      #include <errno.h>
      #include <fcntl.h>
      #include <stdio.h>
      #include <string.h>
      #include <sys/stat.h>
      #include <unistd.h>
      static void tell(int result) { puts(result < 0 ? strerror(errno) : "done"); }
      int main(void) {
        struct stat old;
        fstat(9, &old);
        printf("%lu\\n", (unsigned long)old.st_ino);
        tell(open("/proc/self/fd/9", O_WRONLY | O_APPEND));
        tell(truncate("/proc/self/fd/9", old.st_size));
        tell(fchmod(9, old.st_mode & 07777));
      }`;

    it('cannot be written through /proc/self/exe', () => {
      const before = statSync(process.execPath);
      bundles.addHostProgram(bundle, process.execPath);
      bundles.compile(LIBRARY, bundle.inRoot('evil.so'), ['-shared', '-fPIC']);
      bundles.compile(PROGRAM, bundle.inRoot('overwrite'), ['-static']);
      run('sh', [
        '-c',
        'printf "#!/proc/self/exe\\n" > "$1" && chmod 755 "$1"',
        'sh',
        bundle.inRoot('entrypoint'),
      ]);
      change({ args: ['/entrypoint'], env: ['LD_PRELOAD=/evil.so'] });
      const { status, stdout, stderr } = bundle.run();
      assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
      const [inode, opened, truncated, moded] = stdout.split('\n');
      assert.equal(inode, String(before.ino), 'the attack reached the program');
      assert.include(['Text file busy', 'Read-only file system'], opened);
      assert.deepEqual([truncated, moded], ['Read-only file system', 'Read-only file system']);
      assert.equal(statSync(process.execPath).ctimeMs, before.ctimeMs);
    });
  });

  it('descriptors of the caller’s do not leak into the container', () => {
    change({ args: shell('ls /proc/self/fd; ls /proc/1/fd') });
    const { stdout } = bundle.pipeline('', 'exec 7</ 11</etc;');
    assert.notMatch(stdout, /\b(7|11)\b/);
    assert.match(stdout, /^0\n1\n2\n3\n/);
  });

  it('a working directory on a descriptor does not lead to the host (CVE-2024-21626)', () => {
    for (const fd of [3, 7, 11, 20, 21, 22]) {
      change({ cwd: `/proc/self/fd/${fd}`, args: ['cat', '../../../etc/hostname'] });
      const { status, stdout, stderr } = bundle.pipeline('', 'exec 7</ 11</etc;');
      assert.deepEqual({ status, stdout }, { status: 125, stdout: '' }, `descriptor ${fd}`);
      assert.match(
        stderr,
        /^tscr run: (cannot enter the working directory|the working directory .* outside)/,
      );
    }
  });

  it('set-user-id programs do not raise privileges under no_new_privs', () => {
    bundles.addHostProgram(bundle, 'id');
    run('chmod', ['4755', bundle.inRoot('bin/id')]);
    const user = { uid: 1000, gid: 1000 };
    change({ user, args: ['id', '-u'] });
    assert.equal(bundle.run().stdout, '1000\n');
    change({ user, args: ['id', '-u'], noNewPrivileges: false });
    assert.equal(bundle.run().stdout, '0\n', 'what the test would see without it');
  });

  it('masked and read-only paths can be neither written nor uncovered', () => {
    const attempts = [
      'echo x > /proc/sysrq-trigger',
      'echo x > /proc/sys/kernel/core_pattern',
      'head -c 1 /proc/kcore | grep .',
      'ls -A /sys/firmware | grep .',
      'ls -A /proc/acpi | grep .',
      'touch /sys/firmware/x',
      'umount /proc/kcore',
      'umount /sys/firmware',
      'mount -o remount,rw /proc/sys',
      'mount -t proc proc /tmp',
      'mount -t sysfs sysfs /tmp',
      'mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk | grep .',
      'echo 1 > /sys/kernel/uevent_seqnum',
      'mkdir /sys/fs/cgroup/memory/x',
    ];
    const script = attempts.map((attempt) => `(${attempt}) >/dev/null 2>&1 && echo '${attempt}'`).join('\n');
    assert.equal(bundle.exec(`${script}\ntrue`).stdout, '');
  });

  it('a read-only root stays so', () => {
    bundle.change((spec) => ({ ...spec, root: { ...spec.root, readonly: true } }));
    assert.equal(bundle.exec('touch /x; mount -o remount,rw /; touch /x').status, 1);
    assert.equal(bundle.exec('touch /dev/shm/x').status, 0);
  });

  it('the host’s processes cannot be seen, and its root cannot be reached by chroot', () => {
    mkdirSync(bundle.inRoot('jail'));
    const { stdout } = bundle.exec(
      'ls /proc/1/root/; ls -d /proc/[0-9]* | wc -l; chroot /jail /x; cd /..; pwd; ls bin/busybox',
    );
    assert.match(stdout, /\n\/\nbin\/busybox\n$/);
  });

  it('the host’s names and sessions are untouched', () => {
    const before = readFileSync('/proc/sys/kernel/hostname', 'utf8');
    const { stdout } = bundle.exec('hostname other 2>/dev/null; hostname; cat /proc/keys | wc -c');
    assert.equal(readFileSync('/proc/sys/kernel/hostname', 'utf8'), before);
    assert.match(stdout, new RegExp(`^${defaultSpec().hostname}\n`));
  });
});
