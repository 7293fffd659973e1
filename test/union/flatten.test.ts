/** Protects the plain copy of a union: it is what kernel overlayfs shows on the same layers. */
import { closeSync, openSync } from 'node:fs';
import { assert } from 'chai';
import { flatten } from '../../fs/union/offline/flatten.js';
import { viewOf } from '../../fs/union/offline/view.js';
import { withKernel } from '../support/acceptance/mount.js';
import { describeTree, diffTrees } from '../support/acceptance/tree.js';
import { usePlace } from '../support/mount/place.js';
import { IS_HOST_ROOT, MARK } from '../support/privilege.js';

const SUITE = 'flatten: a plain copy of a union';

describe(SUITE, () => {
  const place = usePlace(SUITE);

  it('shows what kernel overlayfs shows: links, holes, owners, xattrs, times, deletions', () => {
    const layers = place.layers('mixed', { lowers: [{}, {}] });
    const work = place.path('mixed', 'kernel-work');
    place.make({ 'mixed/kernel-work': {}, 'mixed/copy': {} });
    place.python(
      `
      os.chdir(f'{root}/lower1')
      for path in ['kept/deep/er', 'opaque', 'gone']:
          os.makedirs(path)
          create(f'{path}/file', path.encode(), 0o4755)
          os.setxattr(f'{path}/file', 'user.test', bytes(range(256)))
      os.link('kept/deep/file', 'kept/second') if os.path.exists('kept/deep/file') else create('kept/first')
      os.link('kept/first', 'kept/deep/another')
      os.link('kept/first', 'hidden name')
      os.symlink('../nowhere', 'kept/symlink')
      os.mkfifo('kept/fifo')
      if devices:
          os.mknod('kept/null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
      with open('sparse', 'wb') as file:
          file.truncate(10 << 20)
          os.pwrite(file.fileno(), b'data', 5 << 20)
      create(b'\\xff\\xfe name')
      os.chown('kept', 1000, 2000)
      os.chdir(f'{root}/lower0')
      os.makedirs('opaque')
      os.setxattr('opaque', mark + 'opaque', b'y')
      os.setxattr('opaque', mark + 'overlay.opaque', b'y')
      create('opaque/new')
      os.mknod('gone', stat.S_IFCHR, 0)
      os.makedirs('kept')
      os.chmod('kept', 0o2750)
      os.utime('kept', ns=(-5 * 10**9 + 7, 5 * 10**18 + 7))
      os.utime('.', ns=(10**18, 10**18))
      `,
      { root: place.path('mixed'), devices: IS_HOST_ROOT, mark: MARK },
    );
    const view = viewOf({ lowers: layers.lowers });
    const to = openSync(place.path('mixed', 'copy'), 'r');
    try {
      flatten(view, to);
    } finally {
      closeSync(to);
      view.close();
    }
    const seen = withKernel({ ...layers, lower: layers.lowers, work }, describeTree);
    const withoutRoot = new Map([...seen].filter(([path]) => path !== '.')); // upper's own
    const copy = new Map([...describeTree(place.path('mixed', 'copy'))].filter(([path]) => path !== '.'));
    assert.deepEqual(diffTrees(withoutRoot, copy), []);
    assert.isAbove(copy.size, 12);
  });
});
