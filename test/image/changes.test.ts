/** Protects `commit -c` and `import -c`: instructions mean what they mean in a Dockerfile. */
import { assert } from 'chai';
import { applyChanges } from '../../runtime/image/changes.js';
import type { ExecutionConfig } from '../../runtime/image/oci.js';

const CHANGES: readonly [line: string, before: ExecutionConfig, after: ExecutionConfig][] = [
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
  ['STOPSIGNAL SIGINT', {}, { StopSignal: 'SIGINT' }],
];

describe('changes to a configuration', () => {
  for (const [line, before, after] of CHANGES) {
    it(line, () => assert.deepEqual(applyChanges(before, [line]), after));
  }
});
