/**
 * An interpreter of plans over the model: every step as the system calls it stands for, one at a time.
 *
 * Rules: it holds upper and work only, so no step can reach a lower layer; what it reads of them it reads from the
 * view. It is as strict as the system calls are: a step that the kernel would refuse throws. `run` stops after every
 * system call, so that a test can look at what a crash at this moment leaves.
 */
import { planCopyUp, type Step, stepsOf } from '../../../fs/union/rules/plan.js';
import { CAPABILITY, descend, flattenUpper, type Inode, inode, must, SET_ID, type Seen } from './model.js';

/** A name in a directory of the view. */
export interface Place {
  readonly directory: readonly string[];
  readonly name: string;
}

export const pathOf = ({ directory, name }: Place): readonly string[] => [...directory, name];

/** What a plan is about. */
interface Task {
  readonly at: Place;
  /** The new name of a rename. */
  readonly to?: Place;
  /** What create and mkdir make. */
  readonly make?: () => Inode;
  /** What the plan has in work, and the parent's times before that was installed. */
  staged?: string;
  parentTimes?: string;
}

type Children = Record<string, Inode>;

/** renameat2(2) without flags. */
function rename(from: Children, name: string, to: Children, newName: string): void {
  const moved = must(from[name], `${name} to rename`);
  const replaced = to[newName];
  if (replaced !== undefined && (moved.kind === 'directory') !== (replaced.kind === 'directory')) {
    throw new Error(`rename: ${moved.kind} over ${replaced.kind}`);
  }
  if (replaced !== undefined && Object.keys(replaced.children).length > 0)
    throw new Error('rename: ENOTEMPTY');
  delete from[name];
  to[newName] = moved;
}

/** renameat2(2) with RENAME_EXCHANGE. */
function exchange(from: Children, name: string, to: Children, newName: string): void {
  const [a, b] = [must(from[name], `${name} to exchange`), must(to[newName], `${newName} to exchange`)];
  from[name] = b;
  to[newName] = a;
}

export class Machine {
  readonly upper: Inode;
  readonly work: Children = {};
  readonly #lowers: Seen | undefined;
  #made = 0;

  /** @param upper is changed by the steps */
  constructor(upper: Inode, lowers: Seen | undefined) {
    this.upper = upper;
    this.#lowers = lowers;
  }

  view(): Seen {
    return flattenUpper(this.upper, this.#lowers);
  }

  /** Runs a plan; yields the step's name after each system call. */
  *run(steps: readonly Step[], task: Task): Generator<Step> {
    for (const step of steps) yield* this.#step(step, task);
  }

  #find(path: readonly string[]): Inode | undefined {
    return path.reduce<Inode | undefined>((at, name) => at?.children[name], this.upper);
  }

  #directory({ directory }: Place): Inode {
    return must(this.#find(directory), `/${directory.join('/')} in upper`);
  }

  #at(place: Place): Inode {
    return must(this.#find(pathOf(place)), `/${pathOf(place).join('/')} in upper`);
  }

  /** The directories whose names a step changes. */
  #touch(...places: Place[]): void {
    for (const place of places) this.#directory(place).times = 'now';
  }

  #stage(task: Task, made: Inode): void {
    task.staged = `#${this.#made++}`;
    this.work[task.staged] = made;
  }

  #staged(task: Task): Inode {
    return must(this.work[task.staged ?? ''], 'staged inode');
  }

  *#step(step: Step, task: Task): Generator<Step> {
    const { at, to = at } = task;
    switch (step) {
      case 'make-parents':
        return yield* this.#makeParents(at);
      case 'make-new-parents':
        return yield* this.#makeParents(to);
      case 'copy-up':
      case 'copy-up-directory':
        return yield* this.#copyUp(at, step === 'copy-up-directory');
      case 'copy-up-target':
      case 'copy-up-target-directory':
        return yield* this.#copyUp(to, step === 'copy-up-target-directory');
      case 'clear-target':
        return yield* this.#clear(to);
      default:
        this.#call(step, task);
        yield step;
    }
  }

  *#makeParents({ directory }: Place): Generator<Step> {
    for (let depth = 1; depth <= directory.length; depth++) {
      const name = must(directory[depth - 1], 'parent');
      if (this.#find(directory.slice(0, depth)) === undefined) {
        yield* this.#copyUp({ directory: directory.slice(0, depth - 1), name }, true);
      }
    }
  }

  *#copyUp(at: Place, directory: boolean): Generator<Step> {
    const { kind } = must(descend(this.view(), pathOf(at)), 'source of a copy');
    if (directory !== (kind === 'directory')) throw new Error(`a ${kind} is copied up as something else`);
    yield* this.run(stepsOf(planCopyUp(kind)), { at });
  }

  /** ovl_clear_empty: an empty twin takes the place of a directory that holds only whiteouts. */
  *#clear(at: Place): Generator<Step> {
    const task: Task = { at };
    const old = this.#at(at);
    if (Object.keys(old.children).length === 0) throw new Error('clear-target: there is nothing to clear');
    this.#stage(task, { ...old, children: {} });
    yield 'clear-target';
    for (const step of ['mark-staged-opaque', 'exchange', 'discard'] as const) {
      this.#call(step, task);
      yield 'clear-target';
    }
  }

  /** The steps that are one system call each. */
  #call(step: Step, task: Task): void {
    if (!this.#inWork(step, task) && !this.#inUpper(step, task) && !this.#renames(step, task)) {
      throw new Error(`the model does not know the step "${step}"`);
    }
  }

  /** Steps that change only what is staged. */
  #inWork(step: Step, task: Task): boolean {
    const source = descend(this.view(), pathOf(task.at));
    switch (step) {
      case 'stage':
        this.#stage(task, must(task.make, 'maker')());
        return true;
      case 'stage-whiteout':
        this.#stage(task, inode('whiteout', 'whiteout'));
        return true;
      case 'stage-copy': {
        const { kind, data } = must(source, 'source');
        const empty = kind === 'file' || kind === 'directory';
        const made = { data: empty ? '' : data, owner: 'daemon', mode: 0o600, synced: kind !== 'file' };
        this.#stage(task, inode(kind, `copy of ${pathOf(task.at).join('/')}`, made));
        return true;
      }
      case 'mark-staged-opaque':
        this.#staged(task).opaque = true;
        return true;
      case 'discard':
        delete this.work[must(task.staged, 'staged name')];
        return true;
    }
    return source !== undefined && this.#copies(step, task, source);
  }

  /** What each part of a copy takes over, and what it undoes of the others (chown(2), inode(7)). */
  #copies(step: Step, task: Task, source: Seen): boolean {
    const parts: Partial<Record<Step, (copy: Inode) => Partial<Inode>>> = {
      'copy-data': () => ({ data: source.data, times: 'now', synced: false }),
      'copy-owner': ({ mode, xattrs }) => ({
        owner: source.owner,
        mode: mode & ~SET_ID,
        xattrs: xattrs.filter((name) => name !== CAPABILITY),
      }),
      'copy-mode': () => ({ mode: source.mode }),
      'copy-xattrs': () => ({ xattrs: source.xattrs }),
      'set-origin': () => (source.kind === 'directory' ? {} : { origin: source.ino }),
      'copy-times': () => ({ times: source.times }),
      sync: () => ({ synced: true }),
    };
    const part = parts[step];
    if (part === undefined) return false;
    const copy = this.#staged(task);
    Object.assign(copy, part(copy));
    return true;
  }

  /** Steps on upper that are no renames. */
  #inUpper(step: Step, { at, to = at, make, parentTimes }: Task): boolean {
    switch (step) {
      case 'change': {
        const changed = this.#at(at);
        if (changed.kind === 'file') changed.data = 'changed';
        changed.xattrs = ['user.changed'];
        return true;
      }
      case 'create':
        this.#add(at, must(make, 'maker')());
        return true;
      case 'whiteout':
        this.#add(at, inode('whiteout', 'whiteout'));
        return true;
      case 'remove':
        this.#remove(at);
        return true;
      case 'remove-leftover':
        if (this.#at(at).kind !== 'whiteout' && !this.#at(at).whiteoutXattr) throw new Error('no whiteout');
        this.#remove(at);
        return true;
      case 'mark-opaque':
      case 'mark-target-opaque':
        this.#directoryAt(step === 'mark-opaque' ? at : to).opaque = true;
        return true;
      case 'set-redirect':
        this.#redirect(at, to);
        return true;
      case 'set-target-redirect':
        this.#redirect(to, at);
        return true;
      case 'keep-parent-times':
        this.#directory(at).times = must(parentTimes, 'times of the parent');
        return true;
    }
    return false;
  }

  /** Steps that are one renameat2(2). */
  #renames(step: Step, task: Task): boolean {
    const { at, to = at } = task;
    const [from, into] = [this.#directory(at), this.#directory(to)];
    switch (step) {
      case 'install':
        task.parentTimes = from.times;
        rename(this.work, must(task.staged, 'staged name'), from.children, at.name);
        this.#touch(at);
        return true;
      case 'exchange':
        exchange(this.work, must(task.staged, 'staged name'), from.children, at.name);
        this.#touch(at);
        return true;
      case 'retire':
        task.staged = `#${this.#made++}`;
        rename(from.children, at.name, this.work, task.staged);
        this.#touch(at);
        return true;
      case 'move':
      case 'move-leaving-whiteout':
        rename(from.children, at.name, into.children, to.name);
        if (step !== 'move') from.children[at.name] = inode('whiteout', 'whiteout');
        this.#touch(at, to);
        return true;
      case 'move-exchanging':
        exchange(from.children, at.name, into.children, to.name);
        this.#touch(at, to);
        return true;
    }
    return false;
  }

  #directoryAt(place: Place): Inode {
    const found = this.#at(place);
    if (found.kind !== 'directory') throw new Error(`${place.name} is no directory in upper`);
    return found;
  }

  #add(at: Place, made: Inode): void {
    const { children } = this.#directory(at);
    if (children[at.name] !== undefined) throw new Error(`${at.name}: EEXIST`);
    children[at.name] = made;
    this.#touch(at);
  }

  #remove(at: Place): void {
    if (Object.keys(this.#at(at).children).length > 0) throw new Error(`${at.name}: ENOTEMPTY`);
    delete this.#directory(at).children[at.name];
    this.#touch(at);
  }

  /** ovl_set_redirect: a name while it stays in the same parent, else an absolute path; a known one is kept. */
  #redirect(from: Place, to: Place): void {
    const moved = this.#directoryAt(from);
    const known = moved.redirect ?? from.name;
    if (known.startsWith('/')) return;
    const sameParent = from.directory.join('/') === to.directory.join('/');
    moved.redirect = sameParent ? known : `/${[...from.directory, known].join('/')}`;
  }
}
