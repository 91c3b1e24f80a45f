// What starting containers needs: executable memory files, unix sockets with descriptors, and the launch plan's layout.
#ifndef CLINUX_ISOLATION_H
#define CLINUX_ISOLATION_H

#include <stdint.h>
#include <stddef.h>
#include "launch_plan.h"

// memfd_create(2) of a file that may be executed, sealable.
int cl_memfd_executable(const char *name);
// A listening SOCK_STREAM socket named `name` in the directory `dirfd`, mode 0600; and a connection to one.
// The path goes through /proc/self/fd, so its length does not matter.
int cl_unix_listen(int dirfd, const char *name, int backlog);
int cl_unix_connect(int dirfd, const char *name);
int cl_socketpair(int ends[2]);
// One event from a monitor: bytes read (0 at the end), or -1. A descriptor that came with it is stored in *attached, else -1.
long cl_receive_event(int fd, struct lp_event *event, int *attached);
// send(2) without SIGPIPE.
long cl_send(int fd, const void *bytes, size_t count);
// Wait status of a child that has ended: 1 with *status, 0 while it runs, -1 (ECHILD when it is not ours).
int cl_wait_pidfd(int pidfd, int *status);
// epoll(7) with a 64-bit name for each descriptor. `events` 0 reports hang-ups only.
#define CL_POLL_IN 1u
int cl_epoll_create(void);
int cl_epoll_add(int epoll, int fd, uint32_t events, uint64_t name);
int cl_epoll_remove(int epoll, int fd);
// Waits for at least one and stores the names of those that are ready; returns how many.
int cl_epoll_wait(int epoll, uint64_t *names, int names_max);
// Attaches a device filter to the cgroup v2 directory `cgroup`: `count` rules, the last that matches decides, else denied.
struct cl_device_rule {
    int32_t type;          // 1 block, 2 character, 0 any
    int32_t major_number, minor_number; // -1: any
    int32_t access;        // 1 mknod, 2 read, 4 write
    int32_t allow;
};
int cl_attach_device_filter(int cgroup, const struct cl_device_rule *rules, size_t count);

#endif
