/**
 * User namespaces: whether the kernel has them, which setting forbids them, and whether one can be created.
 *
 * Rule: an attempt decides; the settings only explain why it failed. Compare user_namespaces(7), Debian's
 * kernel.unprivileged_userns_clone, and Ubuntu's AppArmor restriction (since 23.10), under which the namespace is created
 * without capabilities, so that its id map cannot be written.
 */

import type { Host } from '../host/host.js';
import { installCommand } from '../host/packages.js';
import { findHelper } from '../host/programs.js';
import type { ModeFacts } from '../rootless/mode.js';
import { asRoot, type Finding, missing, ok } from './finding.js';
import { type Identity, restartWith, SEE_REFUSALS, UNCONFINED } from './identity.js';

export interface UserNamespaceFacts {
  readonly inKernel: boolean;
  /** user.max_user_namespaces; undefined where there is no such setting. */
  readonly maximum: number | undefined;
  /** kernel.unprivileged_userns_clone is 0. */
  readonly cloneForbidden: boolean;
  /** kernel.apparmor_restrict_unprivileged_userns is 1. */
  readonly restrictedByAppArmor: boolean;
  readonly hasUnshare: boolean;
  /** Commands that install unshare(1), and the distribution's kernel. */
  readonly install: string;
  readonly kernel: string;
}

const SYSCTLS = '/proc/sys';

export function probeUserNamespaces(host: Host): UserNamespaceFacts {
  const setting = (path: string): string | undefined => host.read(`${SYSCTLS}/${path}`)?.trim();
  const maximum = setting('user/max_user_namespaces');
  return {
    inKernel: host.stat('/proc/self/ns/user') !== undefined,
    maximum: maximum === undefined ? undefined : Number(maximum),
    cloneForbidden: setting('kernel/unprivileged_userns_clone') === '0',
    restrictedByAppArmor: setting('kernel/apparmor_restrict_unprivileged_userns') === '1',
    hasUnshare: findHelper(host, 'unshare').path !== undefined,
    install: installCommand(host, 'unshare'),
    kernel: installCommand(host, 'kernel'),
  };
}

const ID = 'userns.create';
/** The value of the fix; more than any host uses. */
const MANY = 65536;

export function judgeUserNamespaces(
  facts: UserNamespaceFacts,
  { userNamespaces }: ModeFacts,
  identity: Identity,
): Finding[] {
  if (userNamespaces) return [ok(ID, 'user namespaces can be created')];
  if (identity.admin) return [ok(ID, 'user namespaces cannot be created, but are not needed')];
  return [whyNot(facts, identity)];
}

/** Why none can be created, and the fix. */
export function whyNot(facts: UserNamespaceFacts, identity: Identity): Finding {
  const { inKernel, maximum, cloneForbidden, restrictedByAppArmor, hasUnshare, install, kernel } = facts;
  if (!inKernel) {
    return missing(ID, 'the kernel is built without CONFIG_USER_NS', asRoot(`${kernel} && reboot`));
  }
  if (!hasUnshare) return missing(ID, 'unshare(1) is not installed', asRoot(install));
  if (maximum === 0) {
    const fix = `sysctl -w user.max_user_namespaces=${MANY}`;
    return missing(ID, 'user.max_user_namespaces is 0', asRoot(fix));
  }
  if (cloneForbidden) {
    const fix = 'sysctl -w kernel.unprivileged_userns_clone=1';
    return missing(ID, 'kernel.unprivileged_userns_clone is 0', asRoot(fix));
  }
  if (restrictedByAppArmor) {
    const fix = 'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0';
    return missing(ID, 'AppArmor removes their capabilities', asRoot(fix));
  }
  if (identity.container !== undefined) {
    return missing(ID, 'the outer container does not permit them', restartWith(identity, UNCONFINED));
  }
  return missing(ID, 'a security module does not permit them', asRoot(SEE_REFUSALS));
}
