/**
 * Protects whoever loads and runs images of others: what an image's documents say is refused with the document and the
 * field, or does what docker does with it, and nothing of it reaches the caller's environment, files or terminal.
 */
import { readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { assert } from 'chai';
import { UsageError } from '../../fs/index.js';
import { HOST } from '../../runtime/image/platform.js';
import { Store } from '../../runtime/image/store/store.js';
import { loadPath, loadStream } from '../../runtime/image/transfer/load.js';
import { digestOf } from '../../runtime/image/verify.js';
import { Tscr } from '../support/container/tscr.js';
import {
  configOf,
  dockerArchive,
  type Json,
  LayoutArchive,
  named,
  SMALL_LAYER,
  shellLayer,
  TYPE,
} from '../support/image/documents.js';
import { useScratch } from '../support/image/scratch.js';
import { usePlace } from '../support/mount/place.js';
import { run } from '../support/run.js';

interface Loaded {
  readonly names: readonly string[];
  readonly warnings: readonly string[];
}

/** Loads into a store of its own. */
async function load(root: string, bytes: Buffer): Promise<Loaded> {
  const warnings: string[] = [];
  const options = { onWarning: (message: string) => void warnings.push(message) };
  const loaded = await loadStream(
    Store.open(root),
    Readable.from([bytes], { objectMode: false }),
    options,
    'title',
  );
  return { names: loaded.flatMap(({ names }) => names), warnings };
}

const LAYERS = [SMALL_LAYER];
const OTHER = HOST.architecture === 'amd64' ? 'arm64' : 'amd64';
const layout = (make: (archive: LayoutArchive) => Buffer): Buffer => make(new LayoutArchive());
const NAME = 'docker.io/library/t:1';

describe('images of others, when they are loaded', () => {
  const scratch = useScratch();
  const ATTESTED = { annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } };

  const TAKEN: readonly (readonly [what: string, bytes: () => Buffer, warning?: RegExp])[] = [
    [
      'a configuration without os and architecture',
      () => dockerArchive(LAYERS, configOf(LAYERS, {}, { os: undefined, architecture: undefined })),
    ],
    ['empty ones', () => dockerArchive(LAYERS, configOf(LAYERS, {}, { os: '', architecture: '' }))],
    [
      'nulls in the configuration',
      () =>
        dockerArchive(
          LAYERS,
          configOf(
            LAYERS,
            { Env: null, Cmd: null, Labels: null, Volumes: null, User: null },
            { history: null, created: null },
          ),
        ),
    ],
    ['null for the whole execution', () => dockerArchive(LAYERS, configOf(LAYERS, null))],
    ['no layers', () => dockerArchive([], configOf([]))],
    [
      'no layers, by nulls',
      () =>
        dockerArchive([], configOf([], {}, { rootfs: { type: 'layers', diff_ids: null } }), { Layers: null }),
    ],
    [
      'a history that is longer than the layers',
      () => dockerArchive(LAYERS, configOf(LAYERS, {}, { history: [{}, {}, {}, { empty_layer: true }] })),
    ],
    ['a shorter one', () => dockerArchive(LAYERS, configOf(LAYERS, {}, { history: [] }))],
    [
      'ports, signals and times that are none',
      () =>
        dockerArchive(
          LAYERS,
          configOf(
            LAYERS,
            { ExposedPorts: { 'x/y/z': {}, '-1': {} }, StopSignal: 'SIGBOGUS' },
            { created: 'yesterday' },
          ),
        ),
    ],
    [
      'another architecture',
      () => dockerArchive(LAYERS, configOf(LAYERS, {}, { architecture: OTHER, variant: 'v9' })),
      new RegExp(
        `"t:1" is for the platform "linux/${OTHER}/v9", and this machine is "linux/${HOST.architecture}"$`,
      ),
    ],
    [
      'another system',
      () => dockerArchive(LAYERS, configOf(LAYERS, {}, { os: 'plan9' })),
      /is for the platform "plan9\/\w+", and this machine is "linux\/\w+"$/,
    ],
    ['an image', () => layout((o) => o.tar([o.image(LAYERS, { more: named('t:1') })]))],
    [
      'an image after an artifact',
      () => layout((o) => o.tar([o.artifact('a/sig'), o.image(LAYERS, { more: named('t:1') })])),
      /^skipped, not an image: "sha256:\w+" is "a\/sig"$/,
    ],
    [
      'an image before an artifact that has a name',
      () =>
        layout((o) =>
          o.tar([o.image(LAYERS, { more: named('t:1') }), o.artifact('a/sbom', named('sbom:1'))]),
        ),
      /"docker.io\/library\/sbom:1" is "a\/sbom"$/,
    ],
    [
      "an image beside cosign's signature",
      () =>
        layout((o) => {
          const signature = o.image(LAYERS, {
            layerType: 'application/vnd.dev.cosign.simplesigning.v1+json',
            manifest: { x: 1 },
          });
          return o.tar([signature, o.image(LAYERS, { more: named('t:1') })]);
        }),
      /simplesigning/,
    ],
    [
      'an entry of an unknown type, which is not looked at',
      () =>
        layout((o) =>
          o.tar([
            { mediaType: 'text/x', digest: digestOf('gone'), size: 4 },
            o.image(LAYERS, { more: named('t:1') }),
          ]),
        ),
      /is "text\/x"$/,
    ],
    [
      "an image in an index with BuildKit's attestation before it",
      () =>
        layout((o) => {
          const attestation = o.image(LAYERS, {
            layerType: 'application/vnd.in-toto+json',
            manifest: { x: 1 },
            more: { ...ATTESTED, platform: { os: 'unknown', architecture: 'unknown' } },
          });
          return o.tar([o.index([attestation, o.image(LAYERS, { more: { platform: HOST } })], named('t:1'))]);
        }),
    ],
    [
      'an image without a platform in an index with an artifact before it',
      () => layout((o) => o.tar([o.index([o.artifact('a/sig'), o.image(LAYERS)], named('t:1'))])),
    ],
    [
      'the platform before none',
      () =>
        layout((o) => {
          const other = o.image(LAYERS, { config: configOf(LAYERS, {}, { architecture: OTHER }) });
          return o.tar([o.index([other, o.image(LAYERS, { more: { platform: HOST } })], named('t:1'))]);
        }),
    ],
    [
      'an index of indexes',
      () =>
        layout((o) =>
          o.tar([o.index([o.index([o.image(LAYERS, { more: { platform: HOST } })])], named('t:1'))]),
        ),
    ],
    [
      'layers that are not to be distributed',
      () =>
        layout((o) =>
          o.tar([
            o.image(LAYERS, {
              layerType: `${TYPE.LAYER.replace('layer.v1', 'layer.nondistributable.v1')}`,
              more: named('t:1'),
            }),
          ]),
        ),
    ],
    [
      "docker's foreign layers",
      () =>
        layout((o) =>
          o.tar([
            o.image(LAYERS, {
              layerType: 'application/vnd.docker.image.rootfs.foreign.diff.tar',
              more: named('t:1'),
            }),
          ]),
        ),
    ],
    [
      'descriptors with data and urls',
      () =>
        layout((o) =>
          o.tar([
            o.image(LAYERS, {
              more: { ...named('t:1'), data: 'bm90IHRoaXM=', urls: ['http://127.0.0.1:1/'] },
            }),
          ]),
        ),
    ],
    [
      'annotations that are null',
      () =>
        layout((o) =>
          o.tar({
            schemaVersion: 2,
            annotations: null,
            manifests: [{ ...o.image(LAYERS, { more: named('t:1') }), platform: null, urls: null }],
          }),
        ),
    ],
  ];

  for (const [what, bytes, warning] of TAKEN) {
    it(`${what}: is taken${warning === undefined ? '' : ', with a warning'}`, async () => {
      const { names, warnings } = await load(scratch.fresh('store'), bytes());
      assert.include(names, NAME);
      assert.lengthOf(warnings, warning === undefined ? 0 : 1, warnings.join('; '));
      if (warning !== undefined) assert.match(warnings[0] ?? '', warning);
    });
  }

  const deep = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
  const REFUSED: readonly (readonly [what: string, bytes: () => Buffer, says: RegExp])[] = [
    [
      'artifacts alone',
      () => layout((o) => o.tar([o.artifact('a/sig'), o.artifact('a/sbom', named('s:1'))])),
      /^the layout contains no image, only "sha256:\w+" is "a\/sig"|"a\/sbom"$/,
    ],
    [
      'an image with one layer of another type',
      () =>
        layout((o) => {
          const odd = o.blob('x', 'text/plain');
          const right = o.blob(SMALL_LAYER, TYPE.LAYER);
          return o.tar([o.image([SMALL_LAYER, SMALL_LAYER], { manifest: { layers: [right, odd] } })]);
        }),
      /has a layer of unknown type "text\/plain"/,
    ],
    [
      'a layer that is not to be distributed and not there',
      () =>
        layout((o) => {
          const layer = o.blob('not here', 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', {
            urls: ['https://example.org/\x1b[2J'],
          });
          return o
            .without(layer)
            .tar([o.image([], { config: configOf(LAYERS), manifest: { layers: [layer] } })]);
        }),
      /^the archive does not contain layer "sha256:\w+", which is non-distributable; its source is "https:\/\/example.org\/\\x1b\[2J"$/,
    ],
    [
      'only other platforms',
      () =>
        layout((o) =>
          o.tar([
            o.index(
              [
                o.image(LAYERS, { more: { platform: { os: 'linux', architecture: OTHER } } }),
                o.image(LAYERS, { more: { platform: { os: 'plan9', architecture: '\x1b[2J' } } }),
              ],
              named('t:1'),
            ),
          ]),
        ),
      new RegExp(
        `"docker.io/library/t:1" has no image for linux/${HOST.architecture}; available: linux/${OTHER}, plan9/\\\\x1b\\[2J$`,
      ),
    ],
    [
      'indexes without end',
      () =>
        layout((o) => {
          let inner = o.image(LAYERS, { more: { platform: HOST } });
          for (let depth = 0; depth < 50; depth++) inner = o.index([inner], { platform: HOST });
          return o.tar([inner]);
        }),
      /is nested in more than 8 indexes/,
    ],
    [
      "a size that is not the document's",
      () => layout((o) => o.tar([{ ...o.image(LAYERS), size: 1 }])),
      /is longer than its 1 bytes/,
    ],
    [
      'a manifest given as an index',
      () => layout((o) => o.tar([{ ...o.image(LAYERS), mediaType: TYPE.INDEX }])),
      /^index "sha256:\w+": "manifests" is missing/,
    ],
    [
      'an index given as a manifest',
      () => layout((o) => o.tar([{ ...o.index([o.image(LAYERS)]), mediaType: TYPE.MANIFEST }])),
      /"config" is missing|is ambiguous/,
    ],
    [
      'a document that is both',
      () => layout((o) => o.tar([o.image(LAYERS, { manifest: { manifests: [] } })])),
      /is ambiguous: the field "manifests" does not belong to an image manifest/,
    ],
    [
      'another version of layouts',
      () => layout((o) => o.tar([o.image(LAYERS)], { imageLayoutVersion: '2.0.0\x1b' })),
      /^oci-layout has the unsupported version "2.0.0\\x1b"; supported is 1.0.0$/,
    ],
    [
      'a layout file that is none',
      () => layout((o) => o.tar([o.image(LAYERS)], '[]')),
      /^oci-layout must be an object, not a list$/,
    ],
    [
      'an index that is no list',
      () => layout((o) => o.tar({ manifests: 'x' })),
      /^index.json: "manifests" must be a list, not "x"$/,
    ],
    [
      'a deep index',
      () => layout((o) => o.tar(deep(100_000))),
      /^index.json is nested deeper than 64 levels$/,
    ],
    [
      'a deep configuration',
      () => dockerArchive(LAYERS, deep(100_000)),
      /^configuration "sha256:\w+" is nested deeper than 64 levels$/,
    ],
    [
      'a deep manifest.json',
      () => dockerArchive(LAYERS, '{}', { Config: JSON.parse(`[${deep(70)}]`) as unknown }),
      /^manifest.json is nested deeper/,
    ],
    [
      'a configuration of many megabytes',
      () => dockerArchive(LAYERS, `{"a":"${'x'.repeat(5_000_000)}"}`),
      /^"sha256:\w+" has 5000008 bytes; the limit is 4194304$/,
    ],
    [
      'more layers than diff IDs',
      () => dockerArchive([SMALL_LAYER, SMALL_LAYER], configOf(LAYERS)),
      /has 2 layers, its configuration 1$/,
    ],
    ['fewer', () => dockerArchive([], configOf(LAYERS)), /has 0 layers, its configuration 1$/],
    [
      'a layer named outside of the archive',
      () => dockerArchive(LAYERS, configOf(LAYERS), { Layers: ['../../../etc/passwd'] }),
      /^the archive does not contain "\.\.\/\.\.\/\.\.\/etc\/passwd"$/,
    ],
    [
      'a configuration named outside of it',
      () => dockerArchive(LAYERS, '{}', { Config: '/etc/hostname' }),
      /^the archive does not contain "\/etc\/hostname"$/,
    ],
    [
      'a name of a layer with a NUL',
      () => dockerArchive(LAYERS, '{}', { Layers: ['a\0'] }),
      /^manifest.json: "\[0\].Layers\[0\]" must be a string without NUL/,
    ],
    [
      'a tag that controls',
      () => dockerArchive(LAYERS, configOf(LAYERS), { RepoTags: ['\x1b]0;x\x07'] }),
      /^invalid image name "\\x1b\]0;x\\x07"/,
    ],
    [
      'a tag of a megabyte',
      () => dockerArchive(LAYERS, configOf(LAYERS), { RepoTags: ['a'.repeat(1_000_000)] }),
      /^invalid image name "a{50,}\.\.\.a+": it has more than 255 characters$/,
    ],
    [
      'a NUL in a variable',
      () => dockerArchive(LAYERS, configOf(LAYERS, { Env: ['A=\0'] })),
      /"config.Env\[0\]" must be a string without NUL/,
    ],
    [
      'a label that is a number',
      () => dockerArchive(LAYERS, configOf(LAYERS, { Labels: { a: 1 } })),
      /"config.Labels.a" must be a string, not 1/,
    ],
  ];

  for (const [what, bytes, says] of REFUSED) {
    it(`${what}: is refused, and leaves nothing`, async () => {
      const root = scratch.fresh('store');
      const error = await load(root, bytes()).then(
        () => assert.fail('it was taken'),
        (reason: unknown) => reason as Error,
      );
      assert.instanceOf(error, UsageError, error.stack);
      assert.match(error.message, says);
      assert.notMatch(error.message, /\p{Cc}/u);
      assert.isBelow(error.message.length, 1000);
      const left = ['blobs/sha256', 'layers', 'tmp'].flatMap((name) => readdirSync(`${root}/${name}`));
      assert.deepEqual(left, []);
      const index = JSON.parse(readFileSync(`${root}/index.json`, 'utf8')) as { manifests: unknown };
      assert.deepEqual(index.manifests, []);
    });
  }

  it('a document of a directory has the digest that leads to it, and is not what a link leads to outside', async () => {
    const o = new LayoutArchive();
    const manifest = o.image(LAYERS, { more: named('t:1') });
    const hex = String(manifest['digest']).slice('sha256:'.length);
    for (const [what, damage, says] of [
      ['changed', (path: string) => writeFileSync(path, ' ', { flag: 'a' }), /is longer than its \d+ bytes/],
      ['emptied', (path: string) => writeFileSync(path, ''), /has 0 bytes, not the expected/],
      ['linked', linkOut, /^the archive does not contain/],
    ] as const) {
      const directory = scratch.fresh('layout');
      writeFileSync(`${directory}.tar`, o.tar([manifest]));
      run('tar', ['-xf', `${directory}.tar`, '-C', directory]);
      damage(`${directory}/blobs/sha256/${hex}`);
      const error = await loadPath(Store.open(scratch.fresh('store')), directory).then(
        () => assert.fail(what),
        (reason: unknown) => reason as Error,
      );
      assert.instanceOf(error, UsageError, what);
      assert.match(error.message, says, what);
    }
  });
});

function linkOut(path: string): void {
  renameSync(path, `${path}.outside`);
  const outside = `${dirname(dirname(dirname(path)))}.outside`;
  renameSync(`${path}.outside`, outside);
  symlinkSync(outside, path);
}

const SUITE = 'images of others, when they run';
describe(SUITE, () => {
  const place = usePlace(SUITE);
  let tscr: Tscr;
  let number = 0;

  before(() => {
    process.env['TSCR_TEST_SECRET'] = 'leaked';
    tscr = new Tscr(place.path('store'), place.path('run'));
    delete process.env['TSCR_TEST_SECRET'];
  });

  afterEach(() => assert.deepEqual(tscr.leftovers(), []));

  /** Loads an image, by the path alone, and gives its name. */
  function image(execution: unknown, more: Json = {}, layers = [shellLayer()]): string {
    number += 1;
    const name = `t:${number}`;
    const file = place.path(`${number}.tar`);
    writeFileSync(file, dockerArchive(layers, configOf(layers, execution, more), { RepoTags: [name] }));
    const { status, stderr } = tscr.run(['load', '-q', file]);
    assert.equal(status, 0, stderr);
    return name;
  }

  const runImage = (name: string, ...words: readonly string[]) => tscr.run(['run', '--rm', name, ...words]);

  it("take nothing of the caller's environment: a name alone sets nothing, whatever it is", () => {
    const name = image({ Env: ['TSCR_TEST_SECRET', 'HOME', '', '=x', 'SET=1', 'MANY=a\nb', null] });
    const { stdout, stderr, status } = runImage(name, 'env');
    assert.equal(status, 0, stderr);
    assert.include(stdout, 'SET=1\nMANY=a\nb\n');
    assert.notMatch(stdout, /^=|leaked|TSCR_TEST_SECRET/m);
    const asked = tscr.succeed(['run', '--rm', '-e', 'TSCR_TEST_SECRET', name, 'env']);
    assert.include(asked, 'TSCR_TEST_SECRET=leaked', 'only the user may');
  });

  for (const [what, execution] of [
    ['a string', 'true'],
    ['a list', ['sh', '-c', 'true']],
  ] as const) {
    it(`${what} is a command, and one of the entrypoint`, () => {
      assert.equal(runImage(image({ Cmd: execution })).status, 0);
      assert.equal(runImage(image({ Entrypoint: execution, Cmd: null })).status, 0);
    });
  }

  it('a string is one word, as for docker', () => {
    const { status, stderr } = runImage(image({ Cmd: 'sh -c true' }));
    assert.deepEqual(
      { status, stderr },
      { status: 127, stderr: 'tscr run: "sh -c true" was not found in the container\n' },
    );
  });

  it('no layers are an empty root, which may be written', () => {
    const name = image({ Cmd: ['/nothing'] }, {}, []);
    assert.equal(runImage(name).status, 127);
    const mount = ['run', '--rm', '-v', '/bin/busybox:/x/busybox:ro', name];
    const { stdout, stderr } = tscr.run([
      ...mount,
      '/x/busybox',
      'sh',
      '-c',
      '/x/busybox stat -c %a /; /x/busybox mkdir /new && echo made',
    ]);
    assert.deepEqual({ stdout, stderr }, { stdout: '755\nmade\n', stderr: '' });
    const copy = ['run', '--rm', '--storage-driver', 'copy', '-v', '/bin/busybox:/x/busybox:ro', name];
    assert.equal(tscr.run([...copy, '/x/busybox', 'true']).status, 0);
    assert.equal(tscr.run(['bundle', name, place.path('bundle')]).status, 0);
    assert.equal(tscr.run(['save', '-o', place.path('saved.tar'), name]).status, 0);
    assert.match(tscr.run(['diff', name]).stderr, /^tscr diff: image "t:\d+" has no layers\n$/);
  });

  it('volumes are directories: missing ones are made, inside the root whatever their paths say', () => {
    const entries = [
      { name: 'link', flag: '2', linkName: '/bin' },
      { name: 'out', flag: '2', linkName: '/../../..' },
      { name: 'file', data: 'x' },
      { name: 'there', flag: '5', mode: 0o700 },
    ];
    const outside = place.path('outside');
    const Volumes = {
      '/new/deep': {},
      relative: {},
      '/a/../../../up': {},
      '/link/inside': null,
      [`/out${outside}`]: {},
      '/there': {},
      '/': {},
      '/file': {},
    };
    const name = image(
      { Volumes, Cmd: ['ls', '-d', '/new/deep', '/relative', '/up', '/bin/inside', '/there'] },
      {},
      [shellLayer(...entries)],
    );
    const { stdout, stderr, status } = runImage(name);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, '/bin/inside\n/new/deep\n/relative\n/there\n/up\n');
    assert.match(stderr, /^tscr run: ignoring the image's volume "\/file", which is not a directory: .*\n$/);
    assert.notInclude(readdirSync(place.path()), 'outside');
  });

  it('the directory is inside, made if it is missing, and absolute', () => {
    for (const [WorkingDir, seen] of [
      ['relative/one', '/relative/one'],
      ['/../../up', '/up'],
      ['', '/'],
      ['/bin/../new', '/new'],
    ] as const)
      assert.equal(runImage(image({ WorkingDir }), 'pwd').stdout, `${seen}\n`, WorkingDir);
  });

  it("users are those of the container's files, never the host's", () => {
    const files = [
      { name: 'etc', flag: '5', mode: 0o755 },
      { name: 'etc/passwd', data: 'inner:x:4321:4322::/:/bin/sh\n' },
      { name: 'etc/group', data: 'inners:x:4322:\n' },
    ];
    const layers = [shellLayer(...files)];
    assert.include(
      runImage(image({ User: 'inner' }, {}, layers), 'id').stdout,
      'uid=4321(inner) gid=4322(inners)',
    );
    for (const User of [
      'root',
      'daemon',
      'inner:daemon',
      'inner\n',
      '\x1b[31mx',
      '-1',
      '1:2:3',
      '99999999999',
    ]) {
      const { status, stderr } = runImage(image({ User }, {}, layers), 'id');
      assert.equal(status, 125, User);
      assert.match(stderr, /^tscr run: (invalid user|user|group) \P{Cc}*\n$/u);
    }
  });

  it('another platform is warned about, with both names', () => {
    const layers = [shellLayer()];
    const file = place.path('other.tar');
    writeFileSync(
      file,
      dockerArchive(layers, configOf(layers, {}, { architecture: OTHER }), { RepoTags: ['other:1'] }),
    );
    const loaded = tscr.run(['load', '-q', '-i', file]);
    assert.match(
      loaded.stderr,
      new RegExp(
        `^tscr load: "other:1" is for the platform "linux/${OTHER}", and this machine is "linux/\\w+"\n$`,
      ),
    );
    const { status, stderr } = runImage('other:1', 'true');
    assert.deepEqual(
      [status, stderr],
      [
        0,
        `tscr run: image "other:1" is for the platform "linux/${OTHER}", and this machine is "linux/${HOST.architecture}"\n`,
      ],
    );
  });

  it('the archive is named once', () => {
    assert.match(
      tscr.run(['load', 'a.tar', '-i', 'b.tar']).stderr,
      /^tscr load: conflicting archives "a.tar" and --input "b.tar"; name one\n$/,
    );
    assert.match(
      tscr.run(['load', '/no/such\x1b[2J']).stderr,
      /^tscr load: "\/no\/such\\x1b\[2J" does not exist\n$/,
    );
  });

  it('what they say of themselves reaches the terminal escaped, and programs whole', () => {
    const evil = 'a\x1b[2J\x9b\u202e\nb';
    const name = image(
      { Labels: { [evil]: evil }, Env: [`E=${evil}`], Cmd: [evil] },
      { author: evil, created: evil, history: [{ created_by: evil, comment: evil, created: evil }] },
    );
    const commands = [
      ['history', name],
      ['history', '--no-trunc', name],
      ['history', '--json', name],
      ['history', '--format', '{{.CreatedBy}} {{.Comment}} {{.CreatedAt}}', name],
      ['inspect', name],
      ['inspect', '-f', '{{.Config.Labels}} {{.Config.Env}} {{.Author}} {{json .Config}}', name],
      ['images'],
      ['images', '--format', '{{.CreatedAt}}'],
      ['run', '--name', 'evil', name],
      ['ps', '-a', '--no-trunc'],
      ['ps', '-a', '--json'],
      ['inspect', 'evil'],
      ['rm', 'evil'],
    ];
    for (const words of commands) {
      const { stdout, stderr } = tscr.run(words);
      assert.notMatch(
        stdout.replaceAll('\n', '') + stderr.replaceAll('\n', ''),
        /[\p{Cc}\p{Cf}]/u,
        words.join(' '),
      );
      if (words[0] !== 'run' && words[0] !== 'rm') assert.isNotEmpty(stdout, words.join(' '));
    }
    const [details] = JSON.parse(tscr.succeed(['inspect', name])) as [
      { Config: { Labels: Json; Cmd: string[] } },
    ];
    assert.deepEqual([details.Config.Labels[evil], details.Config.Cmd], [evil, [evil]]);
    assert.lengthOf(tscr.succeed(['history', name]).trimEnd().split('\n'), 2, 'no step is two lines');
  });

  it("what was edited of a store or a bundle is refused by the file's name", () => {
    const name = image({ Cmd: ['true'] });
    assert.equal(tscr.run(['run', '--name', 'edited', name]).status, 0);
    const [id = ''] = tscr.succeed(['ps', '-aq', '--no-trunc']).split('\n');
    const record = place.path('store', 'containers', id, 'container.json');
    const whole = readFileSync(record, 'utf8');
    const deep = `${'['.repeat(100_000)}`;
    for (const [content, says] of [
      [deep, /container.json" is nested deeper than 64 levels/],
      ['{', /container.json" is not valid JSON/],
      [
        whole.replace(/"lowers": \[/, '"lowers": ["relative", '),
        /"lowers\[0\]" must be an absolute path, not "relative"/,
      ],
      [whole.replace('"unionfs"', '"\\u001b[2J"'), /"driver" must be one of .*, not "\\x1b\[2J"/],
    ] as const) {
      writeFileSync(record, content);
      // It is named, and keeps nobody from the rest; its name is not known any more.
      const { stderr, status } = tscr.run(['ps', '-a']);
      assert.equal(status, 0, content.slice(0, 100));
      assert.match(stderr, says);
      assert.match(stderr, /^tscr ps: \P{Cc}*\n$/u);
      assert.equal(tscr.run(['rm', 'edited']).status, 125);
    }
    writeFileSync(record, whole);
    tscr.succeed(['rm', 'edited']);
    writeFileSync(place.path('config.json'), deep);
    const { stderr } = tscr.run(['run', '--bundle', place.path()]);
    assert.match(stderr, /^tscr run: ".*config.json" is nested deeper than 64 levels\n$/);
  });
});
