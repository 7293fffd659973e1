/**
 * The program that tells what its container can reach: one line per question, "KIND:WHAT<TAB>yes|no" or a value.
 *
 * Rules: a call that is refused says EPERM, EACCES, EROFS or ENOSYS; any other answer, an error for its arguments too,
 * has come from the code behind the check. Arguments are such that nothing happens where nothing refuses, and each
 * question has a process of its own.
 */
export const REACH = String.raw`
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static char buffer[4096];
static int reached(long result) {
  return result >= 0 || (errno != EPERM && errno != EACCES && errno != EROFS && errno != ENOSYS);
}
static void tell(const char *kind, const char *what, int yes) {
  printf("%s:%s\t%s\n", kind, what, yes ? "yes" : "no");
}
#define APART(kind, what, yes) do { fflush(stdout); pid_t p = fork(); \
  if (p == 0) { tell(kind, what, yes); fflush(stdout); _exit(0); } waitpid(p, 0, 0); } while (0)
#define CALL(what, result) APART("call", what, reached(result))
static int readable(const char *path) {
  int fd = open(path, O_RDONLY | O_NONBLOCK);
  if (fd < 0) return 0;
  int yes = read(fd, buffer, sizeof buffer) > 0;
  close(fd);
  return yes;
}
static int writable(const char *path) { int fd = open(path, O_WRONLY); if (fd >= 0) close(fd); return fd >= 0; }
static int made(mode_t type, int major_, int minor_, int flags) {
  const char *places[] = {"/dev/probe", "/tmp/probe"};
  int yes = 0;
  for (int i = 0; i < 2; i++) {
    if (mknod(places[i], type | 0600, makedev(major_, minor_)) < 0) continue;
    yes |= reached(open(places[i], flags | O_NONBLOCK));
    unlink(places[i]);
  }
  return yes;
}
static int listing(const char *path) { /* more than . and .. */
  int fd = open(path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return 0;
  return syscall(SYS_getdents64, fd, buffer, sizeof buffer) > 48;
}
typedef int attach(int, const struct sockaddr *, socklen_t);
static int abstract_socket(attach *how, int fd, const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(name);
  memcpy(address.sun_path + 1, name, length);
  return how(fd, (void *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + length) == 0;
}
/* The host's side, until it is killed. */
static int serve(const char *name) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (!abstract_socket(bind, fd, name) || listen(fd, 64) < 0) return 1;
  puts("listening");
  fflush(stdout);
  for (;;) pause();
}
static long perf(void) {
  struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .exclude_kernel = 1, .exclude_hv = 1};
  return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}
static long handle(void) {
  struct { struct file_handle head; char rest[128]; } h = {.head = {.handle_bytes = 8, .handle_type = 1}};
  return open_by_handle_at(AT_FDCWD, &h.head, O_RDONLY);
}
static long set_clock(void) { struct timespec now; clock_gettime(CLOCK_REALTIME, &now); return clock_settime(CLOCK_REALTIME, &now); }
int main(int count, char **args) {
  if (count == 3) return serve(args[2]);
  FILE *status = fopen("/proc/self/status", "r");
  while (fgets(buffer, sizeof buffer, status))
    if (!strncmp(buffer, "CapEff", 6) || !strncmp(buffer, "CapBnd", 6) || !strncmp(buffer, "NoNewPrivs", 10) || !strncmp(buffer, "Seccomp:", 8))
      printf("status:%s", buffer);
  const char *spaces[] = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"};
  for (int i = 0; i < 7; i++) {
    char path[64], target[64] = "";
    sprintf(path, "/proc/self/ns/%s", spaces[i]);
    readlink(path, target, sizeof target - 1);
    printf("namespace:%s\t%s\n", spaces[i], target);
  }
  const char *nodes[] = {"null", "zero", "full", "random", "urandom", "fuse", "kmsg", "mem", "net/tun"};
  for (int i = 0; i < 9; i++) {
    char path[64];
    sprintf(path, "/dev/%s", nodes[i]);
    APART("device", path, open(path, O_RDWR | O_NONBLOCK) >= 0);
  }
  APART("made", "/dev/mem to read", made(S_IFCHR, 1, 1, O_RDONLY));
  APART("made", "/dev/mem to write", made(S_IFCHR, 1, 1, O_RDWR));
  APART("made", "/dev/kmsg", made(S_IFCHR, 1, 11, O_RDONLY));
  APART("made", "/dev/loop0", made(S_IFBLK, 7, 0, O_RDWR));
  APART("made", "/dev/sda", made(S_IFBLK, 8, 0, O_RDWR));
  APART("made", "/dev/vda", made(S_IFBLK, 254, 0, O_RDWR));
  APART("made", "/dev/fuse", made(S_IFCHR, 10, 229, O_RDWR));
  APART("made", "/dev/kvm", made(S_IFCHR, 10, 232, O_RDWR));
  CALL("mount", mount("none", "/tmp", "tmpfs", 0, 0));
  CALL("umount2", umount2("/proc/sys", MNT_DETACH));
  CALL("fsopen", syscall(430, "tmpfs", 0));
  CALL("open_tree", syscall(428, AT_FDCWD, "/tmp", 1));
  CALL("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
  CALL("chroot", chroot("/"));
  CALL("unshare (new mount namespace)", unshare(CLONE_NEWNS));
  CALL("unshare (new user namespace)", unshare(CLONE_NEWUSER));
  CALL("setns", setns(-1, 0));
  CALL("keyctl", syscall(SYS_keyctl, 0, -3, 0));
  CALL("add_key", syscall(SYS_add_key, 0, 0, 0, 0, 0));
  CALL("bpf", syscall(SYS_bpf, 0, 0, 0));
  CALL("ptrace", ptrace(PTRACE_TRACEME, 0, 0, 0));
  CALL("perf_event_open", perf());
  CALL("io_uring_setup", syscall(425, 0, 0));
  CALL("userfaultfd", syscall(SYS_userfaultfd, 0));
  CALL("kexec_load", syscall(SYS_kexec_load, 0, 0, 0, 0xffffL));
  CALL("init_module", syscall(SYS_init_module, 0, 0, ""));
  CALL("delete_module", syscall(SYS_delete_module, "no-such-module", O_NONBLOCK));
  CALL("reboot", syscall(SYS_reboot, 0, 0, 0, 0));
  CALL("swapon", syscall(SYS_swapon, "/no-such-file", 0));
  CALL("clock_settime", set_clock());
  CALL("sethostname", sethostname("probe", 5));
  CALL("syslog", syscall(SYS_syslog, 3, buffer, sizeof buffer));
  CALL("open_by_handle_at", handle());
  CALL("personality (no address randomization)", syscall(SYS_personality, 0x0040000));
  CALL("socket (raw)", socket(AF_INET, SOCK_RAW, 1));
  CALL("socket (AF_VSOCK)", socket(AF_VSOCK, SOCK_STREAM, 0));
  const char *reads[] = {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/kmsg", "/proc/config.gz", "/proc/kallsyms", "/proc/1/environ"};
  for (int i = 0; i < 8; i++) APART("read", reads[i], readable(reads[i]));
  APART("read", "/sys/firmware", listing("/sys/firmware"));
  APART("read", "/proc/scsi", listing("/proc/scsi"));
  const char *writes[] = {"/proc/sysrq-trigger", "/proc/sys/kernel/domainname", "/proc/sys/kernel/core_pattern",
    "/proc/sys/vm/drop_caches", "/proc/irq/default_smp_affinity", "/sys/power/state", "/sys/kernel/mm/transparent_hugepage/enabled"};
  for (int i = 0; i < 7; i++) APART("write", writes[i], writable(writes[i]));
  APART("write", "/sys/fs/cgroup", mkdir("/sys/fs/cgroup/probe", 0700) == 0 || mkdir("/sys/fs/cgroup/memory/probe", 0700) == 0);
  APART("network", "an abstract socket of the host", abstract_socket(connect, socket(AF_UNIX, SOCK_STREAM, 0), args[1]));
  return 0;
}
`;
