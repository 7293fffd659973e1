/**
 * Protects the system call filter: with Docker's profile every call gives the same answer as under runc, old ones,
 * refused ones and those that no kernel has yet.
 */
import { assert } from 'chai';
import { compileSeccomp } from '../../runtime/container/process/seccomp.js';
import { DEFAULT_CAPABILITIES } from '../../runtime/container/spec/default-spec.js';
import type { RuntimeSpec } from '../../runtime/container/spec/runtime-spec.js';
import { defaultSeccomp } from '../../runtime/container/spec/seccomp-default.js';
import { type Bundle, type Outcome, useBundles } from '../support/container/bundles.js';

/** Makes every call in a child of its own with useless arguments, and prints how that ended: errno or signal.
 * sync(2) is left out: how long it takes says nothing. */
const PROBE = `
  #include <errno.h>
  #include <signal.h>
  #include <stdio.h>
  #include <sys/syscall.h>
  #include <sys/wait.h>
  #include <unistd.h>
  int main(void) {
    for (long call = 0; call < 600; call++) {
      if (call == SYS_sync) continue;
      fflush(stdout);
      int status;
      pid_t child = fork();
      if (child == 0) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(SIGALRM, &action, 0);
        ualarm(50000, 0);
        _exit(syscall(call, -1, -1, -1, -1, -1, -1) < 0 ? errno : 0);
      }
      waitpid(child, &status, 0);
      printf("%ld %s %d\\n", call, WIFEXITED(status) ? "errno" : "signal",
             WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
  }`;

const ENOSYS = 38;
const EPERM = 1;

describe('container: the system call filter', () => {
  const bundles = useBundles();
  let bundle: Bundle;
  before(() => {
    bundle = bundles.bundle({ linux: { seccomp: defaultSeccomp(DEFAULT_CAPABILITIES) } });
    bundles.compile(PROBE, bundle.inRoot('probe'), ['-static']);
  });

  const answers = ({ status, stdout, stderr }: Outcome): string[] => {
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    return stdout.trimEnd().split('\n');
  };

  const CAPABILITIES: Readonly<Record<string, readonly string[]>> = {
    'Docker’s capabilities': DEFAULT_CAPABILITIES,
    'CAP_SYS_ADMIN and CAP_SYS_PTRACE too': [...DEFAULT_CAPABILITIES, 'CAP_SYS_ADMIN', 'CAP_SYS_PTRACE'],
  };
  for (const [what, capabilities] of Object.entries(CAPABILITIES)) {
    it(`answers every call as under runc: ${what}`, () => {
      bundle.change((spec: RuntimeSpec) => ({
        ...spec,
        process: {
          ...spec.process,
          args: ['/probe'],
          capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
        },
        linux: { ...spec.linux, seccomp: defaultSeccomp(capabilities) },
      }));
      const ours = answers(bundle.run());
      assert.lengthOf(ours, 599);
      assert.deepEqual(ours, answers(bundle.runc()));
    });
  }

  it('refuses with EPERM what is refused, and with ENOSYS what is newer than the profile', () => {
    const ours = new Set(answers(bundle.run()));
    const refused =
      process.arch === 'arm64' ? { keyctl: 219, kexec_load: 104 } : { keyctl: 250, kexec_load: 246 };
    for (const [name, call] of Object.entries(refused)) assert.include(ours, `${call} errno ${EPERM}`, name);
    assert.include(ours, `599 errno ${ENOSYS}`);
  });

  it('stops programs that would leave their namespaces', () => {
    bundle.change((spec) => ({
      ...spec,
      linux: { ...spec.linux, seccomp: defaultSeccomp(DEFAULT_CAPABILITIES) },
    }));
    for (const command of [
      'unshare -r true',
      'unshare -m true',
      'mount -t tmpfs tmpfs /tmp',
      'nsenter -t 1 -n true',
    ])
      assert.notEqual(bundle.exec(`${command} 2>/dev/null`).status, 0, command);
  });

  it('can be loaded with and without no_new_privs', () => {
    for (const noNewPrivileges of [true, false]) {
      bundle.change((spec) => ({ ...spec, process: { ...spec.process, noNewPrivileges } }));
      assert.equal(bundle.output('grep Seccomp: /proc/self/status'), 'Seccomp:\t2');
    }
  });

  it('refuses by name what it cannot express', () => {
    const spec = defaultSeccomp([]);
    assert.throws(() => compileSeccomp({ ...spec, defaultAction: 'SCMP_ACT_NOTIFY' }), /"SCMP_ACT_NOTIFY"/);
    assert.throws(() => compileSeccomp({ ...spec, architectures: ['SCMP_ARCH_PDP11'] }), /"SCMP_ARCH_PDP11"/);
    assert.throws(() => compileSeccomp({ ...spec, flags: ['X'] }), /"X"/);
  });
});
