/**
 * One name in upper that a plan is about to change, and the steps that change it.
 *
 * Rule: a step is one method and at most a few syscalls; what to do and in which order is the plan's business
 * (`rules/plan.ts`), what an error means the executor's (`rules/execute.ts`).
 */
import { ACL, AT, PATH_MAX, S } from '../../sys/constants.js';
import { E, Errno, unless } from '../../sys/errno.js';
import {
  fchmodat,
  fchownat,
  fstat,
  getxattrat,
  mkdirat,
  setxattrat,
  statat,
  unlinkat,
} from '../../sys/syscalls.js';
import { LayerDirectory } from '../layers/layer.js';
import { MARK_REFUSED, markHoldsWhiteoutFiles, markOpaque, setRedirect } from '../layers/marks.js';
import { markImpure } from '../layers/origin.js';
import { makeWhiteoutDevice } from '../layers/whiteout.js';
import type { Work } from '../layers/work.js';
import { NO_MASK } from '../nodes/credentials.js';
import { doubt } from '../nodes/lookup.js';
import { DirectoryNode, type Node } from '../nodes/node.js';
import { refuseProtected } from '../nodes/protection.js';
import { situationOf } from '../nodes/situation.js';
import type { Union } from '../nodes/union.js';
import { copyMode, copyOwner, copyTimes, copyXattrs, createEmpty } from '../owners/copy-entry.js';
import { recorded } from '../owners/stored-owners.js';
import { escapeXattr } from '../owners/xattr-names.js';
import type { Actions } from '../rules/execute.js';
import type { Situation } from '../rules/plan.js';
import { copyUpDirectory, keepTimes } from './copy-up.js';

const KEEP = -1;
const OWNER_ALL = 0o700;

/** Makes an inode under a name of a directory. */
export type Make = (dirfd: number, name: string) => void;

/** One name in upper that a plan is about to change. */
export class Target implements Actions {
  readonly #union: Union;
  readonly #work: Work;
  readonly parent: DirectoryNode;
  readonly name: string;
  readonly #make: Make | undefined;
  readonly #inSteps: boolean;
  #staged: string | undefined;
  #twin: string | undefined;

  /**
   * @param make what `create` and `stage` do
   * @param inSteps it takes more than one syscall to make it
   */
  constructor(union: Union, parent: DirectoryNode, name: string, make?: Make, inSteps = false) {
    this.#inSteps = inSteps;
    this.#union = union;
    this.#work = union.writable().work;
    this.parent = parent;
    this.name = name;
    this.#make = make;
  }

  /** The parent's directory in upper; exists once its `makeParents` has run. */
  get dirfd(): number {
    if (this.parent.upper === undefined) throw new Error('a step before make-parents');
    return this.#union.handles.directory(this.parent.upper);
  }

  get #stagedName(): string {
    if (this.#staged === undefined) throw new Error('a step before stage');
    return this.#staged;
  }

  'make-parents'(): void {
    if (this.parent.removed) throw new Errno(E.ENOENT);
    refuseProtected(this.#union, this.parent);
    if (this.parent.upper === undefined) copyUpDirectory(this.#union, this.parent);
  }

  create(): void {
    if (!this.#inSteps) {
      this.#make?.(this.dirfd, this.name);
      return;
    }
    this.stage();
    this.#work.install(this.#stagedName, this.dirfd, this.name, true);
    this.#installed();
  }

  /** Takes away what did not get its place; what cannot be removed now is when there is an opportunity. */
  abandon(): void {
    if (this.#staged !== undefined) this.#work.discard(this.#staged);
    this.#installed();
  }

  /** What was staged has got its place. */
  #installed(): void {
    this.#staged = undefined;
    if (this.#twin !== undefined) this.#work.discard(this.#twin);
    this.#twin = undefined;
  }

  /** Upper's inodes do not tell their owners, and are made in more than one step. */
  get #keepsOwners(): boolean {
    return this.#union.upper?.override !== undefined;
  }

  /**
   * Makes an inode in work that inherits what it would inherit in place: the group of a set-group-id directory
   * and its default ACL come from a twin of the parent, in which it is made.
   */
  stage(): void {
    this.#makeTwin();
    this.#staged = this.#work.temporary();
    if (this.#twin !== undefined) this.#staged = `${this.#twin}/${this.#staged}`;
    this.#make?.(this.#work.fd, this.#stagedName);
  }

  #makeTwin(): void {
    if (this.#keepsOwners) return; // what it would pass on is recorded
    const { dirfd } = this;
    const parent = fstat(dirfd);
    const acl = getxattrat(dirfd, '', ACL.DEFAULT);
    if ((parent.mode & S.ISGID) === 0 && acl === undefined) return;
    const value = acl && Buffer.from(acl);
    this.#twin = this.#work.temporary();
    mkdirat(this.#work.fd, this.#twin, 0o700);
    fchownat(this.#work.fd, this.#twin, KEEP, parent.gid);
    fchmodat(this.#work.fd, this.#twin, (parent.mode & ~S.IFMT) | OWNER_ALL);
    if (value !== undefined) setxattrat(this.#work.fd, this.#twin, ACL.DEFAULT, value);
  }

  'stage-whiteout'(): void {
    this.holdWhiteout();
    this.#staged = this.#work.temporary();
    this.#work.makeWhiteout(this.#staged);
  }

  /** Where whiteouts are files, the kernel reads them in marked directories only. */
  holdWhiteout(): void {
    if (this.#work.whiteoutForm !== 'xattr') return;
    this.#union.credentials.mask(NO_MASK);
    markHoldsWhiteoutFiles(this.#work.xattrPrefix, this.dirfd);
  }

  'mark-staged-opaque'(): void {
    markOpaque(this.#work.xattrPrefix, this.#work.fd, this.#stagedName);
  }

  /** Renames the staged entry into upper; a whiteout or a deleted file is replaced. */
  install(): void {
    this.#work.install(this.#stagedName, this.dirfd, this.name, false);
    this.#installed();
  }

  /** Shows the staged whiteout under a name that upper does not hold. */
  'install-whiteout'(): void {
    this.#work.install(this.#stagedName, this.dirfd, this.name, true);
    this.#installed();
  }

  exchange(): void {
    this.#work.exchange(this.#stagedName, this.dirfd, this.name);
  }

  /** Moves a directory that shows nothing out of sight, with all that it holds. */
  retire(): void {
    const name = this.#work.temporary();
    this.#work.retire(this.dirfd, this.name, name);
    this.#staged = name;
  }

  discard(): void {
    this.abandon();
  }

  'mark-opaque'(): void {
    markOpaque(this.#work.xattrPrefix, this.dirfd, this.name);
  }

  whiteout(): void {
    if (this.#work.whiteoutForm === 'device') {
      makeWhiteoutDevice(this.dirfd, this.name);
      return;
    }
    this['stage-whiteout']();
    this['install-whiteout']();
  }

  remove(): void {
    unlinkat(this.dirfd, this.name);
  }

  /**
   * Swaps a directory that holds only whiteouts with an empty one that is like it in every other way and hides as much
   * (ovl_clear_empty), so that rename(2) may take its place. Until then nobody can tell the two apart.
   */
  'clear-target'(): void {
    const directory = this.#directory();
    const { override } = directory.layer;
    const { ownership } = this.#union.settings;
    const dirfd = this.#union.handles.directory(directory);
    const stat = recorded(override, { dirfd, name: '' }, fstat(dirfd));
    const source = { directory, name: '', dirfd, stat, needed: 0 };
    const to = this.#work.fd;
    const twin = this.#work.temporary();
    this.#union.credentials.mask(NO_MASK);
    this.#staged = twin;
    createEmpty(source, to, twin, override);
    copyOwner(source, to, twin, override, ownership);
    copyXattrs(source, to, twin, (attribute) => escapeXattr(attribute, override));
    this['mark-staged-opaque']();
    copyMode(source, to, twin, override, ownership);
    copyTimes(source, to, twin);
    const parentBefore = fstat(this.dirfd);
    this.exchange();
    keepTimes(this.#union, this.parent, parentBefore);
    this.discard();
    this.#union.handles.drop(directory);
  }

  #directory(): LayerDirectory {
    const { parent, name } = this;
    if (parent.upper === undefined) throw new Error('a step before make-parents');
    return new LayerDirectory(parent.upper.layer, parent.upper, name);
  }

  /** Leads a directory that is about to move to its lower directories, unless a redirect does already. */
  setRedirect(node: DirectoryNode, sameParent: boolean): void {
    const known = node.redirect;
    if (known !== undefined && (sameParent || known.startsWith('/'))) return;
    const redirect = sameParent ? this.name : lowerPath(node);
    if (redirect.length >= PATH_MAX) throw new Errno(E.EXDEV);
    setRedirect(this.#work.xattrPrefix, this.dirfd, this.name, redirect);
    node.redirect = redirect;
  }

  /** Marks the parent in upper if it is about to receive a copy of a lower entry (ovl_set_impure). */
  receives(node: Node | undefined): void {
    const isCopy = node instanceof DirectoryNode ? node.lowers.length > 0 : node?.isCopy === true;
    if (isCopy && this.parent.upper !== undefined) {
      markImpure(this.#work.xattrPrefix, this.parent.upper, this.dirfd);
    }
  }

  /** What could not be undone is looked up again. */
  doubt(): void {
    doubt(this.#union, this.parent, this.name);
  }

  /** Whether upper holds anything under the name. */
  isHeld(): boolean {
    return statat(this.dirfd, this.name) !== undefined;
  }

  /** What upper and the lower layers hold under the name. */
  situation(): Situation {
    return situationOf(this.#union, this.parent, this.name);
  }

  /** Whether upper's directory of this name is physically empty. */
  upperEmpty(): boolean {
    const directory = this.#directory();
    const empty = this.#union.handles.names(directory).length === 0;
    this.#union.handles.drop(directory);
    return empty;
  }
}

/** The name of a directory. */
export class DirectoryTarget extends Target {
  /** Hides what may appear under the name in the lowers later; where xattrs are refused, it does not. */
  override 'mark-opaque'(): void {
    unless(MARK_REFUSED, () => super['mark-opaque']());
  }

  override remove(): void {
    unlinkat(this.dirfd, this.name, AT.REMOVEDIR);
  }
}

/** The absolute path of a directory in the lower layers (ovl_get_redirect). */
function lowerPath(node: DirectoryNode): string {
  let path = '';
  for (let at: DirectoryNode | undefined = node; at?.parent !== undefined; at = at.parent) {
    const name = at.redirect ?? at.name;
    if (name.startsWith('/')) return name + path;
    path = `/${name}${path}`;
  }
  return path;
}
