/**
 * Protects the check of config.json: what cannot be honoured is refused by its name, before anything is started; and
 * the specification that `tscr spec` writes.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import { checkSpec } from '../../runtime/container/check-spec.js';
import { defaultSpec } from '../../runtime/container/default-spec.js';
import { outcome, shell, useBundles } from './bundles.js';

const CLI = fileURLToPath(new URL('../../bin/tscr', import.meta.url));

type Json = Record<string, unknown>;

/** The default specification with one property, by its dotted path, set. */
function withProperty(path: string, value: unknown): Json {
  const spec = structuredClone(defaultSpec()) as unknown as Json;
  const names = path.split('.');
  const last = names.pop() ?? '';
  const parent = names.reduce((object, name) => object[name] as Json, spec);
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return spec;
}

const namespaces = (...types: readonly string[]): object[] => types.map((type) => ({ type }));

describe('container: config.json', () => {
  const bundles = useBundles();

  const REFUSED: readonly [path: string, value: unknown, message: RegExp][] = [
    ['ociVersion', undefined, /"ociVersion" is missing/],
    ['ociVersion', '2.0.0', /version "2.0.0"/],
    ['hooks', { prestart: [{ path: '/bin/true' }] }, /"hooks" is not supported/],
    ['process', undefined, /"process" is missing/],
    ['process.terminal', true, /"process.terminal" is not supported/],
    ['process.args', [], /"process.args" is empty/],
    ['process.args', 'true', /"process.args" is not a list/],
    ['process.args', ['a\0b'], /process.args\[0\]/],
    ['process.cwd', 'relative', /"process.cwd" is "relative"/],
    ['process.env', ['NOVALUE'], /"NOVALUE"/],
    ['process.user.uid', -1, /"process.user.uid" is -1/],
    ['process.apparmorProfile', 'x', /"process.apparmorProfile" is not supported/],
    ['process.selinuxLabel', 'x', /"process.selinuxLabel" is not supported/],
    ['process.capabilities', { bounding: ['CAP_X'] }, /capability "CAP_X"/],
    ['process.rlimits', [{ type: 'RLIMIT_X', soft: 1, hard: 1 }], /limit "RLIMIT_X"/],
    ['process.rlimits', [{ type: 'RLIMIT_CPU', soft: 2, hard: 1 }], /"RLIMIT_CPU": soft/],
    ['root', undefined, /"root" is missing/],
    ['mounts', [{ destination: 'x', type: 'tmpfs' }], /"mounts.destination" is "x"/],
    ['mounts', [{ destination: '/.', type: 'tmpfs' }], /mount on "\/"/],
    ['mounts', [{ destination: '/x', options: ['bind'] }], /"\/x" has no source/],
    ['mounts', [{ destination: '/x', source: '/', options: ['bind', 'huh'] }], /option "huh" of mount "\/x"/],
    [
      'mounts',
      [{ destination: '/x', type: 'tmpfs', uidMappings: [{}, { a: 1 }] }],
      /"uidMappings" of mount "\/x"/,
    ],
    ['linux.namespaces', namespaces('mount', 'pid', 'user'), /type "user" are not supported/],
    ['linux.namespaces', namespaces('mount', 'pid', 'time'), /type "time" are not supported/],
    ['linux.namespaces', namespaces('mount', 'pid', 'pid'), /"pid" twice/],
    ['linux.namespaces', namespaces('pid'), /must have "mount"/],
    ['linux.namespaces', [{ type: 'mount' }, { type: 'pid', path: '/x' }], /joining .* "pid"/],
    ['linux.uidMappings', [{ containerID: 0, hostID: 1, size: 1 }], /"linux.uidMappings" is not supported/],
    ['linux.sysctl', { 'kernel.panic': '1' }, /"kernel.panic" belongs to the host/],
    ['linux.sysctl', { 'net.ipv4/../../kernel.x': '1' }, /belongs to the host/],
    ['linux.rootfsPropagation', 'shared', /"shared"; supported: private/],
    ['linux.maskedPaths', ['x'], /linux.maskedPaths\[0\]/],
    ['linux.seccomp', { syscalls: [] }, /defaultAction/],
  ];
  for (const [path, value, message] of REFUSED) {
    it(`refuses ${path} ${JSON.stringify(value)}`, () => {
      assert.throws(() => checkSpec(withProperty(path, value)), message);
    });
  }

  it('refuses limits, which are not applied, by name', () => {
    checkSpec(defaultSpec());
    const limited = withProperty('linux.resources', { devices: [], memory: { limit: 1 } });
    assert.throws(() => checkSpec(limited), /"linux.resources.memory" is not supported/);
  });

  it('takes what real runc writes', () => {
    const bundle = bundles.bundle();
    outcome('rm', [bundle.at('config.json')]);
    assert.equal(outcome('runc', ['spec', '--bundle', bundle.directory]).status, 0);
    bundle.change((spec) => ({ ...spec, process: { ...spec.process, terminal: false } }));
    assert.equal(bundle.exec('id -u').stdout, '0\n');
  });

  it('`tscr spec` writes one that ours, runc and crun run; never over an old one', () => {
    const bundle = bundles.bundle();
    outcome('rm', [bundle.at('config.json')]);
    const spec = (): object => outcome(CLI, ['spec', '--bundle', bundle.directory]);
    assert.deepEqual(spec(), { status: 0, stdout: '', stderr: '' });
    const written = readFileSync(bundle.at('config.json'), 'utf8');
    assert.deepEqual(JSON.parse(written), defaultSpec());
    const path = bundle.at('config.json');
    assert.deepEqual(spec(), {
      status: 125,
      stdout: '',
      stderr: `spec: "${path}" exists; remove it first\n`,
    });
    assert.equal(readFileSync(path, 'utf8'), written);
    bundle.change((old) => ({ ...old, process: { ...old.process, args: shell('echo hello') } }));
    for (const ran of [bundle.run(), bundle.runc(), bundle.crun()])
      assert.deepEqual(ran, { status: 0, stdout: 'hello\n', stderr: '' });
  });

  it('says what is wrong with the file itself', () => {
    const bundle = bundles.bundle();
    writeFileSync(bundle.at('config.json'), '{');
    assert.equal(bundle.run().stderr, `tscr: "${bundle.at('config.json')}" is not JSON\n`);
    outcome('rm', [bundle.at('config.json')]);
    assert.equal(bundle.run().stderr, `tscr: cannot read "${bundle.at('config.json')}": ENOENT\n`);
  });
});
