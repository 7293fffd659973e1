/** Protects who unmounts and goes on at once: layers are let go before the server's threads have ended. */
import { assert } from 'chai';
import { mount } from '../../fs/index.js';
import { usePlace } from '../support/mount/place.js';

const SUITE = 'layers after umount';

describe(SUITE, () => {
  const place = usePlace(SUITE, ['flock']);

  it('are closed and unlocked before the mount counts as ended', async () => {
    const { lowers, upper, work, mountpoint, at } = place.layers('released', {
      lowers: [{ file: 'content' }],
    });
    const mounted = await mount({ lowers, upper, mountpoint });
    const order: string[] = [];
    void mounted.released.then(() => order.push('released'));
    void mounted.ended.then(() => order.push('ended'));
    place.python(`create(path)`, { path: at('new') });
    const locked = (): (number | null)[] =>
      [upper, work].map((path) => place.outcome('flock', ['-n', path, 'true']).status);
    assert.deepEqual(locked(), [1, 1]);
    place.run('umount', [mountpoint]);
    await mounted.released;
    assert.deepEqual(locked(), [0, 0]);
    await mounted.ended;
    assert.deepEqual(order, ['released', 'ended']);
  });
});
