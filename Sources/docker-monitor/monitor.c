// Start-up, the event loop and the control connections.
#include "monitor.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/sched.h>

// Connections that have not said yet what they are, and control connections.
#define PEERS_MAX 16

struct peer {
    int fd;
    bool control;
    size_t have;
    struct lp_request request;
};

static struct peer peers[PEERS_MAX];
static struct child child = {.status = -1, .streams = {-1, -1, -1}};
static pid_t child_pid = -1;
static int child_pidfd = -1;
static bool started, reaped, announced;
static int exit_status;
static bool exit_oom;
static int64_t exit_time;
static int status_socket = -1;
static int terminal_master = -1;
// The container's mount namespace, so that it outlives the container's last process: taking it apart syncs file systems
// and waits for grace periods of the kernel, and nobody should wait for that to learn of an exit.
static int mount_namespace = -1;
static int stream_ends[3] = {-1, -1, -1};
static uint16_t wanted_rows, wanted_columns;

// ---- events to control connections ----

static bool send_event(int fd, struct lp_event *event, int attached) {
    struct iovec part = {.iov_base = event, .iov_len = sizeof *event};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (attached >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control.space;
        control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &attached, sizeof(int));
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof *event;
}

static void tell_all(struct lp_event *event, int attached) {
    for (int i = 0; i < PEERS_MAX; i++)
        if (peers[i].fd >= 0 && peers[i].control) send_event(peers[i].fd, event, attached);
}

void tell_log_rotated(void) {
    struct lp_event event = {.kind = LP_EVENT_LOG_ROTATED};
    tell_all(&event, -1);
}

static void fill_exit(struct lp_event *event) {
    *event = (struct lp_event){.kind = LP_EVENT_EXITED, .status = exit_status, .oom = exit_oom, .finished = exit_time};
}

// A control connection made after the start learns at once where things stand.
static void tell_state(int fd) {
    struct lp_event event = {.kind = LP_EVENT_WAITING};
    if (announced) fill_exit(&event);
    else if (started) event = (struct lp_event){.kind = LP_EVENT_RUNNING, .pid = child_pid};
    send_event(fd, &event, started && !announced ? child_pidfd : -1);
}

// Before the end is told to anyone: whoever hears of it may put a new monitor's socket in its place.
static void close_door(void) { unlinkat(LP_FD_DIRECTORY, "monitor.sock", 0); }

static _Noreturn void fail(uint32_t op, int error, uint32_t reason, const char *detail) {
    struct lp_event event = {.kind = LP_EVENT_FAILED, .op = op, .error = error, .reason = reason};
    strncpy(event.detail, detail, sizeof event.detail - 1);
    if (child_pid > 0) {
        syscall(SYS_pidfd_send_signal, child_pidfd, SIGKILL, NULL, 0);
        while (waitpid(child_pid, NULL, 0) < 0 && errno == EINTR) {}
    }
    close_door();
    tell_all(&event, -1);
    _exit(1);
}

// ---- starting the child ----

static void environment_pointers(void) {
    uint32_t count = plan->environment_count;
    size_t entries = (size_t)plan->argument_count + 1 + count + 2;
    char **pointers = mmap(NULL, entries * sizeof *pointers, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pointers == MAP_FAILED) fail(0, errno, LP_FAIL_ERRNO, "mmap");
    const uint32_t *arguments = (const uint32_t *)((const char *)plan + plan->arguments);
    const uint32_t *environment = (const uint32_t *)((const char *)plan + plan->environment);
    for (uint32_t i = 0; i < plan->argument_count; i++) pointers[i] = (char *)plan_string(arguments[i]);
    child.argv = pointers;
    child.environment = pointers + plan->argument_count + 1;
    child.environment_count = count;
    for (uint32_t i = 0; i < count; i++) child.environment[i] = (char *)plan_string(environment[i]);
}

static void make_stream(int index, bool input) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) fail(0, errno, LP_FAIL_ERRNO, "pipe");
    int ours = input ? 1 : 0;
    fcntl(ends[ours], F_SETFL, O_NONBLOCK);
    stream_ends[index] = ends[ours];
    child.streams[index] = ends[!ours];
}

static void make_streams(void) {
    if (plan->flags & LP_TERMINAL) return;
    if (plan->flags & LP_OPEN_STDIN) make_stream(0, true);
    else child.streams[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    make_stream(1, false);
    make_stream(2, false);
}

static void spawn_child(void) {
    environment_pointers();
    make_streams();
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) fail(0, errno, LP_FAIL_ERRNO, "socketpair");
    status_socket = ends[0];
    child.status = ends[1];
    if (plan->pid_namespace_fd >= 0 && setns(plan->pid_namespace_fd, CLONE_NEWPID) != 0)
        fail(LP_OP_SETNS, errno, LP_FAIL_ERRNO, "pid namespace");
    struct clone_args arguments = {
        .flags = plan->clone_flags | CLONE_PIDFD, .pidfd = (uintptr_t)&child_pidfd, .exit_signal = SIGCHLD};
    if (plan->cgroup_fd >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t)plan->cgroup_fd;
    }
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid < 0) fail(0, errno, LP_FAIL_ERRNO, "clone3");
    if (pid == 0) {
        close(status_socket);
        child_run(&child);
    }
    child_pid = pid;
    close(child.status);
    for (int i = 0; i < 3; i++)
        if (child.streams[i] >= 0) close(child.streams[i]);
}

static void hold_mount_namespace(void) {
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", child_pid);
    mount_namespace = open(path, O_RDONLY | O_CLOEXEC);
}

static void child_started(void) {
    started = true;
    if (plan->clone_flags & CLONE_NEWNS) hold_mount_namespace();
    close(status_socket);
    status_socket = -1;
    relay_begin(stream_ends[0], stream_ends[1], stream_ends[2], terminal_master);
    if (wanted_rows || wanted_columns) relay_resize(wanted_rows, wanted_columns);
    struct lp_event event = {.kind = LP_EVENT_STARTED, .pid = child_pid};
    tell_all(&event, child_pidfd);
}

// One message of the child: a failure, or the terminal's master. Its end of the socket closes with execve.
static void serve_status(void) {
    struct report report;
    struct iovec part = {.iov_base = &report, .iov_len = sizeof report};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t count = recvmsg(status_socket, &message, MSG_CMSG_CLOEXEC);
    if (count < 0 && errno == EINTR) return;
    if (count <= 0) {
        child_started();
        return;
    }
    if (count != (ssize_t)sizeof report) fail(0, EPROTO, LP_FAIL_ERRNO, "status");
    if (report.error != 0 || report.reason != 0) fail(report.op, report.error, report.reason, report.detail);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)) && terminal_master < 0) {
        memcpy(&terminal_master, CMSG_DATA(header), sizeof(int));
        fcntl(terminal_master, F_SETFL, O_NONBLOCK);
    }
}

// ---- the end of the child ----

static bool out_of_memory(void) {
    char text[512];
    if (plan->oom_fd < 0) return false;
    ssize_t count = pread(plan->oom_fd, text, sizeof text - 1, 0);
    if (count <= 0) return false;
    text[count] = 0;
    const char *line = strstr(text, "oom_kill ");
    return line && strtoul(line + 9, NULL, 10) > 0;
}

static void reap_child(void) {
    int status;
    pid_t pid = waitpid(child_pid, &status, WNOHANG);
    if (pid != child_pid) return;
    exit_status = status;
    exit_time = time_now();
    exit_oom = out_of_memory();
    reaped = true;
}

static void announce_exit(void) {
    announced = true;
    log_finish();
    close_door();
    record_write(exit_status, exit_oom, exit_time);
    struct lp_event event;
    fill_exit(&event);
    tell_all(&event, -1);
}

// ---- peers ----

static void close_peer(struct peer *peer) {
    bool was_control = peer->control;
    close(peer->fd);
    peer->fd = -1;
    // Before the start there is nothing to stay for once nobody can ask for it.
    if (!was_control || child_pid > 0) return;
    for (int i = 0; i < PEERS_MAX; i++)
        if (peers[i].fd >= 0 && peers[i].control) return;
    close_door();
    _exit(0);
}

static void serve_request(struct peer *peer);

static void add_peer(int fd, bool control) {
    for (int i = 0; i < PEERS_MAX; i++) {
        if (peers[i].fd >= 0) continue;
        peers[i] = (struct peer){.fd = fd, .control = control};
        return;
    }
    close(fd);
}

static void accept_peers(void) {
    for (;;) {
        int fd = accept4(LP_FD_LISTENER, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) return;
        struct ucred who;
        socklen_t size = sizeof who;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || (who.uid != 0 && who.uid != geteuid())) {
            close(fd);
            continue;
        }
        add_peer(fd, false);
    }
}

static void begin_start(void) {
    if (child_pid > 0) return;
    // Clients that connected before the start must see the first byte.
    accept_peers();
    for (int i = 0; i < PEERS_MAX; i++)
        if (peers[i].fd >= 0 && !peers[i].control) serve_request(&peers[i]);
    spawn_child();
}

static void perform_control(struct peer *peer, const struct lp_request *request) {
    switch (request->kind) {
    case LP_REQ_GO: begin_start(); break;
    case LP_REQ_RESIZE:
        wanted_rows = request->rows;
        wanted_columns = request->columns;
        if (started) relay_resize(wanted_rows, wanted_columns);
        break;
    case LP_REQ_CLOSE_STDIN: relay_close_input(); break;
    default: close_peer(peer);
    }
}

static void serve_request(struct peer *peer) {
    for (;;) {
        ssize_t count = recv(peer->fd, (char *)&peer->request + peer->have, sizeof peer->request - peer->have, MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (count <= 0) {
            close_peer(peer);
            return;
        }
        peer->have += (size_t)count;
        if (peer->have < sizeof peer->request) continue;
        peer->have = 0;
        struct lp_request request = peer->request;
        if (request.magic != LP_REQUEST_MAGIC) {
            close_peer(peer);
            return;
        }
        if (peer->control) {
            perform_control(peer, &request);
            if (peer->fd < 0) return;
            continue;
        }
        if (request.kind == LP_REQ_CONTROL) {
            peer->control = true;
            tell_state(peer->fd);
            continue;
        }
        int fd = peer->fd;
        peer->fd = -1;
        int64_t logged = log_time();
        if (request.kind == LP_REQ_ATTACH) relay_attach(fd, request.streams);
        // Nothing was sent on it before: there is room.
        else if (request.kind == LP_REQ_ATTACH_TIMED && send(fd, &logged, sizeof logged, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof logged)
            relay_attach(fd, request.streams);
        else close(fd);
        return;
    }
}

// ---- the loop ----

static void turn(void) {
    struct pollfd set[PEERS_MAX + 4 + RELAY_DESCRIPTORS_MAX];
    size_t count = 0;
    set[count++] = (struct pollfd){.fd = LP_FD_LISTENER, .events = POLLIN};
    set[count++] = (struct pollfd){.fd = status_socket, .events = POLLIN};
    set[count++] = (struct pollfd){.fd = started && !reaped ? child_pidfd : -1, .events = POLLIN};
    set[count++] = (struct pollfd){.fd = log_descriptor(), .events = POLLIN};
    struct pollfd *peer_set = set + count;
    for (int i = 0; i < PEERS_MAX; i++) set[count++] = (struct pollfd){.fd = peers[i].fd, .events = POLLIN};
    size_t relay_first = count;
    count += relay_poll_set(set + count, RELAY_DESCRIPTORS_MAX);
    if (poll(set, count, relay_timeout()) < 0) return;
    if (set[0].revents) accept_peers();
    for (int i = 0; i < PEERS_MAX; i++)
        if (peers[i].fd >= 0 && peers[i].fd == peer_set[i].fd && peer_set[i].revents) serve_request(&peers[i]);
    if (set[3].revents) log_serve();
    if (status_socket >= 0 && set[1].fd == status_socket && set[1].revents) serve_status();
    relay_serve(set + relay_first, count - relay_first);
    if (started && !reaped && set[2].revents) reap_child();
}

static void protect(void) {
    prctl(PR_SET_NAME, "docker-monitor");
    prctl(PR_SET_DUMPABLE, 0);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}

int main(void) {
    protect();
    for (int i = 0; i < PEERS_MAX; i++) peers[i].fd = -1;
    fcntl(LP_FD_CONTROL, F_SETFL, O_NONBLOCK);
    fcntl(LP_FD_LISTENER, F_SETFL, O_NONBLOCK);
    add_peer(LP_FD_CONTROL, true);
    if (fchdir(LP_FD_DIRECTORY) != 0) fail(0, errno, LP_FAIL_ERRNO, "directory");
    if (!plan_load(LP_FD_PLAN)) fail(0, EPROTO, LP_FAIL_ERRNO, "launch plan");
    wanted_rows = plan->rows;
    wanted_columns = plan->columns;
    if (!log_open())
        fail(0, errno, LP_FAIL_ERRNO, "log");
    while (!announced || relay_pending()) {
        turn();
        if (reaped && !announced && relay_drain()) announce_exit();
    }
    relay_end();
    // Before the control connection goes: then nothing of the container is mounted any more.
    if (mount_namespace >= 0) close(mount_namespace);
    record_sync();
    _exit(0);
}
