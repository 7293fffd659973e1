/**
 * Protects the users of a mount from each other: whatever one of them holds open, removes or looks at, the server has
 * descriptors and memory for the others.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { CLI, list, mountAt, usePlace } from '../support/mount/place.js';
import { serverOf, waitUntil } from '../support/mount/processes.js';

const SUITE = 'service/limits';

describe(SUITE, () => {
  const place = usePlace(SUITE, ['prlimit']);

  it('unlinked open files of one user: more than the server may open, and the others go on', async () => {
    const DESCRIPTORS = 200;
    const COUNT = 1000;
    const union = place.layers('descriptors', { lowers: [{ 'd/f': 'lower', 'd/g': 'lower' }] });
    place.run('prlimit', [`--nofile=${DESCRIPTORS}`, CLI, ...union.command]);
    const server = serverOf(union.mountpoint);
    const hog = place.client();
    await hog.run(
      `
      import resource
      resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
      os.chdir(path)
      fds = []
      for number in range(count):
          fds.append(os.open(f'f{number}', os.O_RDWR | os.O_CREAT))
          os.write(fds[-1], b'%d' % number)
          os.unlink(f'f{number}')
      `,
      { path: union.mountpoint, count: COUNT },
    );
    assert.isBelow(readdirSync(`/proc/${server}/fd`).length, DESCRIPTORS);
    for (let index = 0; index < COUNT; index += 50) {
      writeFileSync(union.at(`other${index}`), 'written');
      assert.equal(readFileSync(union.at(`other${index}`), 'latin1'), 'written');
    }
    writeFileSync(union.at('d/f'), 'changed');
    assert.equal(readFileSync(join(union.upper, 'd/f'), 'latin1'), 'changed');
    const wrong = await hog.run(
      `
      result = []
      for number, fd in enumerate(fds):
          os.pwrite(fd, b'!', len(str(number)))
          if os.pread(fd, 10, 0) != b'%d!' % number or os.fstat(fd).st_nlink != 0: result.append(number)
          os.close(fd)
      `,
    );
    assert.deepEqual(wrong, []);
    await hog.end();
    union.umount();
    assert.deepEqual(list(join(union.work, 'work')), []);
  });

  describe('names that are looked at', () => {
    const LIMIT = 500;
    const DIRECTORIES = 20;
    const FILES = 200;
    /** The kernel keeps directories above what it knows, and is asked again after some more. */
    const AT_MOST = 2 * LIMIT;
    const CAN_PRUNE =
      Number(
        release()
          .split('.')
          .slice(0, 2)
          .map((part) => part.padStart(3, '0'))
          .join(''),
      ) >= 6018;

    /** A server that remembers fewer nodes than a default one does. */
    const SERVER = `
      import { mount } from ${JSON.stringify(new URL('../../fs/index.js', import.meta.url).href)};
      const [lower, mountpoint, nodes] = process.argv.slice(2);
      const mounted = await mount({ lowers: [lower], mountpoint, nodes: Number(nodes) });
      console.log('ready');
      await mounted.ended;
    `;

    it('are forgotten above a bound; what is open, a working directory, or a mountpoint stays', async () => {
      const union = place.layers('names', {
        lowers: [{ 'kept/file': 'kept', 'kept/mounted': {} }],
        upper: false,
      });
      const [lower = ''] = union.lowers;
      place.python(
        `
        for directory in range(directories):
            os.mkdir(f'{lower}/d{directory}')
            for file in range(files):
                os.close(os.open(f'{lower}/d{directory}/f{file}', os.O_CREAT | os.O_WRONLY))
        `,
        { lower, directories: DIRECTORIES, files: FILES },
      );
      writeFileSync(place.path('server.mjs'), SERVER);
      const words = [place.path('server.mjs'), lower, union.mountpoint, String(LIMIT)];
      const server = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
      await once(server.stdout, 'data');
      const nodes = (): number => {
        const told = JSON.parse(place.succeed(['inspect', '--json', union.mountpoint]));
        return told.counters.nodes as number;
      };
      const client = place.client();
      await client.run(
        `
        os.chdir(path + '/kept')
        file = open('file')
        `,
        { path: union.mountpoint },
      );
      place.run('mount', ['-t', 'tmpfs', 'tmpfs', union.at('kept/mounted')]);
      place.run('mount', ['--bind', '/dev/null', union.at('kept/file')]);
      for (let round = 0; round < 2; round++) {
        place.run('find', [union.mountpoint, '-size', '+1000000']);
        const settled = (): boolean => {
          place.run('find', [union.at(`d${round}`), '-size', '+1000000']); // it is asked as more is looked at
          return nodes() < AT_MOST;
        };
        if (CAN_PRUNE) waitUntil('the kernel has forgotten', settled);
      }
      assert.equal(mountAt(union.at('kept/mounted'))?.type, 'tmpfs');
      assert.isDefined(mountAt(union.at('kept/file')), 'a mount on a file');
      const seen = await client.run(`result = [os.getcwd(), file.read(), sorted(os.listdir('.'))]`);
      assert.deepEqual(seen, [union.at('kept'), 'kept', ['file', 'mounted']]);
      assert.equal(place.run('find', [union.at('d7'), '-type', 'f']).split('\n').length, FILES + 1);
      for (const path of ['kept/file', 'kept/mounted']) place.run('umount', [union.at(path)]);
      await client.end();
      const ended = once(server, 'exit');
      place.run('umount', [union.mountpoint]);
      await ended;
    });
  });
});
