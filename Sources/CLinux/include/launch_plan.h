// The launch plan: what docker-monitor is told to do, as one flat block of memory.
//
// A header, then `op_count` operations, then strings, string lists and filters at the offsets the operations name.
// Written by Isolation/Plan, read by docker-monitor from a sealed memory file; never stored, never sent to another machine.
// Every offset is from the start of the block; a string is NUL-terminated; a list is that many 32-bit string offsets.
#ifndef CLINUX_LAUNCH_PLAN_H
#define CLINUX_LAUNCH_PLAN_H

#include <stdint.h>

#define LP_MAGIC 0x504c4b44u
#define LP_VERSION 1u
// Larger plans are refused by both sides: room for the largest argument and environment lists execve(2) accepts.
#define LP_BYTES_MAX (8u << 20)
#define LP_OPS_MAX 4096u
// Mounts prepared before the root is entered.
#define LP_SLOTS_MAX 512

// Descriptors the monitor is started with.
enum { LP_FD_PLAN = 3, LP_FD_CONTROL = 4, LP_FD_DIRECTORY = 5, LP_FD_LISTENER = 6, LP_FD_FIRST = 7 };

// Header flags.
enum {
    LP_TERMINAL = 1,    // the program gets a pseudo-terminal instead of pipes
    LP_OPEN_STDIN = 2,  // standard input is a pipe, else /dev/null
    LP_STDIN_ONCE = 4,  // it closes when the attached client's ends
    LP_INIT = 8,        // a small init is the first process
    LP_EXEC = 16,       // joins a container that runs
    LP_LOG_QUEUED = 32, // the log is written by a thread of its own, and what it cannot take is dropped
};

// LP_LOG_JSON: one JSON object a line, as Docker's json-file. LP_LOG_LOCAL: struct lp_log_frame, then its bytes.
enum { LP_LOG_JSON, LP_LOG_LOCAL };
// All little-endian. `kind` tells a torn frame from a whole one.
enum { LP_LOG_FRAME = 0xa0, LP_LOG_STDERR = 1, LP_LOG_LINE_ENDED = 2 };
struct lp_log_frame {
    uint8_t kind;      // LP_LOG_FRAME and the flags above
    uint8_t length[3]; // bytes that follow; a line feed that ended them is not among them
    uint8_t time[8];   // nanoseconds since 1970
};
// Longest piece of a line, and the longest log_attributes.
#define LP_LOG_PIECE_BYTES_MAX 16384u
#define LP_LOG_ATTRIBUTES_BYTES_MAX 16384u
// Largest log_queue_bytes: more than machines have memory.
#define LP_LOG_QUEUE_BYTES_MAX (1ull << 40)

struct lp_header {
    uint32_t magic, version, total_bytes, flags;
    uint32_t ops_offset, op_count;
    uint64_t clone_flags;       // of clone3(2)
    int32_t cgroup_fd;          // CLONE_INTO_CGROUP, or -1
    int32_t pid_namespace_fd;   // a pidfd whose pid namespace the child is created in, or -1
    int32_t oom_fd;             // a file with an `oom_kill <count>` line, or -1
    uint32_t stall_seconds;     // an attached client that reads nothing for so long is dropped
    uint16_t rows, columns;
    uint32_t log_path;          // string offset, 0: no log
    uint64_t log_bytes_max;
    uint32_t log_files_max;
    uint32_t log_format;        // LP_LOG_
    uint32_t log_sequence;      // number of the next rotated file
    uint32_t log_attributes;    // string offset of a JSON object that is part of each JSON record, or 0
    uint32_t arguments, argument_count, environment, environment_count;
    uint32_t reserved;
    uint64_t log_queue_bytes;   // LP_LOG_QUEUED: of text that waits to be written
};

// Operations, in the order the child performs them. s0…s2 are string offsets (0: none), `list` a list of list_count.
enum lp_code {
    LP_OP_CGROUP = 1,      // a: descriptor of a tasks or cgroup.procs file to enter
    LP_OP_SETNS,           // a: descriptor, b: CLONE_NEW… flags; s0 instead of a: path of a namespace file
    LP_OP_UNSHARE,         // a: CLONE_NEW… flags
    LP_OP_LOOPBACK_UP,
    LP_OP_BIND_OPEN,       // c: slot; s0: host path, s1: path inside it; LP_RECURSIVE; a: pid whose mount namespace holds it, or 0
    LP_OP_PRIVATE,         // no mount event reaches or leaves this namespace any more
    LP_OP_ROOT_OVERLAY,    // list: lowers, s0: upper, s1: work
    LP_OP_ROOT_BIND,       // s0: directory
    LP_OP_MOUNT,           // s0: type, s1: source name, s2: target, list: options, a: MOUNT_ATTR_ flags; LP_NO_SYMLINKS
    LP_OP_BIND_ATTACH,     // c: slot; s0: target; a: MOUNT_ATTR_ flags, b: propagation (MS_…); LP_RECURSIVE_FLAGS
    LP_OP_MKNOD,           // s0: path, a: mode, b: device
    LP_OP_SYMLINK,         // s0: path, s1: content
    LP_OP_MASK,            // s0: path
    LP_OP_READ_ONLY,       // s0: path
    LP_OP_ROOT_READ_ONLY,
    LP_OP_PIVOT,
    LP_OP_SYSCTL,          // s0: path below /proc/sys, s1: value
    LP_OP_HOSTNAME,        // s0
    LP_OP_DOMAINNAME,      // s0
    LP_OP_RLIMIT,          // a: resource, b: soft, c: hard
    LP_OP_OOM_SCORE,       // s0: the number as text
    LP_OP_KEYRING,         // s0: name
    LP_OP_WORKING_DIRECTORY, // s0: path; LP_CREATE
    LP_OP_CONSOLE,         // LP_CREATE: bind it to /dev/console
    LP_OP_USER,            // s0: user, list: additional groups
    LP_OP_CAPABILITIES,    // a: set
    LP_OP_NO_NEW_PRIVILEGES,
    LP_OP_SECCOMP,         // a: offset, b: bytes of the BPF program
    LP_OP_EXECUTE,
    LP_OP_CODES,           // how many there are
};

// Operation flags.
enum { LP_RECURSIVE = 1, LP_RECURSIVE_FLAGS = 2, LP_NO_SYMLINKS = 4, LP_CREATE = 8, LP_OPTIONAL = 16 };

struct lp_op {
    uint32_t code, flags;
    uint32_t s0, s1, s2, list, list_count, reserved;
    uint64_t a, b, c;
};

// A client's first bytes on the monitor's socket, and every request on a control connection.
#define LP_REQUEST_MAGIC 0x51524b44u
// LP_REQ_ATTACH_TIMED is answered first, by an int64_t: what the log has up to that time is not sent, all later output is.
enum lp_request_kind { LP_REQ_ATTACH = 1, LP_REQ_CONTROL, LP_REQ_GO, LP_REQ_RESIZE, LP_REQ_CLOSE_STDIN,
                       LP_REQ_ATTACH_TIMED };
enum { LP_STDIN = 1, LP_STDOUT = 2, LP_STDERR = 4 };
struct lp_request {
    uint32_t magic;
    uint8_t kind, streams;
    uint16_t rows, columns;
    uint16_t reserved;
};

// What the monitor says on a control connection. STARTED and RUNNING carry a pidfd of the first process.
enum { LP_EVENT_STARTED = 1, LP_EVENT_FAILED, LP_EVENT_RUNNING, LP_EVENT_EXITED, LP_EVENT_WAITING,
       LP_EVENT_LOG_ROTATED };
// More precise than errno: why a program or user could not be found.
enum { LP_FAIL_ERRNO = 0, LP_FAIL_NOT_IN_PATH, LP_FAIL_STAT, LP_FAIL_DIRECTORY, LP_FAIL_PERMISSION, LP_FAIL_EXECUTE,
       LP_FAIL_NO_USER, LP_FAIL_NO_GROUP, LP_FAIL_ID_RANGE, LP_FAIL_OUTSIDE };
struct lp_event {
    uint32_t kind;
    int32_t pid;          // STARTED, RUNNING
    uint32_t op;          // FAILED: enum lp_code, 0 for the monitor itself
    int32_t error;        // FAILED: errno
    uint32_t reason;      // FAILED: LP_FAIL_
    int32_t status;       // EXITED: as in wait(2)
    uint32_t oom;         // EXITED
    uint32_t reserved;
    int64_t finished;     // EXITED: nanoseconds since 1970
    char detail[216];     // FAILED: the object, cut and NUL-terminated
};

#endif
