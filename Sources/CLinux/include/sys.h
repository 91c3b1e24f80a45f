// System calls without a glibc 2.36 wrapper that imports into Swift (variadic, or newer than the library).
#ifndef CLINUX_SYS_H
#define CLINUX_SYS_H

#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/stat.h>

// openat2(2); `resolve` takes the CL_RESOLVE_ flags.
#define CL_RESOLVE_NO_XDEV 0x01
#define CL_RESOLVE_NO_MAGICLINKS 0x02
#define CL_RESOLVE_NO_SYMLINKS 0x04
#define CL_RESOLVE_BENEATH 0x08
#define CL_RESOLVE_IN_ROOT 0x10
int cl_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);

// The mount API: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2).
int cl_fsopen(const char *type);
int cl_fsconfig_string(int fs, const char *key, const char *value);
int cl_fsconfig_flag(int fs, const char *key);
int cl_fsconfig_create(int fs);
int cl_fsmount(int fs, unsigned attributes);
int cl_open_tree(int dirfd, const char *path, unsigned flags);
int cl_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags);
int cl_mount_setattr(int dirfd, const char *path, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation);
#define CL_OPEN_TREE_CLONE 1
#define CL_AT_RECURSIVE 0x8000
#define CL_AT_EMPTY_PATH 0x1000
#define CL_MOVE_MOUNT_F_EMPTY_PATH 0x4
#define CL_MOVE_MOUNT_T_EMPTY_PATH 0x40
#define CL_MOUNT_ATTR_RDONLY 0x1
#define CL_MOUNT_ATTR_NOSUID 0x2
#define CL_MOUNT_ATTR_NODEV 0x4
#define CL_MOUNT_ATTR_NOEXEC 0x8
#define CL_MOUNT_ATTR_ATIME 0x70
#define CL_MOUNT_ATTR_NOATIME 0x10

// preadv2(2) of one part, which fails with EAGAIN rather than wait for a disk.
ssize_t cl_pread_now(int fd, void *bytes, size_t count, int64_t offset);

// memfd_create(2), sealed or not; pidfd_open(2), pidfd_send_signal(2), renameat2(2), close_range(2), setns(2), unshare(2).
int cl_memfd(const char *name, int sealable);
int cl_memfd_seal(int fd);
int cl_pidfd_open(pid_t pid);
// pidfd_getfd(2): descriptor `fd` of the process once more, close-on-exec.
int cl_pidfd_getfd(int pidfd, int fd);
int cl_pidfd_send_signal(int pidfd, int signal);
// SIGKILL to the process group that the process leads (Linux 6.9), or to the process alone.
int cl_pidfd_kill_group(int pidfd);
// PIDFD_GET_INFO (Linux 6.15): 0 and the wait status in *status when the process has exited and its code is still known, else -1.
int cl_pidfd_exit_status(int pidfd, int *status);
int cl_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
#define CL_RENAME_NOREPLACE 1
#define CL_RENAME_EXCHANGE 2
// mallopt(3): M_ARENA_MAX; M_MMAP_THRESHOLD and M_TRIM_THRESHOLD in bytes.
void cl_tune_malloc(int arenas, int threshold);
int cl_socket_pair(int ends[2]);  // socketpair(2), unix stream, close-on-exec
int cl_pipe(int ends[2]);  // pipe2(2), close-on-exec
// The reading end of a pipe (close-on-exec) that gets a byte whenever one of the signals arrives. Once in a process.
int cl_signal_pipe(const int *signals, int count);
// mount(2) by a process of its own, which is killed after `milliseconds`: ETIMEDOUT then. It may have mounted at the last moment.
int cl_mount_within(
    const char *source, const char *target, const char *type, unsigned long flags, const char *data, int milliseconds);
int cl_setns(int fd, int type);
int cl_unshare(int flags);
// A netlink(7) socket no longer receives what the socket numbered `port` has caused (SO_ATTACH_FILTER).
int cl_ignore_netlink_port(int fd, uint32_t port);
int cl_fcntl_int(int fd, int command, int argument);
int cl_ioctl_int(int fd, unsigned long request, int argument);
int cl_ioctl_pointer(int fd, unsigned long request, void *argument);
// strerror_r(3), the form that always fills `text`; and PR_SET_NAME of the calling thread, cut to 15 bytes.
void cl_error_text(int code, char *text, size_t size);
void cl_thread_name(const char *name);
// Makes the calling thread one of SCHED_BATCH (sched(7)). What cannot be had is only a little less politeness.
void cl_thread_batch(void);
dev_t cl_makedev(unsigned major, unsigned minor);
unsigned cl_major(dev_t device);
unsigned cl_minor(dev_t device);

// Starts `path` with vfork semantics: argv, envp, and descriptors fds[0..n) placed at 0..n-1; every other descriptor is closed.
// With `session` the process leads a new session. Returns the pid, or -1 with the errno of the step that failed.
pid_t cl_spawn(const char *path, char *const argv[], char *const envp[], const int *fds, int n, int session);

#endif
