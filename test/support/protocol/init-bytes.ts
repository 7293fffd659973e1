/**
 * INIT messages of kernels, as they come out of /dev/fuse.
 *
 * - Linux 6.18 (FUSE 7.45): recorded. Read from /dev/fuse after mount(2) of an empty "fuse.unionfs" on the kernel
 *   "6.18.44-fc-v445" (x86-64, root). It offers PASSTHROUGH, and no OVER_IO_URING (41).
 * - Linux 5.4 (7.31) and 6.2 (7.38): built by hand as fuse_send_init in fs/fuse/inode.c of these versions builds
 *   them, with the read-ahead of VM_READAHEAD_PAGES = 128 KiB and the header of a first request without credentials
 *   (unique 2, all else 0), as the recorded one has it. Sources of the flags:
 *   5.4: the list in BailinT/android_kernel_nubia_sm8350 (an Android 5.4 kernel) without FUSE_PASSTHROUGH, which is
 *   Android's own; struct fuse_init_in ends with flags. 6.2: the list before "fuse: optional supplementary group in
 *   create requests" (merged for 6.3) and "fuse: add feature flag for expire-only" (later than 6.4), with struct fuse_init_in
 *   extended to flags2 and eleven unused words (7.36).
 */
import { hex } from './bytes.js';

export const INIT_5_4 = hex(`
  38 00 00 00              # len 56: struct fuse_init_in had 16 bytes
  1a 00 00 00              # opcode FUSE_INIT
  02 00 00 00 00 00 00 00  # unique
  00 00 00 00 00 00 00 00  # nodeid
  00 00 00 00 00 00 00 00  # uid, gid
  00 00 00 00 00 00 00 00  # pid, padding
  07 00 00 00              # major
  1f 00 00 00              # minor 31
  00 00 02 00              # max_readahead 128 KiB
  fb ff ff 03              # flags: bits 0 to 25 but FUSE_FILE_OPS (2), which no kernel sets
`);

export const INIT_6_2 = hex(`
  68 00 00 00              # len 104
  1a 00 00 00              # opcode FUSE_INIT
  02 00 00 00 00 00 00 00  # unique
  00 00 00 00 00 00 00 00  # nodeid
  00 00 00 00 00 00 00 00  # uid, gid
  00 00 00 00 00 00 00 00  # pid, total_extlen, padding
  07 00 00 00              # major
  26 00 00 00              # minor 38
  00 00 02 00              # max_readahead 128 KiB
  fb ff ff 73              # flags: as 5.4, and HANDLE_KILLPRIV_V2 (28), SETXATTR_EXT (29), INIT_EXT (30)
  01 00 00 00              # flags2: SECURITY_CTX (32)
  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
`);

export const INIT_6_18 = hex(`
  68 00 00 00              # len 104
  1a 00 00 00              # opcode FUSE_INIT
  02 00 00 00 00 00 00 00  # unique
  00 00 00 00 00 00 00 00  # nodeid
  00 00 00 00 00 00 00 00  # uid, gid
  00 00 00 00 00 00 00 00  # pid, total_extlen, padding
  07 00 00 00              # major
  2d 00 00 00              # minor 45
  00 00 02 00              # max_readahead 128 KiB
  fb ff ff 73              # flags
  fd 05 00 00              # flags2: bits 32, 34 to 40, 42, among them PASSTHROUGH (37) and HAS_RESEND (39)
  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
`);

/** struct fuse_in_header, which is in front of each. */
export const HEADER_LENGTH = 40;
