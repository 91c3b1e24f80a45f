// docker-monitor: starts one container or exec from a launch plan and stays with it.
//
//   monitor.c  start-up, the event loop, control connections        child.c   the operations of the new process
//   relay.c    standard streams and attached clients                rootfs.c  mounts and paths inside the new root
//   log.c      lines of the log                                     user.c    passwd and group of the container
//   log_file.c its records and files                                program.c capabilities, search, execve, init
//   log_queue.c its buffer, where there is one                      plan.c    the plan's checks
//   record.c   the exit record
#ifndef DOCKER_MONITOR_H
#define DOCKER_MONITOR_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "../CLinux/include/launch_plan.h"

// ---- the plan, mapped read-only and checked once ----

extern const struct lp_header *plan;

// Maps and checks the plan; false when it is not one of ours.
bool plan_load(int fd);
static inline const char *plan_string(uint32_t offset) { return offset ? (const char *)plan + offset : ""; }
static inline const struct lp_op *plan_op(uint32_t index) {
    return (const struct lp_op *)((const char *)plan + plan->ops_offset) + index;
}
static inline const char *plan_item(const struct lp_op *op, uint32_t index) {
    return plan_string(((const uint32_t *)((const char *)plan + op->list))[index]);
}

// ---- the child ----

struct child {
    int status;              // our end of the socket the child reports on; its end closes at execve
    int streams[3];          // what becomes its 0, 1, 2; -1 with a terminal
    char *const *argv;
    char **environment;      // one spare entry at the end for HOME
    size_t environment_count;
};

// What the child sends when a step fails, or (op = LP_OP_CONSOLE, error = 0) with the terminal's master attached.
struct report {
    uint32_t op;
    int32_t error;
    uint32_t reason;
    char detail[216];
};

// Performs the plan and becomes the program; returns never.
_Noreturn void child_run(struct child *child);
// Reports the failure of the current operation and ends the child.
_Noreturn void child_fail(int error, uint32_t reason, const char *detail);
// Sends the terminal's master to the monitor.
void child_send_descriptor(int fd);

extern int root_fd;          // the new root, before and after it is entered
extern int child_directory;  // the monitor's directory, as the child's own mount namespace sees it

void op_root_overlay(const struct lp_op *op);
void op_root_bind(const struct lp_op *op);
void op_mount(const struct lp_op *op);
void op_bind_open(const struct lp_op *op);
void op_bind_attach(const struct lp_op *op);
void op_make_node(const struct lp_op *op);
void op_symlink(const struct lp_op *op);
void op_mask(const struct lp_op *op);
void op_read_only(const struct lp_op *op);
void op_root_read_only(void);
void op_pivot(void);
void op_console(const struct lp_op *op);
void op_sysctl(const struct lp_op *op);
// Opens `path` inside the root, making what is missing; fails the child otherwise.
int root_make_directory(const char *path);
// openat2(2) inside the root without magic links.
int root_open(const char *path, uint64_t flags, uint64_t extra_resolve);

struct identity {
    uint32_t uid, gid;
    uint32_t groups[256];
    int group_count;
    char home[1024];
};
// Resolves `user` and the additional groups in the container's files; fails the child when they name nobody.
void identity_resolve(const struct lp_op *op, struct identity *identity);

struct program_state {
    struct identity identity;
    uint64_t capabilities;
    bool no_new_privileges, has_capabilities;
    const void *filter;
    size_t filter_bytes;
    int directory;           // of the working directory, or -1
};
// Gives up privileges and executes the plan's program.
_Noreturn void program_execute(struct child *child, struct program_state *state);

// ---- streams, clients, log, record ----

void relay_begin(int input, int output, int error, int terminal);
void relay_resize(uint16_t rows, uint16_t columns);
// A client that sent an attach request; the relay owns its socket from now on.
void relay_attach(int client, uint8_t streams);
void relay_close_input(void);
// Adds what the relay waits for to `set`, at most `room`; returns how many.
struct pollfd;
size_t relay_poll_set(struct pollfd *set, size_t room);
void relay_serve(const struct pollfd *set, size_t count);
// Milliseconds until a stalled client must be dropped, or -1.
int relay_timeout(void);
// After the end: takes over the output that is there; false while a client has no room for it.
bool relay_drain(void);
// True while a client still has output to read.
bool relay_pending(void);
void relay_end(void);

#define RELAY_DESCRIPTORS_MAX 72

// Opens the log the plan asks for; true where it asks for none.
bool log_open(void);
// stream: 0 standard output, 1 standard error. Whole lines are in the file after the next `log_flush`, or, where the log
// has a thread of its own, soon.
void log_append(int stream, const char *bytes, size_t count);
void log_flush(void);
// Writes what there is, lines without an end, too.
void log_finish(void);
// Readable when `log_serve` has something to do; -1 for never.
int log_descriptor(void);
// When the latest output was read that the log has, in nanoseconds since 1970; 0 for none.
int64_t log_time(void);
void log_serve(void);

// A line without its line feed, or a part of a long one, which `ended` none follows.
struct log_piece {
    int64_t time;  // nanoseconds since 1970
    const char *bytes;
    size_t count;  // at most LP_LOG_PIECE_BYTES_MAX
    int stream;
    bool ended;
};

// By one thread alone: the main one, or the queue's.
bool log_file_open(void);
void log_file_put(const struct log_piece *piece);
void log_file_flush(void);
struct lp_log_frame log_frame(const struct log_piece *piece);
// The file has been replaced; by the thread that writes.
void log_rotated(void);

bool log_queue_open(void);
// Never waits for a disk.
void log_queue_put(const struct log_piece *piece);
// Returns when all is in the file.
void log_queue_finish(void);

// Tells the daemon that the log has begun a new file: the one before may be compressed.
void tell_log_rotated(void);

int64_t time_now(void);
// Writes the exit record into the monitor's directory; false when it could not. `record_sync` makes it durable.
bool record_write(int status, bool oom, int64_t finished);
void record_sync(void);

#endif
