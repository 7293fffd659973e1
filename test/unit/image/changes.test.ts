/** Protects `commit -c` and `import -c`: instructions mean what they mean in a Dockerfile. */
import { assert } from 'chai';
import { UsageError } from '../../../fs/index.js';
import { applyChanges } from '../../../runtime/image/create/changes.js';
import type { ExecutionConfig } from '../../../runtime/image/oci.js';

const CHANGES: readonly [line: string, before: ExecutionConfig, after: ExecutionConfig | string][] = [
  ['CMD ["a", "b c"]', {}, { Cmd: ['a', 'b c'] }],
  ['cmd echo $HOME', {}, { Cmd: ['/bin/sh', '-c', 'echo $HOME'] }],
  ['ENTRYPOINT ["/init"]', { Entrypoint: ['x'] }, { Entrypoint: ['/init'] }],
  ['ENV A=1 B="x y" C=\'z\' D=a\\ b', {}, { Env: ['A=1', 'B=x y', 'C=z', 'D=a b'] }],
  ['ENV A one two', { Env: ['A=0', 'B=1'] }, { Env: ['A=one two', 'B=1'] }],
  ['ENV A==', {}, { Env: ['A=='] }],
  ['LABEL k=v "a b"="c d"', { Labels: { x: 'y' } }, { Labels: { x: 'y', k: 'v', 'a b': 'c d' } }],
  ['EXPOSE 80 53/udp 7-8', {}, { ExposedPorts: { '80/tcp': {}, '53/udp': {}, '7/tcp': {}, '8/tcp': {} } }],
  ['VOLUME ["/a", "/b c"]', {}, { Volumes: { '/a': {}, '/b c': {} } }],
  ['VOLUME /a /b', { Volumes: { '/x': {} } }, { Volumes: { '/x': {}, '/a': {}, '/b': {} } }],
  ['USER 1000:1000', {}, { User: '1000:1000' }],
  ['WORKDIR sub', { WorkingDir: '/srv' }, { WorkingDir: '/srv/sub' }],
  ['WORKDIR /abs/../x', { WorkingDir: '/srv' }, { WorkingDir: '/x' }],
  ['WORKDIR sub', {}, { WorkingDir: '/sub' }],
  ['WORKDIR ../..', { WorkingDir: 'a/b' }, { WorkingDir: '/' }],
  ['  User   root  ', { Cmd: ['x'] }, { Cmd: ['x'], User: 'root' }],
  ['CMD []', {}, { Cmd: [] }],
  ['CMD ["a", 1]', {}, { Cmd: ['/bin/sh', '-c', '["a", 1]'] }],
  ['CMD ["a"', {}, { Cmd: ['/bin/sh', '-c', '["a"'] }],
  ['CMD {"a": 1}', {}, { Cmd: ['/bin/sh', '-c', '{"a": 1}'] }],
  ['ENTRYPOINT exec "$0"', {}, { Entrypoint: ['/bin/sh', '-c', 'exec "$0"'] }],
  ['CMD a\n  b', {}, { Cmd: ['/bin/sh', '-c', 'a\n  b'] }],
  ['ENV A="a\\"b\\\\c\\$d\\e"', {}, { Env: ['A=a"b\\c$d\\e'] }],
  ['ENV A=\'a\\b\'c\\ d"e f"', {}, { Env: ['A=a\\bc de f'] }],
  ['ENV A=1 A=2', { Env: ['B', 'A=0=0', 'C=3'] }, { Env: ['B', 'A=2', 'C=3'] }],
  ['ENV A "b c" d', {}, { Env: ['A=b c d'] }],
  ['ENV A b\nc', {}, { Env: ['A=b\nc'] }],
  ['ENV A=', {}, { Env: ['A='] }],
  ['LABEL a', {}, 'is not NAME=VALUE'],
  ['LABEL a b', {}, { Labels: { a: 'b' } }],
  ['LABEL =b', {}, 'is not NAME=VALUE'],
  ['ENV A=1 B', {}, 'is not NAME=VALUE'],
  ['ENV A=1 =2', {}, 'is not NAME=VALUE'],
  ['EXPOSE 1-1/sctp 65535', {}, { ExposedPorts: { '1/sctp': {}, '65535/tcp': {} } }],
  ['EXPOSE 080', { ExposedPorts: { '1/tcp': {} } }, { ExposedPorts: { '1/tcp': {}, '80/tcp': {} } }],
  ['EXPOSE 65536', {}, 'invalid port "65536"'],
  ['EXPOSE 9-8', {}, 'invalid port "9-8"'],
  ['EXPOSE 1-65536', {}, 'invalid port "1-65536"'],
  ['EXPOSE 1 x', {}, 'invalid port "x"'],
  ['EXPOSE 80/icmp', {}, 'invalid port "80/icmp"'],
  ['EXPOSE x80', {}, 'invalid port "x80"'],
  ['EXPOSE 80x', {}, 'invalid port "80x"'],
  ['EXPOSE 123456', {}, 'invalid port "123456"'],
  ['VOLUME /a "/b c"', {}, { Volumes: { '/a': {}, '/b c': {} } }],
  ['USER', {}, 'instruction "USER" needs an argument'],
  ['USER   ', {}, 'instruction "USER   " needs an argument'],
  ['', {}, 'unsupported instruction ""'],
  ['RUN x', {}, 'unsupported instruction "RUN x"'],
  ['USR x', {}, 'USER'],
  ['toString x', {}, 'unsupported instruction "toString x"'],
  ['STOPSIGNAL SIGINT', {}, { StopSignal: 'SIGINT' }],
];

describe('changes to a configuration', () => {
  for (const [line, before, after] of CHANGES) {
    it(`${JSON.stringify(line)}${typeof after === 'string' ? ` is refused: ${after}` : ''}`, () => {
      if (typeof after === 'string') assert.throws(() => applyChanges(before, [line]), UsageError, after);
      else assert.deepEqual(applyChanges(before, [line]), after);
    });
  }

  it('are made in order, upon each other, and none changes what was there', () => {
    const before: ExecutionConfig = { Env: ['A=0'], Labels: { a: 'b' } };
    const after = applyChanges(before, ['ENV A=1', 'WORKDIR /a', 'WORKDIR b', 'LABEL c=d']);
    assert.deepEqual(after, { Env: ['A=1'], Labels: { a: 'b', c: 'd' }, WorkingDir: '/a/b' });
    assert.deepEqual(before, { Env: ['A=0'], Labels: { a: 'b' } });
    assert.deepEqual(applyChanges(before, []), before);
  });

  it('a message names the whole instruction', () => {
    assert.throws(() => applyChanges({}, ['USER x', 'EXPOSE x']), UsageError, '"EXPOSE x": invalid port "x"');
  });
});
