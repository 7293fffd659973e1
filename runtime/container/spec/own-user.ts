/**
 * Entries for the caller in the container's passwd and group files, with `--userns keep-id`.
 *
 * Rules, as Podman's: existing entries are not changed. The home directory is the user's own if a volume contains it, else
 * the working directory. If the name is used by another id in the image, or the host has no name, the number is used as
 * name. Compare generatePasswdEntry and generateGroupEntry in
 * libpod/container_internal_common.go, passwd(5), group(5).
 */
import type { UserFiles } from './users.js';

export interface OwnUser {
  readonly uid: number;
  readonly gid: number;
  readonly name: string | undefined;
  /** Of the group `gid`. */
  readonly groupName: string | undefined;
  /** Absolute. */
  readonly home: string;
}

const SHELL = '/bin/sh';
/** Characters that a field must not contain. */
const SEPARATOR = /[:\n]/;
const NO_HOME = '/';

/** The files with the entries of the user added. */
export function withOwnUser({ passwd, group }: UserFiles, user: OwnUser): UserFiles {
  const { uid, gid, home } = user;
  const name = nameIn(passwd, user.name, uid);
  const place = SEPARATOR.test(home) ? NO_HOME : home;
  return {
    passwd: added(passwd, uid, `${name}:*:${uid}:${gid}::${place}:${SHELL}`),
    group: added(group, gid, `${nameIn(group, user.groupName, gid)}:x:${gid}:${name}`),
  };
}

const NAME = 0;
const ID = 2;

const fieldsOf = (file: string): string[][] => file.split('\n').map((line) => line.split(':'));

function nameIn(file: string, wanted: string | undefined, id: number): string {
  const isUsable =
    wanted !== undefined &&
    wanted !== '' &&
    !SEPARATOR.test(wanted) &&
    !fieldsOf(file).some((fields) => fields[NAME] === wanted);
  return isUsable ? wanted : `${id}`;
}

function added(file: string, id: number, line: string): string {
  if (fieldsOf(file).some((fields) => fields[ID] === `${id}`)) return file;
  const end = file === '' || file.endsWith('\n') ? '' : '\n';
  return `${file}${end}${line}\n`;
}
