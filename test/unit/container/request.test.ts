/** Protects what a command line and an image mean: variables, users, mounts, the command. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { UsageError } from '../../../fs/index.js';
import { commandOf } from '../../../runtime/container/spec/command.js';
import { environmentOf } from '../../../runtime/container/spec/environment.js';
import { resolveUser } from '../../../runtime/container/spec/users.js';
import { mountsOf } from '../../../runtime/container/spec/volumes.js';

/** The one line that a user sees. */
function refusal(attempt: () => unknown): string {
  try {
    attempt();
  } catch (error) {
    assert.instanceOf(error, UsageError);
    return (error as UsageError).message;
  }
  return assert.fail('it was not refused');
}

describe('container: the command', () => {
  const image = { Entrypoint: ['/entry', '-x'], Cmd: ['serve'] };
  for (const [what, config, request, expected] of [
    ["the image's own", image, { command: [] }, ['/entry', '-x', 'serve']],
    [
      "other arguments for the image's entrypoint",
      image,
      { command: ['a', 'b'] },
      ['/entry', '-x', 'a', 'b'],
    ],
    ['another entrypoint drops the command', image, { entrypoint: 'sh', command: [] }, ['sh']],
    [
      'another entrypoint with arguments',
      image,
      { entrypoint: 'sh', command: ['-c', 'x'] },
      ['sh', '-c', 'x'],
    ],
    ['an empty entrypoint is none', image, { entrypoint: '', command: ['ls'] }, ['ls']],
    ['an image that names neither', {}, { command: ['ls'] }, ['ls']],
  ] as const) {
    it(what, () => assert.deepEqual(commandOf(config, 'image', request), [...expected]));
  }

  it('is asked for where there is none', () => {
    assert.equal(
      refusal(() => commandOf({}, 'tiny', { command: [] })),
      'image "tiny" has no default command; add a command to the arguments',
    );
  });
});

describe('container: the environment', () => {
  let directory = '';
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'tscr-env-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  const request = {
    image: [],
    files: [],
    changes: [],
    hostname: 'h',
    caller: { HERE: 'caller', PATH: 'no' },
  };
  const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

  it('has a path and the name of the host, and nothing of the caller', () => {
    assert.deepEqual(environmentOf(request), [PATH, 'HOSTNAME=h']);
  });

  it("takes the image's, then files, then the command line; a bare name is the caller's or removes", () => {
    const file = join(directory, 'env');
    writeFileSync(file, '\ufeff# comment\n\n  A=file\nB=with spaces and = signs\r\nHERE\nNOWHERE\n');
    const seen = environmentOf({
      ...request,
      image: ['PATH=/image', 'A=image', 'NOWHERE=image', 'C=image'],
      files: [file],
      changes: ['C=line', 'D='],
    });
    assert.deepEqual(seen, [
      'PATH=/image',
      'HOSTNAME=h',
      'A=file',
      'C=line',
      'B=with spaces and = signs',
      'HERE=caller',
      'D=',
    ]);
  });

  it('refuses what is no variable, by name', () => {
    assert.equal(
      refusal(() => environmentOf({ ...request, changes: ['=x'] })),
      'invalid variable "=x": use NAME=VALUE or NAME',
    );
    const file = join(directory, 'wrong');
    writeFileSync(file, 'a name=value\n');
    assert.equal(
      refusal(() => environmentOf({ ...request, files: [file] })),
      `env-file "${file}": invalid variable name "a name": it contains a space`,
    );
    assert.equal(
      refusal(() => environmentOf({ ...request, files: [`${file}.none`] })),
      `cannot read env-file "${file}.none": ENOENT`,
    );
  });
});

describe('container: the user', () => {
  const files = {
    passwd:
      'root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:\nbroken\nnegative:x:-1:0::/:\n1000:x:7:7::/seven:\nalice:x:1000:1001::/home/alice:/bin/bash\n',
    group: 'root:x:0:\nwww:x:33:\nstaff:x:50:alice,web\naudio:x:29:alice\nbad:x:y:alice\n',
  };
  for (const [text, uid, gid, groups, home] of [
    ['', 0, 0, [0], '/root'],
    ['alice', 1000, 1001, [1001, 50, 29], '/home/alice'],
    ['web', 33, 33, [33, 50], '/var/www'],
    ['alice:staff', 1000, 50, [50], '/home/alice'],
    ['33', 33, 33, [33, 50], '/var/www'],
    ['1000', 7, 7, [7], '/seven'],
    ['4242', 4242, 0, [0], '/'],
    ['4242:4343', 4242, 4343, [4343], '/'],
    [':50', 0, 50, [50], '/root'],
  ] as const) {
    it(`"${text}" is ${uid}:${gid}`, () => {
      assert.deepEqual(resolveUser(text, files), { uid, gid, groups: [...groups], home });
    });
  }

  it('has the groups that are added', () => {
    assert.deepEqual(resolveUser('web:www', files, ['audio', '7']).groups, [33, 29, 7]);
  });

  for (const [text, message] of [
    ['nobody', 'user "nobody" is not in the image\'s /etc/passwd'],
    ['negative', 'user "negative" is not in the image\'s /etc/passwd'],
    ['4294967295', 'user "4294967295" is not in the image\'s /etc/passwd'],
    ['alice:wheel', 'group "wheel" is not in the image\'s /etc/group'],
    ['a:b:c', 'invalid user "a:b:c": use USER or USER:GROUP, names or ids'],
  ] as const) {
    it(`"${text}" is refused`, () =>
      assert.equal(
        refusal(() => resolveUser(text, files)),
        message,
      ));
  }
});

describe('container: the mounts', () => {
  const none = { volumes: [], mounts: [], tmpfs: [] };

  it('are in the order of their depth, with the options that docker gives', () => {
    const mounts = mountsOf({
      volumes: ['/usr:/deep/er/../er:ro,Z', '/etc:/deep'],
      mounts: [
        'type=bind,src=/tmp,dst=/t,readonly,bind-propagation=rslave',
        'type=tmpfs,target=/m,tmpfs-size=1m',
      ],
      tmpfs: ['/scratch', '/exec:exec,mode=700'],
    });
    assert.deepEqual(
      mounts.map(({ destination, type, source, options }) => [destination, type, source, options.join()]),
      [
        ['/deep', 'bind', '/etc', 'rbind,rprivate,rnodev'],
        ['/t', 'bind', '/tmp', 'rbind,rnodev,ro,rslave'],
        ['/m', 'tmpfs', 'tmpfs', 'nosuid,nodev,exec,size=1m'],
        ['/scratch', 'tmpfs', 'tmpfs', 'noexec,nosuid,nodev'],
        ['/exec', 'tmpfs', 'tmpfs', 'nosuid,nodev,exec,mode=700'],
        ['/deep/er', 'bind', '/usr', 'rbind,rprivate,rnodev,ro'],
      ],
    );
  });

  it('".." does not lead out: it is resolved as text, from the root', () => {
    const [mount] = mountsOf({ ...none, volumes: ['/etc:/a/../../../b'] });
    assert.equal(mount?.destination, '/b');
  });

  for (const [kind, text, message] of [
    ['volumes', 'name', 'invalid volume "name": use SOURCE:DESTINATION or SOURCE:DESTINATION:OPTIONS'],
    [
      'volumes',
      '/a:/b:ro:x',
      'invalid volume "/a:/b:ro:x": use SOURCE:DESTINATION or SOURCE:DESTINATION:OPTIONS',
    ],
    [
      'volumes',
      'data:/b',
      'invalid volume "data:/b": named volumes are not implemented; use an absolute path, or one that begins with "./"',
    ],
    ['volumes', '/etc:b', 'invalid mount destination "b": use an absolute path'],
    ['volumes', '/etc:/x/..', 'invalid mount destination "/x/..": it is the root directory'],
    ['volumes', '/etc:/b:rx', 'volume "/b": unknown option "rx"'],
    ['mounts', 'type=bind,target=/x', 'invalid mount "type=bind,target=/x": "source" is missing'],
    ['mounts', 'type=bind,source=/etc', 'invalid mount "type=bind,source=/etc": "target" is missing'],
    [
      'mounts',
      'type=npipe,target=/x',
      'invalid mount "type=npipe,target=/x": unknown type "npipe"; use "bind" or "tmpfs"',
    ],
    [
      'mounts',
      'type=bind,source=/none-such,target=/x',
      'mount "type=bind,source=/none-such,target=/x": "/none-such" does not exist',
    ],
    [
      'mounts',
      'type=tmpfs,target=/x,colour=red',
      'mount "type=tmpfs,target=/x,colour=red": unknown key "colour"',
    ],
  ] as const) {
    it(`${kind} "${text}" is refused`, () => {
      assert.equal(
        refusal(() => mountsOf({ ...none, [kind]: [text] })),
        message,
      );
    });
  }

  it('two on one place are refused', () => {
    assert.equal(
      refusal(() => mountsOf({ ...none, volumes: ['/etc:/x'], tmpfs: ['/x'] })),
      'duplicate mount point "/x"',
    );
  });
});
