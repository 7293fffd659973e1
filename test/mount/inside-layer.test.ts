/**
 * Protects mountpoints that lie in a layer, as with `--lower /`: the union mounts there as overlayfs does, shows what the
 * mountpoint covers and never itself, and no request waits for the server that serves it.
 */
import { join } from 'node:path';
import { assert } from 'chai';
import { withKernel } from '../support/acceptance/mount.js';
import { list, type Union, usePlace } from '../support/mount/place.js';
import { IS_HOST_ROOT } from '../support/privilege.js';

const SUITE = 'mountpoints inside a layer';

describe(SUITE, () => {
  const place = usePlace(SUITE);

  /** Mounts within a layer, and lists the mountpoint's own place inside the union. */
  function within(
    name: string,
    layer: 'lower' | 'upper',
  ): { union: Union; mountpoint: string; inner: string } {
    const union = place.layers(name, {
      lowers: [{ 'at/m/covered': 'covered', file: 'lower' }],
      upper: { 'at/m/own': 'own' },
    });
    const base = layer === 'lower' ? (union.lowers[0] ?? '') : union.upper;
    const mountpoint = join(base, 'at/m');
    const command = union.command.with(-1, mountpoint);
    place.succeed(command);
    return { union, mountpoint, inner: join(mountpoint, 'at/m') };
  }

  for (const layer of ['lower', 'upper'] as const) {
    it(`in a ${layer} layer: what the mountpoint covers is shown, and the union not in itself`, () => {
      if (!IS_HOST_ROOT) {
        const union = place.layers(`refused-${layer}`, { lowers: [{ 'at/m': {} }], upper: { 'at/m': {} } });
        const base = layer === 'lower' ? (union.lowers[0] ?? '') : union.upper;
        const told = place.unionfs(union.command.with(-1, join(base, 'at/m')));
        if (told.status === 0) place.umount(join(base, 'at/m'));
        else assert.match(told.stderr, /lies inside the layer/);
        return;
      }
      const { mountpoint, inner } = within(`within-${layer}`, layer);
      assert.deepEqual(list(inner).sort(), ['covered', 'own']);
      assert.deepEqual(place.run('find', [mountpoint, '-mindepth', '1', '-name', 'm']).trim().split('\n'), [
        inner,
      ]);
      // A directory of upper that is a mountpoint cannot be removed (vfs_rmdir).
      if (layer === 'lower') {
        place.run('sh', [
          '-c',
          'echo new >"$1/new"; rm "$1/covered"; rm -r "$2"; mkdir "$2"',
          'sh',
          inner,
          inner,
        ]);
        assert.deepEqual(list(inner), []);
      }
      place.umount(mountpoint);
    });
  }

  it('with the root as the lower layer', () => {
    if (!IS_HOST_ROOT) return; // the test above covers who may not copy mounts
    const union = place.layers('root', { lowers: [{}], upper: {} });
    place.succeed(['mount', '--lower', '/', '--upper', union.upper, union.mountpoint]);
    const shown = place.run('cat', [join(union.mountpoint, 'etc/passwd')]);
    assert.equal(shown, place.run('cat', ['/etc/passwd']));
    const inside = join(union.mountpoint, union.mountpoint);
    assert.deepEqual(list(inside), []);
    place.run('sh', ['-c', 'echo changed >"$1/etc/hostname"', 'sh', union.mountpoint]);
    place.umount(union.mountpoint);
    const layers = { lower: ['/'], upper: union.upper, work: union.work, mountpoint: union.mountpoint };
    assert.equal(
      withKernel(layers, (root) => place.run('cat', [join(root, 'etc/hostname')])),
      'changed\n',
    );
  });
});
