/**
 * A user who keeps his own id has a name in the container: lines for the image's passwd and group files.
 *
 * Rules, as Podman's: ids that the files know are left alone. The home directory is the user's own where a volume shows
 * it, else the working directory. A name that is somebody else's in the image is not used; then, and where the host knows
 * no name, the number is the name. Compare generatePasswdEntry and generateGroupEntry in
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
/** What no field may hold. */
const SEPARATOR = /[:\n]/;
const NO_HOME = '/';

/** The files with the user in them. */
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
