#define _GNU_SOURCE
#include "include/sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <poll.h>
#include <linux/mount.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sched.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

int cl_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
}

int cl_fsopen(const char *type) { return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC); }
int cl_fsconfig_string(int fs, const char *key, const char *value) {
    return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0);
}
int cl_fsconfig_flag(int fs, const char *key) { return (int)syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, key, NULL, 0); }
int cl_fsconfig_create(int fs) { return (int)syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0); }
int cl_fsmount(int fs, unsigned attributes) { return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes); }
int cl_open_tree(int dirfd, const char *path, unsigned flags) {
    return (int)syscall(SYS_open_tree, dirfd, path, flags | OPEN_TREE_CLOEXEC);
}
int cl_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags) {
    return (int)syscall(SYS_move_mount, from, from_path, to, to_path, flags);
}
int cl_mount_setattr(int dirfd, const char *path, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation) {
    struct mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
    return (int)syscall(SYS_mount_setattr, dirfd, path, flags, &attr, sizeof attr);
}

// How long a process that was killed may take to end.
#define KILLED_MILLISECONDS 1000

// A mount that cannot be killed leaves a process that nobody waits for; the kernel has none among what this is for.
static int end_of(pid_t pid, int milliseconds, int *status) {
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd process = {.fd = fd, .events = POLLIN};
    int count = fd < 0 ? -1 : poll(&process, 1, milliseconds);
    if (fd >= 0) close(fd);
    return count > 0 ? (int)waitpid(pid, status, 0) : 0;
}

int cl_mount_within(
    const char *source, const char *target, const char *type, unsigned long flags, const char *data, int milliseconds) {
    pid_t pid = _Fork();
    if (pid < 0) return -1;
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close_range(0, ~0U, 0);
        _exit(mount(source, target, type, flags, data) == 0 ? 0 : errno);
    }
    int status;
    if (end_of(pid, milliseconds, &status) <= 0) {
        kill(pid, SIGKILL);
        end_of(pid, KILLED_MILLISECONDS, &status);
        errno = ETIMEDOUT;
        return -1;
    }
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    return errno == 0 ? 0 : -1;
}

ssize_t cl_pread_now(int fd, void *bytes, size_t count, int64_t offset) {
    struct iovec part = {.iov_base = bytes, .iov_len = count};
    return preadv2(fd, &part, 1, offset, RWF_NOWAIT);
}

int cl_memfd(const char *name, int sealable) {
    unsigned flags = MFD_CLOEXEC | (sealable ? MFD_ALLOW_SEALING : 0);
    int fd = (int)syscall(SYS_memfd_create, name, flags | MFD_NOEXEC_SEAL);
    return fd < 0 && errno == EINVAL ? (int)syscall(SYS_memfd_create, name, flags) : fd;
}
int cl_memfd_seal(int fd) { return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL); }

int cl_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }
int cl_pidfd_getfd(int pidfd, int fd) { return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0); }
int cl_pidfd_send_signal(int pidfd, int signal) { return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0); }

int cl_pidfd_kill_group(int pidfd) {
    // PIDFD_SIGNAL_PROCESS_GROUP; Debian 12's headers are older.
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 1U << 2) == 0) return 0;
    return errno == EINVAL ? cl_pidfd_send_signal(pidfd, SIGKILL) : -1;
}

// linux/pidfd.h of Linux 6.15; Debian 12's headers are older.
struct pidfd_info_v2 {
    uint64_t mask, cgroupid;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define PIDFD_INFO_EXIT_MASK (1UL << 3)
#define PIDFD_GET_INFO_V2 _IOWR(0xFF, 11, struct pidfd_info_v2)

int cl_pidfd_exit_status(int pidfd, int *status) {
    struct pidfd_info_v2 info = {.mask = PIDFD_INFO_EXIT_MASK};
    if (ioctl(pidfd, PIDFD_GET_INFO_V2, &info) != 0) return -1;
    if (!(info.mask & PIDFD_INFO_EXIT_MASK)) {
        errno = ENODATA;
        return -1;
    }
    *status = info.exit_code;
    return 0;
}

int cl_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}
void cl_tune_malloc(int arenas, int threshold) {
    mallopt(M_ARENA_MAX, arenas);
    mallopt(M_MMAP_THRESHOLD, threshold);
    mallopt(M_TRIM_THRESHOLD, threshold);
}
int cl_socket_pair(int ends[2]) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends); }
int cl_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

static int signal_pipe = -1;

static void tell_signal(int number) {
    int before = errno;
    unsigned char byte = (unsigned char)number;
    ssize_t written = write(signal_pipe, &byte, 1);
    (void)written;  // a full pipe has told enough
    errno = before;
}

int cl_signal_pipe(const int *signals, int count) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -1;
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    signal_pipe = ends[1];
    struct sigaction action = {.sa_handler = tell_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (int index = 0; index < count; index++)
        if (sigaction(signals[index], &action, NULL) < 0) return -1;
    return ends[0];
}

int cl_setns(int fd, int type) { return setns(fd, type); }
int cl_unshare(int flags) { return unshare(flags); }
int cl_ignore_netlink_port(int fd, uint32_t port) {
    // Offset 12 of struct nlmsghdr; a filter loads words as big-endian.
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {.len = sizeof steps / sizeof steps[0], .filter = steps};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}
int cl_fcntl_int(int fd, int command, int argument) { return fcntl(fd, command, argument); }
int cl_ioctl_int(int fd, unsigned long request, int argument) { return ioctl(fd, request, argument); }
int cl_ioctl_pointer(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }
void cl_error_text(int code, char *text, size_t size) {
    char buffer[128];
    snprintf(text, size, "%s", strerror_r(code, buffer, sizeof buffer));
}
void cl_thread_name(const char *name) { prctl(PR_SET_NAME, name); }

void cl_thread_batch(void) {
    struct sched_param none = {0};
    sched_setscheduler(0, SCHED_BATCH, &none);
}
dev_t cl_makedev(unsigned major_number, unsigned minor_number) { return makedev(major_number, minor_number); }
unsigned cl_major(dev_t device) { return major(device); }
unsigned cl_minor(dev_t device) { return minor(device); }

pid_t cl_spawn(const char *path, char *const argv[], char *const envp[], const int *fds, int n, int session) {
    enum { fds_max = 64 };
    if (n > fds_max) {
        errno = E2BIG;
        return -1;
    }
    // Above all targets first, so that no source is overwritten before it is placed.
    int moved[fds_max];
    for (int i = 0; i < n; i++) {
        moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, fds_max);
        if (moved[i] < 0) {
            int error = errno;
            while (i-- > 0) close(moved[i]);
            errno = error;
            return -1;
        }
    }
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (session ? POSIX_SPAWN_SETSID : 0));
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    for (int i = 0; i < n; i++) posix_spawn_file_actions_adddup2(&actions, moved[i], i);
    posix_spawn_file_actions_addclosefrom_np(&actions, n);
    pid_t pid = -1;
    int error = posix_spawn(&pid, path, &actions, &attributes, argv, envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 0; i < n; i++) close(moved[i]);
    if (error == 0) return pid;
    errno = error;
    return -1;
}
