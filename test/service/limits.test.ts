/**
 * Protects the users of a mount from each other: whatever one of them holds open, removes or looks at, the server has
 * descriptors and memory for the others.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { CLI, list, usePlace } from '../mount/place.js';
import { serverOf } from '../mount/processes.js';

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
});
