/** Records of containers that never ran, of images in a store. */
import { join } from 'node:path';
import type { ContainerRecord } from '../../../runtime/container/records/record.js';
import { thisNode } from '../../../runtime/host/node.js';
import type { Store } from '../../../runtime/image/store/store.js';

/** @param id 64 hexadecimal digits */
export function recordOf(store: Store, reference: string, id: string, name: string): ContainerRecord {
  const image = store.find(reference);
  const at = (part: string): string => join(store.root, 'containers', id, part);
  return {
    id,
    name,
    image: { id: image.id, reference },
    created: '2026-01-01T00:00:00Z',
    command: ['true'],
    config: {},
    driver: 'unionfs',
    autoRemove: false,
    node: thisNode(),
    lowers: image.layers,
    init: at('init'),
    upper: at('diff'),
    work: at('work'),
    merged: at('merged'),
  };
}
