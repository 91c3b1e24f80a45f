#define _GNU_SOURCE
#include "include/isolation.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

int cl_memfd_executable(const char *name) {
    int fd = (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    return fd < 0 && errno == EINVAL ? (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}

static int name_socket(struct sockaddr_un *address, int dirfd, const char *name) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", dirfd, name);
    if (length > 0 && length < (int)sizeof address->sun_path) return 0;
    errno = ENAMETOOLONG;
    return -1;
}

static int close_keeping_error(int fd) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int cl_unix_listen(int dirfd, const char *name, int backlog) {
    struct sockaddr_un address;
    if (name_socket(&address, dirfd, name) != 0) return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    // The mode of the socket's own inode is what bind(2) gives the file.
    fchmod(fd, 0600);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, backlog) != 0) return close_keeping_error(fd);
    return fd;
}

int cl_unix_connect(int dirfd, const char *name) {
    struct sockaddr_un address;
    if (name_socket(&address, dirfd, name) != 0) return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) return close_keeping_error(fd);
    return fd;
}

int cl_socketpair(int ends[2]) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends); }

long cl_receive_event(int fd, struct lp_event *event, int *attached) {
    struct iovec part = {.iov_base = event, .iov_len = sizeof *event};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    *attached = -1;
    ssize_t count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    struct cmsghdr *header = count > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(attached, CMSG_DATA(header), sizeof(int));
    return count;
}

long cl_send(int fd, const void *bytes, size_t count) { return send(fd, bytes, count, MSG_NOSIGNAL); }

int cl_wait_pidfd(int pidfd, int *status) {
    siginfo_t info = {0};
    if (waitid((idtype_t)3 /* P_PIDFD */, (id_t)pidfd, &info, WEXITED | WNOHANG) != 0) return -1;
    if (info.si_pid == 0) return 0;
    *status = info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f;
    return 1;
}

int cl_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }
int cl_epoll_add(int epoll, int fd, uint32_t events, uint64_t name) {
    struct epoll_event event = {.events = events, .data.u64 = name};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}
int cl_epoll_remove(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }
int cl_epoll_wait(int epoll, uint64_t *names, int names_max) {
    struct epoll_event events[64];
    int count = epoll_wait(epoll, events, names_max < 64 ? names_max : 64, -1);
    for (int i = 0; i < count; i++) names[i] = events[i].data.u64;
    return count;
}

// ---- the device filter of cgroup v2, one eBPF program ----

#define DEVICE_RULES_MAX 256
#define INSTRUCTIONS_A_RULE 10

static struct bpf_insn instruction(uint8_t code, uint8_t destination, uint8_t source, int16_t offset, int32_t value) {
    return (struct bpf_insn){.code = code, .dst_reg = destination, .src_reg = source, .off = offset, .imm = value};
}

// Registers: 2 type, 3 access, 4 major, 5 minor. A rule that does not match falls to the next one.
static size_t put_rule(struct bpf_insn *out, const struct cl_device_rule *rule) {
    struct bpf_insn *start = out;
    struct bpf_insn *jumps[5];
    size_t jump_count = 0;
    if (rule->type) {
        jumps[jump_count++] = out;
        *out++ = instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, 0, rule->type);
    }
    if (rule->access != 7) {
        *out++ = instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0);
        *out++ = instruction(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_1, 0, 0, ~rule->access & 7);
        jumps[jump_count++] = out;
        *out++ = instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_1, 0, 0, 0);
    }
    if (rule->major_number >= 0) {
        jumps[jump_count++] = out;
        *out++ = instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_4, 0, 0, rule->major_number);
    }
    if (rule->minor_number >= 0) {
        jumps[jump_count++] = out;
        *out++ = instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_5, 0, 0, rule->minor_number);
    }
    *out++ = instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, rule->allow);
    *out++ = instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    for (size_t i = 0; i < jump_count; i++) jumps[i]->off = (int16_t)(out - jumps[i] - 1);
    return (size_t)(out - start);
}

static size_t put_program(struct bpf_insn *out, const struct cl_device_rule *rules, size_t count) {
    struct bpf_insn *start = out;
    // struct bpf_cgroup_dev_ctx: access_type (low half type, high half access), major, minor.
    *out++ = instruction(BPF_LDX | BPF_W | BPF_MEM, BPF_REG_2, BPF_REG_1, 0, 0);
    *out++ = instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
    *out++ = instruction(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
    *out++ = instruction(BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
    *out++ = instruction(BPF_LDX | BPF_W | BPF_MEM, BPF_REG_4, BPF_REG_1, 4, 0);
    *out++ = instruction(BPF_LDX | BPF_W | BPF_MEM, BPF_REG_5, BPF_REG_1, 8, 0);
    for (size_t i = count; i-- > 0;) out += put_rule(out, &rules[i]);
    *out++ = instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
    *out++ = instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    return (size_t)(out - start);
}

int cl_attach_device_filter(int cgroup, const struct cl_device_rule *rules, size_t count) {
    struct bpf_insn program[8 + DEVICE_RULES_MAX * INSTRUCTIONS_A_RULE];
    if (count > DEVICE_RULES_MAX) {
        errno = E2BIG;
        return -1;
    }
    size_t length = put_program(program, rules, count);
    union bpf_attr load = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .insns = (uintptr_t)program, .insn_cnt = (uint32_t)length,
        .license = (uintptr_t) "Apache"};
    int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
    if (fd < 0) return -1;
    union bpf_attr attach = {.target_fd = (uint32_t)cgroup, .attach_bpf_fd = (uint32_t)fd, .attach_type = BPF_CGROUP_DEVICE};
    attach.attach_flags = BPF_F_ALLOW_MULTI;
    int result = (int)syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach);
    close_keeping_error(fd);
    return result;
}
