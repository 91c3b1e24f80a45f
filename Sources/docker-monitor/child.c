// The new process: performs the plan's operations in order, allocating nothing, and becomes the program.
#include "monitor.h"

#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <linux/keyctl.h>

int child_directory = -1;
static struct child *self;
static const struct lp_op *current;
static struct program_state state = {.directory = -1};

_Noreturn void child_fail(int error, uint32_t reason, const char *detail) {
    struct report report = {.op = current ? current->code : 0, .error = error ? error : EINVAL, .reason = reason};
    strncpy(report.detail, detail, sizeof report.detail - 1);
    send(self->status, &report, sizeof report, MSG_NOSIGNAL);
    _exit(127);
}

void child_send_descriptor(int fd) {
    struct report report = {.op = LP_OP_CONSOLE};
    struct iovec part = {.iov_base = &report, .iov_len = sizeof report};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
    if (sendmsg(self->status, &message, MSG_NOSIGNAL) < 0) child_fail(errno, LP_FAIL_ERRNO, "terminal");
}

static void op_cgroup(const struct lp_op *op) {
    if (write((int)op->a, "0", 1) != 1) child_fail(errno, LP_FAIL_ERRNO, "control group");
}

static void op_set_namespace(const struct lp_op *op) {
    int fd = op->s0 ? open(plan_string(op->s0), O_RDONLY | O_CLOEXEC) : (int)op->a;
    if (fd < 0 || setns(fd, (int)op->b) != 0) child_fail(errno, LP_FAIL_ERRNO, plan_string(op->s0));
    if (op->b & CLONE_NEWNS) root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void op_loopback_up(void) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) child_fail(errno, LP_FAIL_ERRNO, "lo");
    close(fd);
}

static void op_resource_limit(const struct lp_op *op) {
    struct rlimit limit = {.rlim_cur = op->b, .rlim_max = op->c};
    if (setrlimit((__rlimit_resource_t)op->a, &limit) != 0) child_fail(errno, LP_FAIL_ERRNO, plan_string(op->s0));
}

static void op_oom_score(const struct lp_op *op) {
    const char *text = plan_string(op->s0);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) child_fail(errno, LP_FAIL_ERRNO, text);
    close(fd);
}

static void op_keyring(const struct lp_op *op) {
    // Kernels without keyrings, and users over their quota, run without one of their own as with runc.
    syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, plan_string(op->s0));
}

static void op_working_directory(const struct lp_op *op) {
    const char *path = plan_string(op->s0);
    if (op->flags & LP_CREATE) state.directory = root_make_directory(path);
    else state.directory = root_open(path, O_PATH | O_DIRECTORY, 0);
    if (state.directory < 0) child_fail(errno, LP_FAIL_ERRNO, path);
}

static void op_namespace_name(const struct lp_op *op) {
    const char *name = plan_string(op->s0);
    int result = op->code == LP_OP_HOSTNAME ? sethostname(name, strlen(name)) : setdomainname(name, strlen(name));
    if (result != 0) child_fail(errno, LP_FAIL_ERRNO, name);
}

static void op_private(void) {
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) child_fail(errno, LP_FAIL_ERRNO, "/");
}

static void perform(const struct lp_op *op) {
    switch (op->code) {
    case LP_OP_CGROUP: op_cgroup(op); break;
    case LP_OP_SETNS: op_set_namespace(op); break;
    case LP_OP_UNSHARE:
        if (unshare((int)op->a) != 0) child_fail(errno, LP_FAIL_ERRNO, "namespace");
        break;
    case LP_OP_LOOPBACK_UP: op_loopback_up(); break;
    case LP_OP_BIND_OPEN: op_bind_open(op); break;
    case LP_OP_PRIVATE: op_private(); break;
    case LP_OP_ROOT_OVERLAY: op_root_overlay(op); break;
    case LP_OP_ROOT_BIND: op_root_bind(op); break;
    case LP_OP_MOUNT: op_mount(op); break;
    case LP_OP_BIND_ATTACH: op_bind_attach(op); break;
    case LP_OP_MKNOD: op_make_node(op); break;
    case LP_OP_SYMLINK: op_symlink(op); break;
    case LP_OP_MASK: op_mask(op); break;
    case LP_OP_READ_ONLY: op_read_only(op); break;
    case LP_OP_ROOT_READ_ONLY: op_root_read_only(); break;
    case LP_OP_PIVOT: op_pivot(); break;
    case LP_OP_SYSCTL: op_sysctl(op); break;
    case LP_OP_HOSTNAME:
    case LP_OP_DOMAINNAME: op_namespace_name(op); break;
    case LP_OP_RLIMIT: op_resource_limit(op); break;
    case LP_OP_OOM_SCORE: op_oom_score(op); break;
    case LP_OP_KEYRING: op_keyring(op); break;
    case LP_OP_WORKING_DIRECTORY: op_working_directory(op); break;
    case LP_OP_CONSOLE: op_console(op); break;
    case LP_OP_USER: identity_resolve(op, &state.identity); break;
    case LP_OP_CAPABILITIES:
        state.capabilities = op->a;
        state.has_capabilities = true;
        break;
    case LP_OP_NO_NEW_PRIVILEGES: state.no_new_privileges = true; break;
    case LP_OP_SECCOMP:
        state.filter = (const char *)plan + op->a;
        state.filter_bytes = op->b;
        break;
    case LP_OP_EXECUTE: program_execute(self, &state);
    default: child_fail(EINVAL, LP_FAIL_ERRNO, "operation");
    }
}

_Noreturn void child_run(struct child *child) {
    self = child;
    // Joined namespaces contain strangers: they may not look into this process while it is still the host's binary.
    prctl(PR_SET_DUMPABLE, 0);
    setsid();
    umask(0);
    // The descriptor the monitor has belongs to its own mount namespace; the working directory moved with the copy.
    child_directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (uint32_t i = 0; i < plan->op_count; i++) {
        current = plan_op(i);
        perform(current);
    }
    child_fail(EINVAL, LP_FAIL_ERRNO, "plan without a program");
}
