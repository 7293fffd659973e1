/**
 * Protects the promises of `rules/plan.ts`: the view it computes is that of overlayfs, every plan makes the view change
 * exactly as the operation would on a plain directory tree, and a crash after any system call of a plan leaves the
 * old view or the new one.
 *
 * Every combination of what three layers can hold under a name is tried; the oracle is the model beside this file.
 * Crashes need two exceptions, which the kernel has too: until "keep-parent-times" the parent directory may have the
 * time of the change, and a directory of whiteouts that is about to be replaced may have been swapped with an empty
 * one, which has another inode number ("clear-target").
 */
import { assert } from 'chai';
import { type LayerEntry, merge } from '../../../fs/union/rules/merge.js';
import {
  type Operation,
  type Plan,
  plan,
  planRename,
  type RenameMode,
  type Situation,
  STEPS,
  type Step,
  stepsOf,
} from '../../../fs/union/rules/plan.js';
import { Random } from '../../support/random.js';
import { Machine, type Place, pathOf } from '../../support/union/machine.js';
import { descend, flatten, freeze, inode, must, print, type Seen } from '../../support/union/model.js';
import { kindIn, type Outcome, perform, performRename } from '../../support/union/oracle.js';
import {
  ALL_FORMS,
  build,
  describe as described,
  emptyLayer,
  everyHolding,
  FORMS,
  type Form,
  type Holding,
  origin,
  place,
  type Stack,
  situationOf,
  UPPER_FORMS,
} from '../../support/union/stacks.js';

const SEED = 20240607;
const NAME: Place = { directory: ['p'], name: 'n' };
const BESIDE: Place = { directory: ['p'], name: 'm' };
const ELSEWHERE: Place = { directory: ['q'], name: 'm' };
const OPERATIONS: readonly Operation[] = ['read', 'write', 'create', 'mkdir', 'unlink', 'rmdir'];
const MODES: readonly RenameMode[] = ['replace', 'noreplace', 'exchange'];
/** Directories whose times follow the names in them. */
const PARENTS = ['', '/p', '/q'];

// --- carrying a plan out ---------------------------------------------------------------------------------------

/** Runs a plan to its end and checks the view after every system call. */
function check(
  label: () => string,
  stack: Stack,
  plan: Plan,
  expected: Outcome,
  task: Parameters<Machine['run']>[1],
) {
  if ('refused' in plan || 'refused' in expected) {
    assert.deepEqual(
      'refused' in plan ? plan : 'carried out',
      'refused' in expected ? expected : 'carried out',
      label(),
    );
    return undefined;
  }
  const machine = new Machine(stack.upper, stack.below);
  const crashed = (seen: Seen): string => print(seen, PARENTS);
  const [before, after] = [crashed(machine.view()), crashed(expected.view)];
  let reached = before === after;
  const done: Step[] = [];
  for (const step of machine.run(stepsOf(plan), task)) {
    done.push(step);
    const now = crashed(machine.view());
    if (now === after) reached = true;
    else if (now !== before || reached) {
      assert.fail(
        now,
        reached ? after : before,
        `${label()}: a crash after ${done.join(', ')} shows neither view`,
      );
    }
  }
  assert.isTrue(reached, `${label()}: ${stepsOf(plan).join(', ')} changed nothing`);
  if (print(machine.view()) !== print(expected.view)) {
    assert.strictEqual(
      print(machine.view()),
      print(expected.view),
      `${label()}: after ${stepsOf(plan).join(', ')}`,
    );
  }
  if (Object.keys(machine.work).length > 0) assert.fail(`${label()}: something is left in work`);
  return machine;
}

/** What the plan has left under a name: no whiteout that covers nothing, no redirect that an opaque mark annuls. */
function assertNothingIdle(label: () => string, stack: Stack, at: Place): void {
  const left = stack.upper.children[at.directory[0] ?? '']?.children[at.name];
  if (left?.opaque && left.redirect !== undefined)
    assert.fail(`${label()}: ${at.name} is opaque and redirected`);
  if (left?.kind !== 'whiteout' || descend(stack.below, pathOf(at)) !== undefined) return;
  assert.fail(`${label()}: a whiteout is left under ${at.name} that covers nothing`);
}

// --- tests -----------------------------------------------------------------------------------------------------

describe('union/rules: merge', () => {
  /** The entries that a lookup meets from the top down, and the directory each is in; redirects are followed. */
  function entries(forms: readonly Form[]): { entry: LayerEntry; id: string }[] {
    let name = 'n';
    return forms.map((form, layer) => {
      const id = `${name}@${layer}`;
      if (name !== 'n') return { entry: FORMS.directory, id };
      const entry: LayerEntry = FORMS[form];
      if (entry.is === 'directory' && entry.redirect !== undefined) name = origin('n');
      return { entry, id };
    });
  }

  /** Three lower layers that hold `forms`. */
  function flat(forms: readonly Form[]): Seen | undefined {
    const layers = forms.map((form, layer) => {
      const parent = 'p';
      const root = emptyLayer(layer, [parent]);
      const children = must(root.children[parent], parent).children;
      place(children, 'n', form, layer, 'full');
      place(children, origin('n'), 'directory', layer, 'full');
      return freeze(root);
    });
    return descend(flatten(layers.reverse()), pathOf(NAME));
  }

  const combinations = ALL_FORMS.flatMap((a) =>
    ALL_FORMS.flatMap((b) => ALL_FORMS.map((c) => [a, b, c] as const)),
  );

  it('shows what applying the layers one onto the other shows, for every combination', () => {
    for (const forms of combinations) {
      const found = entries(forms);
      const view = merge(found.map(({ entry }) => entry));
      const layers = view.shows === 'nothing' ? [] : view.shows === 'directory' ? view.layers : [view.layer];
      const from = layers.map((layer) => found[layer]?.id);
      const expected = flat(forms);
      assert.deepEqual(
        { shows: view.shows, from },
        { shows: kindIn(expected), from: expected?.from ?? [] },
        forms.join(),
      );
    }
  });

  it('takes no entry below the cover it names, and nothing there matters', () => {
    for (const forms of combinations) {
      const found = entries(forms).map(({ entry }) => entry);
      const { cover } = merge(found);
      const needed = cover === undefined ? found.length : cover.layer + 1;
      const lazy = (function* () {
        yield* found.slice(0, needed);
        if (needed < found.length) throw new Error(`${forms.join()}: an entry below the cover was taken`);
      })();
      assert.deepEqual(merge(lazy), merge(found));
    }
  });

  const COVERS: readonly [string, readonly LayerEntry[], ReturnType<typeof merge>][] = [
    ['nothing anywhere', [FORMS.absent, FORMS.absent], { shows: 'nothing' }],
    [
      'a whiteout',
      [FORMS.absent, FORMS['whiteout device'], FORMS.file],
      { shows: 'nothing', cover: { layer: 1, why: 'whiteout' } },
    ],
    [
      'a file over a directory',
      [FORMS.file, FORMS.directory],
      { shows: 'file', layer: 0, cover: { layer: 0, why: 'nondirectory' } },
    ],
    [
      'a directory over a file',
      [FORMS.directory, FORMS.file, FORMS.directory],
      { shows: 'directory', layers: [0], cover: { layer: 1, why: 'covered by a directory' } },
    ],
    [
      'directories down to an opaque one',
      [FORMS.directory, FORMS.absent, FORMS['directory opaque by xattr'], FORMS.directory],
      { shows: 'directory', layers: [0, 2], cover: { layer: 2, why: 'opaque' } },
    ],
    [
      'directories down to a whiteout',
      [FORMS.directory, FORMS.directory, FORMS['whiteout .wh.NAME'], FORMS.directory],
      { shows: 'directory', layers: [0, 1], cover: { layer: 2, why: 'whiteout' } },
    ],
  ];
  for (const [what, given, expected] of COVERS) {
    it(`says what ended the search: ${what}`, () => assert.deepEqual(merge(given), expected));
  }

  it('numbers layers from where it is told to', () => {
    const view = merge([FORMS.absent, FORMS.directory, FORMS.file], 3);
    assert.deepEqual(view, {
      shows: 'directory',
      layers: [4],
      cover: { layer: 5, why: 'covered by a directory' },
    });
  });
});

describe('union/rules: plan', () => {
  const holdings = everyHolding();

  for (const operation of OPERATIONS) {
    it(`${operation}: the view changes as it should and survives crashes, for every combination`, () => {
      const make = () => inode(operation === 'mkdir' ? 'directory' : 'file', 'new');
      for (const holding of holdings) {
        const stack = build([NAME, holding]);
        const before = new Machine(stack.upper, stack.below).view();
        const label = () => `${operation} ${described(holding)}`;
        const planned = plan(operation, situationOf(stack, NAME, holding));
        const machine = check(label, stack, planned, perform(operation, before, NAME, true), {
          at: NAME,
          make,
        });
        if (machine !== undefined) assertNothingIdle(label, stack, NAME);
      }
    });
  }

  it('mkdir: what appears below later does not show through', () => {
    for (const holding of holdings.filter(({ parent }) => parent !== 'above')) {
      const stack = build([NAME, holding]);
      const planned = plan('mkdir', situationOf(stack, NAME, holding));
      if ('refused' in planned) continue;
      const steps = new Machine(stack.upper, stack.below).run(stepsOf(planned), {
        at: NAME,
        make: () => inode('directory', 'new'),
      });
      Array.from(steps);
      const later = build([
        NAME,
        { forms: ['absent', 'directory', 'directory'], contents: 'full', parent: 'below' },
      ]);
      const seen = descend(new Machine(stack.upper, later.below).view(), pathOf(NAME));
      assert.deepEqual(seen?.from, ['new'], described(holding));
    }
  });

  it('refuses every change, and nothing else, of a union without upper', () => {
    for (const holding of holdings.filter(({ parent }) => parent === 'below')) {
      const stack = build([NAME, holding]);
      const situation = situationOf(stack, NAME, holding);
      for (const operation of OPERATIONS) {
        const expected = operation === 'read' ? plan('read', situation) : { refused: 'EROFS' };
        assert.deepEqual(plan(operation, situation, false), expected, `${operation} ${described(holding)}`);
      }
    }
  });
});

/** What takes privilege, as readers trust only root's redirects. */
const REDIRECTING: readonly Step[] = ['set-redirect', 'set-target-redirect'];

describe('union/rules: planRename', () => {
  /** Pairs drawn from all combinations of two names, in each mode. */
  const DRAWN = 4000;

  /** What lowers can show under a name, once each. */
  const LOWERS: readonly (readonly [Form, Form])[] = [
    ['absent', 'absent'],
    ['file', 'absent'],
    ['directory', 'directory'],
    ['directory', 'file'],
    ['directory redirected by a path', 'absent'],
    ['whiteout device', 'directory'],
  ];

  function few(contents: readonly Holding['contents'][]): Holding[] {
    const forms = UPPER_FORMS.flatMap((top) => LOWERS.map((lowers) => [top, ...lowers] as const));
    return contents.flatMap((each) =>
      forms
        .filter((held) => each === 'full' || held.some((form) => FORMS[form].is === 'directory'))
        .map((held): Holding => ({ forms: held, contents: each, parent: 'merged' })),
    );
  }

  function checkRename(source: Holding, target: Holding, to: Place, mode: RenameMode): void {
    const stack = build([NAME, source], [to, target]);
    const before = new Machine(stack.upper, stack.below).view();
    const label = () =>
      `rename (${mode}) ${described(source)} to /${pathOf(to).join('/')} ${described(target)}`;
    const planned = planRename(situationOf(stack, NAME, source), situationOf(stack, to, target), mode);
    const machine = check(label, stack, planned, performRename(before, NAME, to, mode, true), {
      at: NAME,
      to,
    });
    if (machine === undefined) return;
    assertNothingIdle(label, stack, NAME);
    assertNothingIdle(label, stack, to);
  }

  for (const mode of MODES) {
    it(`${mode}: the view changes as it should and survives crashes, within a directory`, () => {
      const targets = few(['full', 'empty', 'hidden']);
      for (const source of few(['full'])) {
        for (const target of targets) checkRename(source, target, BESIDE, mode);
      }
    });

    it(`${mode}: the same for ${DRAWN} pairs of all combinations, across directories too`, () => {
      const random = new Random(SEED);
      const holdings = everyHolding();
      for (let drawn = 0; drawn < DRAWN; drawn++) {
        const [source, target] = [random.pick(holdings), random.pick(holdings)];
        const across = source.parent !== target.parent || random.below(2) === 0;
        checkRename(source, target, across ? ELSEWHERE : BESIDE, mode);
      }
    });
  }

  it('refuses every rename in a union without upper', () => {
    const file: Situation = { upper: 'absent', below: 'file' };
    for (const mode of MODES) {
      assert.deepEqual(planRename(file, { upper: 'absent', below: 'nothing' }, mode, { writable: false }), {
        refused: 'EROFS',
      });
    }
  });

  it('without redirects, refuses to move a directory that has lower ones, and nothing else', () => {
    const isInUpper = (id: string): boolean => id.endsWith('@0');
    for (const source of few(['full'])) {
      for (const target of few(['empty'])) {
        const stack = build([NAME, source], [BESIDE, target]);
        const view = new Machine(stack.upper, stack.below).view();
        const [one, other] = [situationOf(stack, NAME, source), situationOf(stack, BESIDE, target)];
        for (const mode of MODES) {
          const label = `${mode} ${described(source)} to ${described(target)}`;
          const planned = planRename(one, other, mode, { redirects: false });
          const usual = planRename(one, other, mode);
          if (!('refused' in planned) || planned.refused !== 'EXDEV') {
            assert.deepEqual(planned, usual, label);
            const named = 'refused' in planned ? [] : stepsOf(planned);
            assert.isEmpty(
              named.filter((step) => REDIRECTING.includes(step)),
              label,
            );
            continue;
          }
          assert.notProperty(usual, 'refused', label);
          const moved = mode === 'exchange' ? [NAME, BESIDE] : [NAME];
          const directories = moved.map((at) => descend(view, pathOf(at)));
          const lowers = directories.some(
            (seen) => seen?.kind === 'directory' && !seen.from.every(isInUpper),
          );
          assert.isTrue(lowers || one.redirected || other.redirected, label);
        }
      }
    }
  });

  it('keeps a directory without lower ones from merging with what appears below its new name later', () => {
    for (const source of everyHolding()) {
      const stack = build(
        [NAME, source],
        [ELSEWHERE, { forms: ['absent', 'absent', 'absent'], contents: 'full', parent: 'merged' }],
      );
      const target: Situation = { upper: 'absent', below: 'nothing', parentMerged: true };
      const machine = new Machine(stack.upper, stack.below);
      const moved = descend(machine.view(), pathOf(NAME));
      const planned = planRename(situationOf(stack, NAME, source), target, 'replace');
      if ('refused' in planned || moved?.kind !== 'directory' || moved.from.length > 1) continue;
      Array.from(machine.run(stepsOf(planned), { at: NAME, to: ELSEWHERE }));
      const later = build(
        [NAME, source],
        [ELSEWHERE, { forms: ['absent', 'directory', 'directory'], contents: 'full', parent: 'below' }],
      );
      const now = descend(new Machine(stack.upper, later.below).view(), pathOf(ELSEWHERE));
      assert.deepEqual(
        Object.keys(now?.children ?? {}).sort(),
        Object.keys(moved.children).sort(),
        described(source),
      );
    }
  });
});

describe('union/rules: steps', () => {
  it('every step that a plan names is described, and every one described is used', () => {
    const named = new Set<string>();
    const collect = (plan: Plan): void => {
      if (!('refused' in plan)) for (const step of stepsOf(plan)) named.add(step);
    };
    const situations = new Map<string, Situation>();
    for (const holding of everyHolding()) {
      const situation = situationOf(build([NAME, holding]), NAME, holding);
      situations.set(JSON.stringify(situation), situation);
    }
    for (const one of situations.values()) {
      for (const operation of OPERATIONS) collect(plan(operation, one));
      for (const other of situations.values())
        for (const mode of MODES) collect(planRename(one, other, mode));
    }
    assert.sameMembers([...named], Object.keys(STEPS));
  });
});
