/**
 * Protects what others have recorded of our archives: the same images give the same bytes, in this version as in those
 * before it. The digests below are of archives that tscr wrote before `ImageSource` and `ImageSink` were cut.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { assert } from 'chai';
import { archive } from '../support/image/archive.js';
import { configOf, dockerArchive, LayoutArchive, named, TYPE } from '../support/image/documents.js';
import { useWorkshop } from '../support/image/workshop.js';

const BASE = archive({ name: 'etc', flag: '5', mode: 0o755 }, { name: 'etc/os', data: 'base' });
const MORE = archive({ name: 'etc/more', data: 'more'.repeat(300) });
/** MORE in gzip, byte by byte: zlib's versions differ. */
const MORE_GZIP = Buffer.from(
  'H4sIAAAAAAAAA0stSdbPzS9KZaAhMDAwMDAzMQHTBgYG6LSRkRmcDRE3NDAzMWVQMKClo2CgtLgksYjBgGK70D03RAAo7kfxKB7Fo3go4IEuL0fBKBgFo2C4AAAKimgwAAwAAA==',
  'base64',
);
const FIXED = { architecture: 'amd64', created: '2023-11-14T22:13:20Z' };

/** Three layers, of which one comes twice, under two names. */
const docker = (): Buffer =>
  dockerArchive([BASE, MORE, BASE], configOf([BASE, MORE, BASE], { Cmd: ['sh'] }, FIXED), {
    RepoTags: ['a:1', 'example.org:5000/x/b:2'],
  });

/** The same base, and a layer that is compressed. */
function layout(): Buffer {
  const made = new LayoutArchive();
  const layers = [made.blob(BASE, TYPE.LAYER), made.blob(MORE_GZIP, `${TYPE.LAYER}+gzip`)];
  const manifest = made.image([BASE, MORE], {
    config: configOf([BASE, MORE], { Env: ['A=1'] }, FIXED),
    manifest: { layers },
    more: named('c:3'),
  });
  return made.tar([manifest]);
}

const SAVED: readonly (readonly [format: string, images: readonly string[], digest: string])[] = [
  ['docker-archive', ['a:1'], 'ca0e3efacddb779af260152327854c11258440e4cc4ab449ea4d61dff2180b6f'],
  ['docker-archive', ['c:3'], '0a1b04e903487e5a5b9d213032886f059a6898bddd48f40f29ff184a18d8bbc6'],
  [
    'docker-archive',
    ['c:3', 'a:1', 'example.org:5000/x/b:2'],
    '9da3f662a0f6515bb3113a348a01237f06a07173cfe3e207f15d86ca1d7cc74e',
  ],
  ['docker-archive', ['a:1', 'c:3'], '55aa37b6feba5d7761a1c1b1b94a8cb144a8c8f2890b80e512a6dd162cd5c2d8'],
  ['oci', ['a:1'], 'ed164796c913c1cf4c8c9c3406c816e2904b6f92d612a8ec6fd871dda1b98315'],
  ['oci', ['c:3'], '3e7f0bad51ca8d2d423019d2a0c727bedbc5784a5ccee91d83e7c0072790c0e7'],
  [
    'oci',
    ['c:3', 'a:1', 'example.org:5000/x/b:2'],
    '866e3c9b9658567723cb2a93f4209d8f8dd105365cdf006a11fe037832284908',
  ],
  ['oci', ['a:1', 'c:3'], '443b5dd4f316c1a0ef8fb1964d26a1a222182ad6a318bb701effbd67ed0b1deb'],
];

describe('saved archives', function () {
  this.timeout(60_000);
  const shop = useWorkshop();
  before(() => {
    shop.write('docker.tar', docker());
    shop.write('layout.tar', layout());
    shop.succeed(['load', '-q', '-i', 'docker.tar']);
    shop.succeed(['load', '-q', '-i', 'layout.tar']);
  });

  for (const [format, images, digest] of SAVED) {
    it(`${images.join(', ')} as ${format}: the bytes are the same as ever`, () => {
      shop.succeed(['save', '--format', format, '-o', 'saved', ...images]);
      const bytes = readFileSync(shop.path('saved'));
      assert.equal(createHash('sha256').update(bytes).digest('hex'), digest);
    });
  }
});
