/** The attribute by which owners are recorded that the kernel refuses (`virtual-owner.ts`): its name and its value. */
const SECRET_BYTES = 16;
/** The id that chown(2) takes for "keep". */
const KEEP = 0xffffffff;

/** A name that nobody guesses. The global loads what it takes when it is used; few mounts use it. */
export const newOwnerAttribute = (): string => {
  const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)));
  return `system.unionfs.owner.${secret.toString('hex')}`;
};

/** What chown(2) is given. */
export const ownerValue = (uid: number, gid: number): Buffer => Buffer.from(`${uid}:${gid}`);

/** The ids of a value, without those to keep; undefined if it is none. */
export function parseOwnerValue(value: Uint8Array): { uid?: number; gid?: number } | undefined {
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(Buffer.from(value).toString('latin1')) ?? [];
  if (uid === undefined || gid === undefined) return undefined;
  return {
    ...(Number(uid) !== KEEP && { uid: Number(uid) }),
    ...(Number(gid) !== KEEP && { gid: Number(gid) }),
  };
}
