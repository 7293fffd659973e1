/** Where an inode is reached: a name in an open directory, or a descriptor and an empty name. */
export interface Place {
  readonly dirfd: number;
  readonly name: string;
}
