/** Docker archives written by hand, out of layers that are written by hand (`archive.ts`). */
import { createHash } from 'node:crypto';
import { archive } from './archive.js';

export interface ArchivedLayer {
  /** The uncompressed tar. */
  readonly tar: Buffer;
  /** As the archive has it; the tar itself by default. */
  readonly stored?: Buffer;
}

const hex = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** An archive of one image. @param layers the base first; one that comes twice is stored once */
export function dockerArchive(name: string, layers: readonly ArchivedLayer[]): Buffer {
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      config: { Cmd: ['/bin/sh'] },
      rootfs: { type: 'layers', diff_ids: layers.map(({ tar }) => `sha256:${hex(tar)}`) },
      history: layers.map(() => ({ created_by: 'by hand' })),
    }),
  );
  const files = new Map(layers.map(({ tar, stored = tar }) => [`${hex(tar)}.tar`, stored]));
  const Layers = layers.map(({ tar }) => `${hex(tar)}.tar`);
  const Config = `${hex(config)}.json`;
  const manifest = JSON.stringify([{ Config, RepoTags: [name], Layers }]);
  return archive(
    { name: Config, data: config },
    ...[...files].map(([path, data]) => ({ name: path, data })),
    { name: 'manifest.json', data: manifest },
  );
}
