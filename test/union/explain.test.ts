/**
 * Protects what `explain` says: of every layer, in every form of entry and deletion, what it holds under a name, what part
 * that has in the view, and what covers it where. The oracles are the model of layers (model.ts), and the definition of
 * a merge, read from the top.
 */
import { assert } from 'chai';
import { explain, type LayerExplanation } from '../../fs/union/offline/explain.js';
import { viewOf, walk } from '../../fs/union/offline/view.js';
import type { LayerEntry } from '../../fs/union/rules/merge.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { IS_HOST_ROOT } from '../support/privilege.js';
import { Random } from '../support/random.js';
import { Disk } from '../support/union/disk.js';
import { descend, flattenUpper, type Seen } from '../support/union/model.js';
import {
  build,
  describe as described,
  everyHolding,
  FORMS,
  type Holding,
  situationOf,
} from '../support/union/stacks.js';

const SUITE = 'union/explain';
const SEED = 71;
const DRAWN = 150;
const MERGED = 'p';
const DIRECTORIES = { merged: MERGED, below: 'b', above: 'a' } as const;

type Part = Pick<LayerExplanation, 'entry' | 'role' | 'coveredAt' | 'cover'>;

/** What each layer's part is, for entries without redirects. */
function partsOf(entries: readonly LayerEntry[], at: string): Part[] {
  let cover: Part['cover'];
  let merges = false;
  return entries.map((entry, layer): Part => {
    if (entry.is === 'absent') return { entry, role: 'absent' };
    if (cover !== undefined) return { entry, role: 'covered', coveredAt: at, cover };
    if (entry.is === 'whiteout') {
      cover = { layer, why: 'whiteout' };
      return { entry, role: 'deletes' };
    }
    if (entry.is !== 'directory') {
      cover = { layer, why: merges ? 'covered by a directory' : 'nondirectory' };
      return { entry, role: merges ? 'covered' : 'shown' };
    }
    merges = true;
    if (entry.opaque !== undefined) cover = { layer, why: 'opaque' };
    return { entry, role: 'merged' };
  });
}

const partOf = ({ entry, role, coveredAt, cover }: LayerExplanation): Part => ({
  entry,
  role,
  ...(coveredAt !== undefined && { coveredAt }),
  ...(cover !== undefined && { cover }),
});

const BOTTOM = 2;

/** What a layer holds under a name whose parent it may lack. Nothing lies below the last one, opaque or not. */
const heldIn = ({ parent, forms }: Holding, layer: number): LayerEntry => {
  const lacksParent = layer === 0 ? parent === 'below' : parent === 'above';
  const entry = lacksParent ? FORMS.absent : FORMS[forms[layer] as keyof typeof FORMS];
  return layer === BOTTOM && entry.is === 'directory' ? FORMS.directory : entry;
};

const isRedirected = ({ forms }: Holding): boolean => forms.some((form) => form.includes('redirected'));

// Devices and redirects are the host's root's.
(IS_HOST_ROOT ? describe : (): void => {})(SUITE, () => {
  const random = new Random(SEED);
  const every = everyHolding();
  // `.wh.` names in upper, which only a mount rewrites, are another test's (dot-names.test.ts).
  const held = Array.from({ length: DRAWN }, (_, number) => {
    const holding = random.pick(every);
    return [{ directory: [DIRECTORIES[holding.parent]], name: `n${number}` }, holding] as const;
  });
  const stack = build(...held);
  const seen = flattenUpper(stack.upper, stack.below);
  const disk = new Disk('never');
  let umask = 0;

  before(function () {
    requireConditions(this, SUITE, missingForFiles());
    umask = process.umask(0);
    disk.write(stack.upper, stack.lowers);
  });
  after(() => {
    disk.remove();
    process.umask(umask);
  });

  function withView<T>(use: (union: ReturnType<typeof viewOf>) => T): T {
    const [upper, ...lowers] = disk.layers;
    const union = viewOf({ upper: upper as string, lowers });
    try {
      return use(union);
    } finally {
      union.close();
    }
  }

  it(`${DRAWN} names show what the model shows, and operations on them would find what it says`, () => {
    withView((union) => {
      for (const [place, holding] of held) {
        const path = [...place.directory, place.name];
        const { view, situation } = explain(union, path);
        assert.equal(view.shows, descend(seen, path)?.kind ?? 'nothing', described(holding));
        assert.equal(walk(union, path) !== undefined, view.shows !== 'nothing');
        if (isRedirected(holding)) continue;
        const { upperEmpty: _, ...wanted } = situationOf(stack, place, holding); // rmdir alone asks that
        assert.deepEqual(situation, wanted, described(holding));
      }
    });
  });

  it('each layer has the part that a merge from the top gives it', () => {
    withView((union) => {
      for (const [place, holding] of held) {
        if (isRedirected(holding)) continue;
        const path = [...place.directory, place.name];
        const { layers } = explain(union, path);
        const parts = partsOf(
          [0, 1, 2].map((layer) => heldIn(holding, layer)),
          `/${path.join('/')}`,
        );
        assert.deepEqual(layers.map(partOf), parts, described(holding));
        assert.deepEqual(
          layers.map(({ layer, path: at, isUpper }) => ({ layer, at, isUpper })),
          disk.layers.map((at, layer) => ({ layer, at, isUpper: layer === 0 })),
        );
      }
    });
  });

  it('what lies below is explained by what covers its directories, and redirects are followed', () => {
    withView((union) => {
      for (const [place, holding] of held) {
        const path = [...place.directory, place.name];
        const directory: Seen | undefined = descend(seen, path);
        for (const name of ['common', 'own0', 'own1', 'own2', 'sub']) {
          const { view, layers, situation } = explain(union, [...path, name]);
          const shows = descend(seen, [...path, name])?.kind ?? 'nothing';
          assert.equal(view.shows, shows, `${described(holding)}: ${name}`);
          const contributes = layers.filter(({ role }) => role === 'shown' || role === 'merged');
          assert.equal(contributes.length > 0, shows !== 'nothing');
          if (shows !== 'directory') assert.isAtMost(contributes.length, 1);
          assert.equal(situation !== undefined, directory?.kind === 'directory', described(holding));
          for (const { role, coveredAt } of layers)
            if (role !== 'covered') assert.isUndefined(coveredAt);
            else if (coveredAt !== undefined)
              assert.include([`/${path.join('/')}`, `/${[...path, name].join('/')}`], coveredAt);
        }
      }
    });
  });

  it('the root is merged from all layers', () => {
    withView((union) => {
      const { view, layers, situation } = explain(union, []);
      assert.deepEqual(view, { shows: 'directory', layers: [0, 1, 2] });
      assert.deepEqual(
        layers.map(({ role }) => role),
        ['merged', 'merged', 'merged'],
      );
      assert.isUndefined(situation);
      assert.equal(walk(union, []), union.root);
    });
  });
});
