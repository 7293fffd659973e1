/**
 * Protects images from a power cut: whatever a rename shows in the store was flushed before, after its last write, and the
 * names of blobs and layers are on the disk before the index names them. strace(1) writes down what is called.
 */
import { existsSync, readFileSync } from 'node:fs';
import { assert } from 'chai';
import { useWorkshop } from '../support/image/workshop.js';

const CALLS = 'write,pwrite64,pwritev,copy_file_range,fsync,fdatasync,syncfs,rename,renameat,renameat2';

interface Event {
  readonly call: string;
  /** The file of a descriptor, or source and target of a rename. */
  readonly paths: readonly string[];
}

/** Lines of `strace -f -y`; a call that another thread interrupts takes two lines, of which the first tells all. */
function eventsOf(log: string): Event[] {
  return log.split('\n').flatMap((line): Event[] => {
    const [, call = '', rest = ''] = /^\d+ +(\w+)\((.*)$/.exec(line) ?? [];
    if (call === '') return [];
    if (!call.startsWith('rename')) return [{ call, paths: [/^\d+<([^>]*)>/.exec(rest)?.[1] ?? ''] }];
    const names = [...rest.matchAll(/(?:\w+<([^>]*)>, )?"((?:[^"\\]|\\.)*)"/g)];
    const paths = names.map(([, directory, name = '']) =>
      directory === undefined || name.startsWith('/') ? name : `${directory}/${name}`,
    );
    return [{ call: 'rename', paths }];
  });
}

const FLUSHES = ['fsync', 'fdatasync'];
const isWithin = (path: string, directory: string): boolean =>
  path === directory || path.startsWith(`${directory}/`);

describe('the image store: what is durable when', function () {
  this.timeout(60_000);
  const shop = useWorkshop();
  before(() => shop.layout('app', { one: [{ '/a': 'a' }, { '/b': 'b' }] }));

  /** What a command does to the store, from its start to its end. */
  function trace(store: string, ...args: readonly string[]): Event[] {
    const log = shop.path(`${store}-${args[0]}.strace`);
    const strace = ['-f', '-y', '-qq', '-s', '0', '-e', 'signal=none', '-e', `trace=${CALLS}`, '-o', log];
    const environment = ['env', `TSCR_ROOT=${shop.path(store)}`];
    // "-s 0" would cut names short as well; paths are never cut
    shop.run('strace', [...strace, ...environment, shop.program, ...args]);
    return eventsOf(readFileSync(log, 'utf8'));
  }

  for (const [what, args] of [
    ['load', ['load', '-q', '-i', 'app']],
    ['import', ['import', 'tree.tar', 'tree:1']],
  ] as const) {
    it(`${what}: data before its name, parts before the index`, () => {
      const store = `store-${what}`;
      shop.write('tree/file', 'content');
      shop.run('tar', ['-C', shop.path('tree'), '-cf', shop.path('tree.tar'), '.']);
      const events = trace(store, ...args.map((arg) => (/app|tree.tar/.test(arg) ? shop.path(arg) : arg)));
      const root = shop.path(store);
      const shown = events.flatMap(({ call, paths: [from = '', to = ''] }, at) =>
        call === 'rename' && isWithin(to, root) && !isWithin(to, `${root}/tmp`) ? [{ from, to, at }] : [],
      );
      const targets = shown.map(({ to }) => to.slice(root.length + 1));
      for (const part of ['layers/', 'blobs/sha256/', 'index.json'])
        assert.isTrue(
          targets.some((target) => target.startsWith(part)),
          `${part} of ${targets.join(' ')}`,
        );

      for (const { from, to, at } of shown) {
        const before = events.slice(0, at);
        const written = before.findLastIndex(
          ({ call, paths: [path = ''] }) => /write|copy/.test(call) && isWithin(path, from),
        );
        const flushed = before.findLastIndex(
          ({ call, paths: [path = ''] }) => call === 'syncfs' || (FLUSHES.includes(call) && path === from),
        );
        assert.isAtLeast(flushed, 0, `"${to}" is shown without a flush`);
        assert.isAbove(flushed, written, `"${to}" is written after its flush`);
      }

      // A new store begins with an empty index.
      const index = shown.findLast(({ to }) => to.endsWith('/index.json'))?.at ?? assert.fail('no index');
      for (const directory of ['layers', 'blobs/sha256']) {
        const last = shown.filter(({ to }) => to.startsWith(`${root}/${directory}/`)).at(-1)?.at ?? -1;
        const named = events.findIndex(
          ({ call, paths: [path] }, at) =>
            at > last && FLUSHES.includes(call) && path === `${root}/${directory}`,
        );
        assert.isAbove(named, last, `the names in ${directory} are flushed`);
        assert.isBelow(named, index, `the names in ${directory} are on the disk before the index`);
      }
      const names = events
        .slice(index)
        .some(({ call, paths: [path] }) => FLUSHES.includes(call) && path === root);
      assert.isTrue(names, 'the name of the index is flushed');
      assert.isTrue(existsSync(`${root}/index.json`));
    });
  }
});
