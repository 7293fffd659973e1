/**
 * Protects whatever comes behind a document: JSON from outside gives a value of its type, or one error that names the
 * document and the field. Never another error, whatever the bytes are.
 */
import { assert } from 'chai';
import fc from 'fast-check';
import { INSPECTION } from '../../../cli/unionfs/mounts.js';
import {
  checkDocument,
  DocumentError,
  MAX_DEPTH,
  MAX_DOCUMENT_BYTES,
  parseDocument,
  parseJson,
} from '../../../fs/input/document.js';
import { MAX_ENTRIES, type Schema } from '../../../fs/input/schema.js';
import { RECORDED } from '../../../fs/union/layers/stack.js';
import { LOCK_OWNER } from '../../../runtime/container/records/container-lock.js';
import { EXIT_RECORD } from '../../../runtime/container/records/containers.js';
import { CONTAINER_RECORD } from '../../../runtime/container/records/record.js';
import {
  artifactTypeOf,
  parseAnyManifest,
  parseConfig,
  parseIndex,
  parseManifest,
} from '../../../runtime/image/manifest.js';
import {
  ARCHIVE_MANIFEST,
  CONFIG,
  INDEX,
  LAYER_SIZE,
  MANIFEST,
  MAX_LAYERS,
  OCI_LAYOUT,
} from '../../../runtime/image/oci.js';

const HEX = 'a'.repeat(64);
const DIGEST = `sha256:${HEX}`;
const DESCRIPTOR = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: DIGEST, size: 1 };
const LAYER = { ...DESCRIPTOR, mediaType: 'application/vnd.oci.image.layer.v1.tar' };

/** Each schema with a document that has all its fields. */
const SCHEMAS: Readonly<Record<string, readonly [schema: Schema<unknown>, whole: unknown]>> = {
  config: [
    CONFIG,
    {
      created: '2020-01-01T00:00:00Z',
      author: 'a',
      architecture: 'amd64',
      os: 'linux',
      variant: 'v8',
      config: {
        User: '0:0',
        ExposedPorts: { '80/tcp': {} },
        Env: ['A=1'],
        Entrypoint: ['e'],
        Cmd: ['c'],
        Volumes: { '/v': {} },
        WorkingDir: '/',
        Labels: { l: '1' },
        StopSignal: 'SIGTERM',
        StopTimeout: 1,
        ArgsEscaped: true,
        Healthcheck: { Test: ['CMD', 'x'], Interval: 1, Timeout: 1, StartPeriod: 1, Retries: 1 },
        Shell: ['sh'],
        OnBuild: ['RUN x'],
        Hostname: 'h',
        Domainname: 'd',
      },
      rootfs: { type: 'layers', diff_ids: [DIGEST] },
      history: [{ created: 'c', created_by: 'b', author: 'a', comment: 'c', empty_layer: true }],
    },
  ],
  manifest: [
    MANIFEST,
    {
      schemaVersion: 2,
      mediaType: 'm',
      artifactType: 'a',
      config: DESCRIPTOR,
      layers: [LAYER],
      subject: DESCRIPTOR,
      annotations: { a: 'b' },
    },
  ],
  index: [
    INDEX,
    {
      schemaVersion: 2,
      mediaType: 'm',
      artifactType: 'a',
      manifests: [
        {
          ...DESCRIPTOR,
          annotations: { a: 'b' },
          platform: { architecture: 'amd64', os: 'linux', variant: 'v1' },
          artifactType: 'a',
          urls: ['u'],
          data: 'e30=',
        },
      ],
      annotations: { a: 'b' },
    },
  ],
  'manifest.json': [ARCHIVE_MANIFEST, [{ Config: 'c', RepoTags: ['t:1'], Layers: ['l'] }]],
  'oci-layout': [OCI_LAYOUT, { imageLayoutVersion: '1.0.0' }],
  'layer.json': [LAYER_SIZE, { bytes: 1, entries: 1, tar: 1 }],
  'container.json': [
    CONTAINER_RECORD,
    {
      id: HEX,
      name: 'n',
      image: { id: DIGEST, reference: 'r' },
      created: 'c',
      command: ['c'],
      config: {},
      driver: 'unionfs',
      autoRemove: false,
      node: { machine: 'm', boot: 'b' },
      lowers: ['/l'],
      init: '/i',
      upper: '/u',
      work: '/w',
      merged: '/m',
    },
  ],
  'exit.json': [EXIT_RECORD, { exitCode: 1, finished: 'f' }],
  'the state on the node': [LOCK_OWNER, { root: '/r', id: HEX, supervisor: 1, pid: 2 }],
  'unionfs.json': [RECORDED, { lowers: ['/a'], upper: '/u', work: '/w' }],
  'what a mount tells': [
    INSPECTION,
    {
      lowers: ['/a'],
      upper: '/u',
      work: '/w',
      pid: 1,
      settings: { volatile: false, descriptors: 1, layerChanges: 1 },
      whiteoutXattrs: 'trusted.',
      counters: { nodes: 1, watches: 1, copiedUpFiles: 1, copiedUpBytes: 1, requests: { LOOKUP: 1 } },
    },
  ],
};

const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** What a parser says of bytes: undefined if it takes them. Only a typed error may come, with the document's name first. */
function refusal(parse: (bytes: Buffer, what: string) => unknown, bytes: Buffer): string | undefined {
  try {
    parse(bytes, 'DOC');
    return undefined;
  } catch (error) {
    assert.instanceOf(error, DocumentError, (error as Error).stack);
    const { message } = error as Error;
    assert.match(message, /^DOC/);
    assert.notMatch(message, /\p{Cc}/u);
    assert.isBelow(message.length, 1000);
    return message;
  }
}

/** A copy with one place, chosen by `choose`, replaced. */
function mutated(value: unknown, replacement: unknown, choose: () => number): unknown {
  if (typeof value !== 'object' || value === null || choose() < 0.2) return replacement;
  const keys = Object.keys(value);
  const key = keys[Math.floor(choose() * keys.length)];
  if (key === undefined) return replacement;
  const inner = mutated((value as Record<string, unknown>)[key], replacement, choose);
  return Array.isArray(value)
    ? value.map((item, at) => (String(at) === key ? inner : item))
    : { ...value, [key]: inner };
}

describe('documents from outside', () => {
  for (const [name, [schema, whole]] of Object.entries(SCHEMAS)) {
    describe(name, () => {
      const parse = (bytes: Buffer, what: string): unknown => parseDocument(schema, bytes, what);

      it('is taken whole, and keeps every field', () => {
        assert.deepEqual(parse(bytesOf(whole), name), whole);
      });

      it('gives a value or a typed error for any JSON', () => {
        fc.assert(
          fc.property(fc.json(), (text) => void refusal(parse, Buffer.from(text))),
          { numRuns: 200 },
        );
      });

      it('gives a value or a typed error for any bytes', () => {
        fc.assert(fc.property(fc.uint8Array(), (bytes) => void refusal(parse, Buffer.from(bytes))));
      });

      it('gives a value or a typed error wherever any JSON takes the place of a field', () => {
        fc.assert(
          fc.property(
            fc.jsonValue(),
            fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
            (json, stream) => {
              const choose = (): number => stream.next().value as number;
              refusal(parse, bytesOf(mutated(whole, json, choose)));
            },
          ),
          { numRuns: 300 },
        );
      });

      it('names a field of another kind, wherever it is', () => {
        const wrong = Symbol('anything but JSON');
        const visit = (value: unknown, path: readonly string[]): void => {
          for (const [key, inner] of Object.entries(value ?? {})) {
            if (typeof inner === 'object' || Array.isArray(inner)) visit(inner, [...path, key]);
            const replaced = replaceAt(whole, [...path, key], wrong);
            assert.throws(() => checkDocument(schema, replaced, 'DOC'), DocumentError, key, path.join('.'));
          }
        };
        visit(whole, []);
      });
    });
  }

  function replaceAt(value: unknown, [key, ...rest]: readonly string[], replacement: unknown): unknown {
    if (key === undefined) return replacement;
    const inner = replaceAt((value as Record<string, unknown>)[key], rest, replacement);
    return Array.isArray(value)
      ? value.map((item, at) => (String(at) === key ? inner : item))
      : { ...(value as object), [key]: inner };
  }

  describe('bounds', () => {
    const nested = (depth: number, open: string, close: string): Buffer =>
      Buffer.from(`${open.repeat(depth)}0${close.repeat(depth)}`);
    for (const [what, open, close] of [
      ['lists', '[', ']'],
      ['objects', '{"a":', '}'],
      ['a list in a label that is none', '{"config":{"Labels":[', ']}}'],
    ] as const) {
      for (const depth of [MAX_DEPTH + 1, 5000, 100_000]) {
        it(`${depth} levels of ${what}`, () => {
          assert.equal(
            refusal(parseJson, nested(depth, open, close)),
            `DOC is nested deeper than ${MAX_DEPTH} levels`,
          );
        });
      }
    }

    it('brackets in strings are none, and the deepest that is allowed is read', () => {
      const tricky = Buffer.from(`["${'[{'.repeat(100)}\\"${'['.repeat(100)}"]`);
      assert.isUndefined(refusal(parseJson, tricky));
      assert.isUndefined(refusal(parseJson, nested(MAX_DEPTH, '[', ']')));
    });

    it('a document that is too large is not parsed', () => {
      const bytes = Buffer.alloc(MAX_DOCUMENT_BYTES + 1, '[');
      assert.match(refusal(parseJson, bytes) ?? '', /^DOC has 4194305 bytes; the limit is 4194304$/);
    });

    for (const [what, value, says] of [
      [
        'layers',
        { config: DESCRIPTOR, layers: Array(MAX_LAYERS + 1).fill(LAYER) },
        /"layers" must be a list of at most 4096/,
      ],
      [
        'annotations',
        {
          config: DESCRIPTOR,
          annotations: Object.fromEntries(Array.from({ length: MAX_ENTRIES + 1 }, (_, at) => [at, ''])),
        },
        /"annotations" must be an object of at most/,
      ],
    ] as const) {
      it(`too many ${what}`, () => assert.match(refusal(parseManifest, bytesOf(value)) ?? '', says));
    }

    for (const [what, execution] of [
      ['variables', { Env: Array(MAX_ENTRIES + 1).fill('A=1') }],
      ['words', { Cmd: Array(MAX_ENTRIES + 1).fill('a') }],
    ] as const) {
      it(`too many ${what}`, () => {
        const config = { config: execution, rootfs: { diff_ids: [] } };
        assert.isString(refusal(parseConfig, bytesOf(config)));
      });
    }

    it('a list of millions that are wrong costs one complaint', () => {
      const bytes = Buffer.from(`{"config":{"Labels":{"a":[${'1,'.repeat(1_000_000)}1]}},"rootfs":{}}`);
      assert.equal(refusal(parseConfig, bytes), 'DOC: "config.Labels.a" must be a string, not a list');
    });
  });

  describe('values that mean something else to others', () => {
    const config = (execution: unknown, more: object = {}): Buffer =>
      bytesOf({ rootfs: { type: 'layers', diff_ids: [] }, config: execution, ...more });

    for (const [what, bytes, says] of [
      ['a NUL in a variable', config({ Env: ['A=\0'] }), /"config.Env\[0\]" must be a string without NUL/],
      ['a NUL in a word', config({ Cmd: ['a', 'b\0'] }), /"config.Cmd\[1\]" must be a string without NUL/],
      ['a NUL in the user', config({ User: '0\0' }), /"config.User"/],
      ['a NUL in the directory', config({ WorkingDir: '/\0' }), /"config.WorkingDir"/],
      ['a number for a variable', config({ Env: [1] }), /"config.Env\[0\]" must be a string, not 1/],
      [
        'a label that is a list',
        config({ Labels: { a: [] } }),
        /"config.Labels.a" must be a string, not a list/,
      ],
      [
        'a label under a key that controls',
        config({ Labels: { '\x1b[2J': 1 } }),
        /"config.Labels\["\\x1b\[2J"\]" must be/,
      ],
      ['other layers than layers', bytesOf({ rootfs: { type: 'base' } }), /"rootfs.type" must be "layers"/],
      ['no root', bytesOf({}), /"rootfs" is missing/],
      [
        'a short digest',
        bytesOf({ rootfs: { diff_ids: ['sha256:abc'] } }),
        /"rootfs.diff_ids\[0\]" must be a sha256 digest/,
      ],
      ['a long digest', bytesOf({ rootfs: { diff_ids: [`${DIGEST}a`] } }), /must be a sha256 digest/],
      [
        'a digest in capitals',
        bytesOf({ rootfs: { diff_ids: [DIGEST.toUpperCase()] } }),
        /must be a sha256 digest/,
      ],
      [
        'a digest of another algorithm',
        bytesOf({ rootfs: { diff_ids: [`sha512:${HEX}${HEX}`] } }),
        /must be a sha256 digest/,
      ],
      [
        'a digest that is a path',
        bytesOf({ rootfs: { diff_ids: ['sha256:../../etc'] } }),
        /must be a sha256 digest/,
      ],
    ] as const) {
      it(`${what} is refused`, () => assert.match(refusal(parseConfig, bytes) ?? 'taken', says));
    }

    for (const size of ['-1', '1.5', '1e400', '9007199254740993', '"1"', '-0.1']) {
      it(`the size ${size} is refused`, () => {
        const text = JSON.stringify({ config: DESCRIPTOR, layers: [] }).replace('"size":1', `"size":${size}`);
        assert.match(
          refusal(parseManifest, Buffer.from(text)) ?? 'taken',
          /"config.size" must be a number, 0 or more/,
        );
      });
    }

    for (const [what, parse, document, says] of [
      [
        'an index with layers',
        parseIndex,
        { manifests: [], layers: [] },
        /ambiguous: the field "layers" does not belong to an image index/,
      ],
      ['an index with a configuration', parseIndex, { manifests: [], config: DESCRIPTOR }, /ambiguous/],
      [
        'a manifest with manifests',
        parseManifest,
        { config: DESCRIPTOR, layers: [], manifests: [] },
        /ambiguous: the field "manifests" does not belong to an image manifest/,
      ],
      [
        'the same in other letters',
        parseManifest,
        { config: DESCRIPTOR, layers: [], Manifests: [] },
        /ambiguous/,
      ],
      [
        'a manifest with layers of schema 1',
        parseManifest,
        { config: DESCRIPTOR, layers: [], fsLayers: [] },
        /ambiguous/,
      ],
      [
        'a manifest that says it is an index',
        parseManifest,
        { mediaType: 'application/vnd.oci.image.index.v1+json', config: DESCRIPTOR },
        /has the media type ".*", but its descriptor has/,
      ],
      [
        'an index that says it is a manifest',
        parseIndex,
        { mediaType: 'application/vnd.docker.distribution.manifest.v2+json', manifests: [] },
        /has the media type ".*", but its descriptor has/,
      ],
      [
        'schema version 1',
        parseManifest,
        { schemaVersion: 1, config: DESCRIPTOR },
        /has the unsupported schema version 1; supported is 2/,
      ],
    ] as const) {
      it(`${what} is refused`, () => assert.match(refusal(parse, bytesOf(document)) ?? 'taken', says));
    }
  });

  describe("what Go's zero values and docker allow", () => {
    const parsed = (document: unknown) => parseConfig(bytesOf(document), 'DOC');

    it('nulls are nothing, wherever', () => {
      const nothing = {
        created: null,
        author: null,
        architecture: null,
        os: null,
        variant: null,
        history: null,
        rootfs: { type: null, diff_ids: null },
        config: {
          User: null,
          ExposedPorts: null,
          Env: null,
          Entrypoint: null,
          Cmd: null,
          Volumes: null,
          WorkingDir: null,
          Labels: null,
          StopSignal: null,
          Healthcheck: null,
          Shell: null,
          OnBuild: null,
          Unknown: null,
        },
      };
      assert.deepEqual(parsed(nothing), {
        architecture: '',
        os: '',
        rootfs: { type: 'layers', diff_ids: [] },
        config: {},
      });
    });

    it('nulls in lists and maps are their zero values', () => {
      const { config } = parsed({
        rootfs: {},
        config: {
          Env: [null, 'A=1'],
          Labels: { a: null },
          Volumes: { '/v': null },
          ExposedPorts: { '80/tcp': null },
        },
      });
      assert.deepEqual(config, {
        Env: ['', 'A=1'],
        Labels: { a: '' },
        Volumes: { '/v': {} },
        ExposedPorts: { '80/tcp': {} },
      });
    });

    it('a string is a command of one word', () => {
      const { config } = parsed({ rootfs: {}, config: { Cmd: 'a b', Entrypoint: '/e' } });
      assert.deepEqual(config, { Cmd: ['a b'], Entrypoint: ['/e'] });
    });

    it('a manifest without layers, or with null for them', () => {
      for (const layers of [[], null, undefined])
        assert.deepEqual(parseManifest(bytesOf({ config: DESCRIPTOR, layers }), 'DOC').layers, []);
    });

    it("keys are any text: a label's may be what all objects have", () => {
      const labels = '{"__proto__":"p","constructor":"c","toString":"t"}';
      const { config } = parseConfig(Buffer.from(`{"rootfs":{},"config":{"Labels":${labels}}}`), 'DOC');
      assert.equal(JSON.stringify(config?.Labels), labels);
      assert.equal(({} as Record<string, unknown>)['p'], undefined);
    });

    it('of equal names the last counts', () => {
      const text = '{"rootfs":{},"config":{"User":"first"},"config":{"User":"last"}}';
      assert.equal(parseConfig(Buffer.from(text), 'DOC').config?.User, 'last');
    });

    it('unknown fields are kept', () => {
      const { config } = parsed({
        rootfs: {},
        config: { Healthcheck: { Test: ['NONE'], New: 1 }, NewField: [1] },
      });
      assert.deepEqual(config as object, { Healthcheck: { Test: ['NONE'], New: 1 }, NewField: [1] });
    });

    for (const [what, manifest, type] of [
      ['an image', { layers: [LAYER] }, undefined],
      [
        'an image that has another type of artifact beside',
        { artifactType: 'x', layers: [LAYER] },
        undefined,
      ],
      [
        "cosign's signature",
        { layers: [{ ...LAYER, mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json' }] },
        'application/vnd.dev.cosign.simplesigning.v1+json',
      ],
      [
        "BuildKit's attestation",
        { layers: [{ ...LAYER, mediaType: 'application/vnd.in-toto+json' }] },
        'application/vnd.in-toto+json',
      ],
      [
        'a Helm chart',
        { config: { ...DESCRIPTOR, mediaType: 'application/vnd.cncf.helm.config.v1+json' }, layers: [LAYER] },
        'application/vnd.cncf.helm.config.v1+json',
      ],
      [
        'an artifact of OCI 1.1',
        {
          artifactType: 'a/b',
          config: { ...DESCRIPTOR, mediaType: 'application/vnd.oci.empty.v1+json' },
          layers: [],
        },
        'a/b',
      ],
    ] as const) {
      it(`${what} is ${type ?? 'an image'}`, () => {
        const bytes = bytesOf({ schemaVersion: 2, config: DESCRIPTOR, ...manifest });
        assert.equal(artifactTypeOf(parseAnyManifest(bytes, 'DOC')), type);
      });
    }
  });
});
