// Giving up privileges, finding the program, executing it, and the small init.
#include "monitor.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void load_filter(const struct program_state *state) {
    if (!state->filter) return;
    struct sock_fprog program = {
        .len = (unsigned short)(state->filter_bytes / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(uintptr_t)state->filter};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) child_fail(errno, LP_FAIL_ERRNO, "seccomp");
}

static void drop_bounding(uint64_t keep) {
    for (int capability = 0; capability < 64; capability++) {
        if (keep >> capability & 1) continue;
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
            if (errno == EINVAL) return;
            child_fail(errno, LP_FAIL_ERRNO, "bounding set");
        }
    }
}

static void set_capabilities(uint64_t set) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2], have[2];
    if (syscall(SYS_capget, &header, have) != 0) child_fail(errno, LP_FAIL_ERRNO, "capget");
    for (int i = 0; i < 2; i++) {
        // What the engine itself lacks it cannot give.
        uint32_t word = (uint32_t)(set >> (32 * i)) & have[i].permitted;
        data[i] = (struct __user_cap_data_struct){.effective = word, .permitted = word, .inheritable = 0};
    }
    if (syscall(SYS_capset, &header, data) != 0) child_fail(errno, LP_FAIL_ERRNO, "capset");
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static void become(const struct program_state *state) {
    const struct identity *who = &state->identity;
    // Not by the C library, which would have all threads follow: a log's writer, whom it remembers, did not come along.
    if (syscall(SYS_setgroups, (size_t)who->group_count, who->groups) != 0) child_fail(errno, LP_FAIL_ERRNO, "setgroups");
    if (syscall(SYS_setresgid, who->gid, who->gid, who->gid) != 0) child_fail(errno, LP_FAIL_ERRNO, "setgid");
    if (syscall(SYS_setresuid, who->uid, who->uid, who->uid) != 0) child_fail(errno, LP_FAIL_ERRNO, "setuid");
    // As execve(2) would leave it: a user who is not root starts with none.
    if (state->has_capabilities) set_capabilities(who->uid == 0 ? state->capabilities : 0);
}

static void enter_directory(const struct program_state *state) {
    char path[PATH_MAX];
    if (state->directory >= 0 && fchdir(state->directory) != 0) child_fail(errno, LP_FAIL_ERRNO, "working directory");
    // The kernel's answer is "(unreachable)…" for a directory outside the root.
    long count = syscall(SYS_getcwd, path, sizeof path);
    if (count <= 0 || path[0] != '/') child_fail(EXDEV, LP_FAIL_OUTSIDE, "working directory");
}

static void set_home(struct child *child, const struct program_state *state) {
    static char home[sizeof state->identity.home + 8];
    for (size_t i = 0; i < child->environment_count; i++) {
        // An empty HOME counts as missing, as with runc.
        if (strncmp(child->environment[i], "HOME=", 5) != 0) continue;
        if (child->environment[i][5]) return;
        snprintf(home, sizeof home, "HOME=%s", state->identity.home);
        child->environment[i] = home;
        return;
    }
    snprintf(home, sizeof home, "HOME=%s", state->identity.home);
    child->environment[child->environment_count] = home;
}

static const char *search_path(struct child *child) {
    for (size_t i = 0; i < child->environment_count; i++)
        if (strncmp(child->environment[i], "PATH=", 5) == 0) return child->environment[i] + 5;
    return DEFAULT_PATH;
}

static bool executable(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && !S_ISDIR(status.st_mode) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

static const char *find_program(struct child *child) {
    static char found[PATH_MAX];
    const char *name = child->argv[0];
    struct stat status;
    if (strchr(name, '/')) {
        if (stat(name, &status) != 0) child_fail(errno, LP_FAIL_STAT, name);
        if (S_ISDIR(status.st_mode)) child_fail(EISDIR, LP_FAIL_DIRECTORY, name);
        if (faccessat(AT_FDCWD, name, X_OK, AT_EACCESS) != 0) child_fail(errno, LP_FAIL_PERMISSION, name);
        return name;
    }
    for (const char *entry = search_path(child); name[0];) {
        size_t length = strcspn(entry, ":");
        // A relative entry could name a file of whoever chose the working directory; Go's search refuses it too.
        if (length > 0 && entry[0] == '/') {
            int count = snprintf(found, sizeof found, "%.*s/%s", (int)length, entry, name);
            if (count > 0 && count < (int)sizeof found && executable(found)) return found;
        }
        if (entry[length] == 0) break;
        entry += length + 1;
    }
    child_fail(ENOENT, LP_FAIL_NOT_IN_PATH, name);
}

// ---- the small init ----

static _Noreturn void leave_like(int status) {
    _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

// PID 1 reaps whatever is orphaned, forwards every signal to the program, and ends with it.
static _Noreturn void init_loop(pid_t program, const sigset_t *all) {
    for (;;) {
        siginfo_t info;
        int signal_number = sigwaitinfo(all, &info);
        if (signal_number < 0) continue;
        if (signal_number != SIGCHLD) {
            kill(program, signal_number);
            continue;
        }
        int status;
        pid_t pid;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
            if (pid == program) leave_like(status);
    }
}

// Returns in the program's process only.
static void become_init(struct child *child) {
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &all, NULL);
    pid_t program = fork();
    if (program < 0) child_fail(errno, LP_FAIL_ERRNO, "fork");
    if (program == 0) {
        setpgid(0, 0);
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(0, getpid());
        signal(SIGTTOU, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        return;
    }
    setpgid(program, program);
    // Its end of the status socket, and every other descriptor: the program's execve alone closes the last.
    syscall(SYS_close_range, 3u, ~0u, 0u);
    for (int i = 0; i < 3; i++) close(i);
    prctl(PR_SET_NAME, "docker-init");
    (void)child;
    init_loop(program, &all);
}

static void place_streams(struct child *child, const struct identity *who) {
    for (int i = 0; i < 3; i++) {
        struct stat status;
        if (child->streams[i] >= 0 && dup2(child->streams[i], i) < 0) child_fail(errno, LP_FAIL_ERRNO, "streams");
        // So that /dev/stdout can be opened again by a user who is not root; /dev/null stays everybody's.
        if (fstat(i, &status) == 0 && status.st_rdev != 0x103) (void)!fchown(i, who->uid, (gid_t)-1);
    }
}

static void reset_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn void program_execute(struct child *child, struct program_state *state) {
    place_streams(child, &state->identity);
    reset_signals();
    set_home(child, state);
    if (state->has_capabilities) drop_bounding(state->capabilities);
    enter_directory(state);
    umask(0022);
    if (state->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        child_fail(errno, LP_FAIL_ERRNO, "no_new_privs");
    // Loading needs CAP_SYS_ADMIN or no_new_privs: with the latter it can be the last step.
    if (!state->no_new_privileges) load_filter(state);
    become(state);
    const char *path = find_program(child);
    if (plan->flags & LP_INIT) become_init(child);
    if (state->no_new_privileges) load_filter(state);
    if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) != 0) child_fail(errno, LP_FAIL_ERRNO, "close_range");
    execve(path, child->argv, child->environment);
    child_fail(errno, LP_FAIL_EXECUTE, path);
}
