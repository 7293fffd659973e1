/** Protects the choice among an image's variants: what is for this machine, then what names no platform, never another's. */
import { assert } from 'chai';
import { UsageError } from '../../../fs/index.js';
import type { Descriptor, ImageConfig, Platform } from '../../../runtime/image/oci.js';
import { forThisPlatform, HOST, otherPlatform } from '../../../runtime/image/platform.js';

const OTHER = HOST.architecture === 's390x' ? 'riscv64' : 's390x';
const HERE = `linux/${HOST.architecture}`;

const variant = (platform?: Platform): Descriptor => ({
  mediaType: 'm',
  digest: `sha256:${'0'.repeat(64)}`,
  size: 1,
  ...(platform !== undefined && { platform }),
});

const OPEN = variant();
const FITTING = variant({ os: 'linux', architecture: HOST.architecture, variant: 'v9' });
const FOREIGN = variant({ os: 'linux', architecture: OTHER, variant: 'v8' });
const WINDOWS = variant({ os: 'windows', architecture: HOST.architecture });
const EMPTY = variant({ os: '', architecture: '', variant: '' });

describe('platforms of images', () => {
  it('this one is Linux on this machine, in the words of Go', () => {
    assert.equal(HOST.os, 'linux');
    assert.equal(HOST.architecture, { x64: 'amd64', ia32: '386' }[process.arch as string] ?? process.arch);
  });

  const CHOICES: readonly [what: string, variants: readonly Descriptor[], chosen: readonly Descriptor[]][] = [
    ['one for this platform is taken', [FOREIGN, FITTING, WINDOWS], [FITTING]],
    ['one that names none comes after one for this platform', [OPEN, FOREIGN, FITTING], [FITTING, OPEN]],
    ['one that names none is taken if there is no other', [WINDOWS, OPEN], [OPEN]],
  ];
  for (const [what, variants, chosen] of CHOICES)
    it(what, () => assert.deepEqual(forThisPlatform(variants, 'it'), chosen));

  const NOTHING: readonly [variants: readonly Descriptor[], there: string][] = [
    [[], 'nothing'],
    [[FOREIGN, WINDOWS], `linux/${OTHER}/v8, windows/${HOST.architecture}`],
    [[EMPTY, variant({ os: 'a\nb', architecture: 'c' })], ', a\\x0ab/c'],
  ];
  for (const [variants, there] of NOTHING) {
    it(`otherwise the message tells what there is: ${there}`, () =>
      assert.throws(
        () => forThisPlatform(variants, '"it"'),
        UsageError,
        new RegExp(`^"it" has no image for ${HERE}; available: ${there.replaceAll('\\', '\\\\')}$`),
      ));
  }

  const CONFIGS: readonly [config: Partial<ImageConfig>, found: string | undefined][] = [
    [{ os: 'linux', architecture: HOST.architecture }, undefined],
    [{ os: '', architecture: '' }, undefined],
    [{ os: '', architecture: HOST.architecture, variant: 'v2' }, undefined],
    [{ os: '', architecture: OTHER }, `linux/${OTHER}`],
    [{ os: 'linux', architecture: OTHER, variant: 'v7' }, `linux/${OTHER}/v7`],
    [{ os: 'windows', architecture: '' }, `windows/${HOST.architecture}`],
  ];
  for (const [config, found] of CONFIGS) {
    it(`an image with ${JSON.stringify(config)} is ${found ?? 'for this machine'}`, () =>
      assert.equal(
        otherPlatform({ rootfs: { type: 'layers', diff_ids: [] }, os: '', architecture: '', ...config }),
        found && `is for the platform "${found}", and this machine is "${HERE}"`,
      ));
  }
});
