// Mounts and paths of the new root. Every path given by an image or a user is resolved once, inside the root, to a
// descriptor; what follows works on the descriptor.
#include "monitor.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>

#ifndef OPEN_TREE_CLONE
#include <linux/mount.h>
#endif
#ifndef MOVE_MOUNT_T_EMPTY_PATH
#define MOVE_MOUNT_T_EMPTY_PATH 0x40
#endif
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif
#define PTMX_INODE 2
// Links of links that do not exist are followed so often when a mount target is made.
#define LINK_DEPTH_MAX 16

int root_fd = -1;
static int slots[LP_SLOTS_MAX];
static int hidden_directory = -1, hidden_file = -1;

static int sys_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    long fd;
    // RESOLVE_IN_ROOT answers EAGAIN when a rename somewhere made it unsure.
    for (int attempt = 0; attempt < 64; attempt++) {
        fd = syscall(SYS_openat2, directory, path, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN) break;
    }
    return (int)fd;
}

static int sys_open_tree(int directory, const char *path, unsigned flags) {
    return (int)syscall(SYS_open_tree, directory, path, flags | OPEN_TREE_CLOEXEC);
}

static int sys_mount_setattr(int fd, unsigned flags, uint64_t set, uint64_t propagation) {
    struct mount_attr attributes = {.attr_set = set, .propagation = propagation};
    return (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | flags, &attributes, sizeof attributes);
}

static int sys_attach(int mount_fd, int target) {
    return (int)syscall(SYS_move_mount, mount_fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int root_open(const char *path, uint64_t flags, uint64_t extra_resolve) {
    return sys_openat2(root_fd, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | extra_resolve);
}

// ---- making what is missing ----

static int make_path(const char *path, bool directory, int depth);

// The last component of `prefix` is missing in `parent`: makes it, or what the dangling link there names.
static int make_component(int parent, const char *prefix, const char *name, bool directory, int depth) {
    if (directory) {
        if (mkdirat(parent, name, 0755) == 0) return root_open(prefix, O_PATH | O_DIRECTORY, 0);
    } else {
        int fd = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd >= 0) return fd;
    }
    if (errno != EEXIST) return -1;
    char link[PATH_MAX], whole[2 * PATH_MAX];
    ssize_t count = readlinkat(parent, name, link, sizeof link - 1);
    if (count <= 0 || depth >= LINK_DEPTH_MAX) {
        errno = count <= 0 ? EEXIST : ELOOP;
        return -1;
    }
    link[count] = 0;
    size_t before = strlen(prefix) - strlen(name);
    if (link[0] == '/') before = 0;
    if (before + (size_t)count >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(whole, prefix, before);
    memcpy(whole + before, link, (size_t)count + 1);
    return make_path(whole, directory, depth + 1);
}

static int make_path(const char *path, bool directory, int depth) {
    int fd = root_open(path, O_PATH | (directory ? O_DIRECTORY : 0), 0);
    if (fd >= 0 || errno != ENOENT) return fd;
    char prefix[PATH_MAX];
    size_t length = strlen(path), end = 0;
    while (length > 1 && path[length - 1] == '/') length--;
    if (length >= sizeof prefix) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int parent = dup(root_fd);
    while (parent >= 0 && end < length) {
        size_t start = end;
        while (start < length && path[start] == '/') start++;
        end = start;
        while (end < length && path[end] != '/') end++;
        bool last = end == length;
        memcpy(prefix, path, end);
        prefix[end] = 0;
        bool wants_directory = !last || directory;
        int next = root_open(prefix, O_PATH | (wants_directory ? O_DIRECTORY : 0), 0);
        if (next < 0 && errno == ENOENT) next = make_component(parent, prefix, prefix + start, wants_directory, depth);
        int error = errno;
        close(parent);
        errno = error;
        parent = next;
    }
    return parent;
}

int root_make_directory(const char *path) {
    int fd = make_path(path, true, 0);
    if (fd < 0) child_fail(errno, LP_FAIL_ERRNO, path);
    return fd;
}

static int mount_target(const char *path, bool directory, uint32_t flags) {
    int fd;
    if (flags & LP_NO_SYMLINKS) {
        // A kernel file system goes where its name says, or nowhere.
        fd = root_open(path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
        if (fd < 0 && errno == ENOENT) fd = make_path(path, true, 0);
        if (fd < 0 && errno == ENOTDIR) errno = ELOOP;
    } else {
        fd = make_path(path, directory, 0);
    }
    if (fd < 0) child_fail(errno, LP_FAIL_ERRNO, path);
    return fd;
}

// ---- file systems ----

static int open_file_system(const char *type) {
    int fd = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
    if (fd < 0) child_fail(errno, LP_FAIL_ERRNO, type);
    return fd;
}

static void set_option(int fd, const char *key, const char *value) {
    long result = value ? syscall(SYS_fsconfig, fd, FSCONFIG_SET_STRING, key, value, 0)
                        : syscall(SYS_fsconfig, fd, FSCONFIG_SET_FLAG, key, NULL, 0);
    if (result != 0) child_fail(errno, LP_FAIL_ERRNO, key);
}

static int create_mount(int fd, uint64_t attributes, const char *what) {
    if (syscall(SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0) child_fail(errno, LP_FAIL_ERRNO, what);
    int mount_fd = (int)syscall(SYS_fsmount, fd, FSMOUNT_CLOEXEC, (unsigned)attributes);
    if (mount_fd < 0) child_fail(errno, LP_FAIL_ERRNO, what);
    close(fd);
    return mount_fd;
}

static void attach(int mount_fd, int target, const char *what) {
    if (sys_attach(mount_fd, target) != 0) child_fail(errno, LP_FAIL_ERRNO, what);
    close(target);
}

// The new root lies over the monitor's own directory, which nothing in the container needs.
static void attach_root(int mount_fd) {
    if (sys_attach(mount_fd, child_directory) != 0) child_fail(errno, LP_FAIL_ERRNO, "root file system");
    root_fd = mount_fd;
}

// All in one option, with `:` and `\` escaped. Not one option each (lowerdir+): a kernel before Linux 6.5 takes those and
// refuses the mount as a whole.
static void set_lower_directories(int fd, const struct lp_op *op) {
    static char list[65536];
    size_t count = 0;
    for (uint32_t i = 0; i < op->list_count; i++) {
        if (i) list[count++] = ':';
        for (const char *text = plan_item(op, i); *text; text++) {
            if (count + 4 > sizeof list) child_fail(E2BIG, LP_FAIL_ERRNO, "lowerdir");
            if (*text == ':' || *text == '\\') list[count++] = '\\';
            list[count++] = *text;
        }
    }
    list[count] = 0;
    set_option(fd, "lowerdir", list);
}

void op_root_overlay(const struct lp_op *op) {
    int fd = open_file_system("overlay");
    set_option(fd, "source", "overlay");
    set_lower_directories(fd, op);
    // Whatever the kernel was built with: a commit reads the upper directory, and these would put marks of their own into it.
    set_option(fd, "redirect_dir", "off");
    set_option(fd, "metacopy", "off");
    set_option(fd, "index", "off");
    set_option(fd, "upperdir", plan_string(op->s0));
    set_option(fd, "workdir", plan_string(op->s1));
    attach_root(create_mount(fd, 0, "overlay"));
}

void op_root_bind(const struct lp_op *op) {
    int tree = sys_open_tree(AT_FDCWD, plan_string(op->s0), OPEN_TREE_CLONE);
    if (tree < 0 || sys_mount_setattr(tree, 0, 0, MS_PRIVATE) != 0) child_fail(errno, LP_FAIL_ERRNO, plan_string(op->s0));
    attach_root(tree);
}

void op_mount(const struct lp_op *op) {
    const char *type = plan_string(op->s0), *target = plan_string(op->s2);
    int fd = open_file_system(type);
    set_option(fd, "source", plan_string(op->s1));
    for (uint32_t i = 0; i < op->list_count; i++) {
        char key[256];
        const char *option = plan_item(op, i), *equals = strchr(option, '=');
        size_t length = equals ? (size_t)(equals - option) : strlen(option);
        if (length >= sizeof key) child_fail(EINVAL, LP_FAIL_ERRNO, option);
        memcpy(key, option, length);
        key[length] = 0;
        set_option(fd, key, equals ? equals + 1 : NULL);
    }
    int mount_fd = create_mount(fd, op->a, target);
    attach(mount_fd, mount_target(target, true, op->flags), target);
    close(mount_fd);
}

// ---- binds ----

// A mount of another container's namespace: entered for the one call, and left again.
static int open_tree_of(pid_t pid, const char *path, unsigned flags) {
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/ns/mnt", pid);
    int theirs = open(name, O_RDONLY | O_CLOEXEC), ours = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (theirs < 0 || ours < 0 || setns(theirs, CLONE_NEWNS) != 0) child_fail(errno, LP_FAIL_ERRNO, name);
    int tree = sys_open_tree(AT_FDCWD, path, flags);
    int error = errno;
    if (setns(ours, CLONE_NEWNS) != 0) child_fail(errno, LP_FAIL_ERRNO, name);
    close(theirs);
    close(ours);
    errno = error;
    return tree;
}

// A part of a directory that others may write: resolved once, to a descriptor, and never out of the directory.
static int open_tree_inside(const char *directory, const char *path, unsigned flags) {
    int base = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = base < 0 ? -1 : sys_openat2(base, path, O_PATH, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    int tree = fd < 0 ? -1 : sys_open_tree(fd, "", flags | AT_EMPTY_PATH);
    if (tree < 0) child_fail(errno, LP_FAIL_ERRNO, path);
    close(fd);
    close(base);
    return tree;
}

void op_bind_open(const struct lp_op *op) {
    unsigned flags = OPEN_TREE_CLONE | (op->flags & LP_RECURSIVE ? AT_RECURSIVE : 0);
    const char *path = plan_string(op->s0);
    if (op->s1) {
        slots[op->c] = open_tree_inside(path, plan_string(op->s1), flags);
        return;
    }
    slots[op->c] = op->a ? open_tree_of((pid_t)op->a, path, flags) : sys_open_tree(AT_FDCWD, path, flags);
    if (slots[op->c] >= 0 || op->flags & LP_OPTIONAL) return;
    child_fail(errno, LP_FAIL_ERRNO, path);
}

void op_bind_attach(const struct lp_op *op) {
    int tree = slots[op->c];
    const char *path = plan_string(op->s0);
    if (tree < 0) return;
    struct stat status;
    if (fstat(tree, &status) != 0) child_fail(errno, LP_FAIL_ERRNO, path);
    int target = mount_target(path, S_ISDIR(status.st_mode), op->flags);
    unsigned recursive = op->b & MS_REC ? AT_RECURSIVE : 0;
    if (sys_mount_setattr(tree, recursive, 0, op->b & ~(uint64_t)MS_REC) != 0) child_fail(errno, LP_FAIL_ERRNO, path);
    unsigned deep = op->flags & LP_RECURSIVE_FLAGS ? AT_RECURSIVE : 0;
    if (op->a && sys_mount_setattr(tree, deep, op->a, 0) != 0) child_fail(errno, LP_FAIL_ERRNO, path);
    attach(tree, target, path);
    close(tree);
}

// ---- nodes and links ----

// The directory `path` lies in, made when missing, and its last component.
static int open_parent(const char *path, const char **name) {
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (length >= sizeof parent) child_fail(ENAMETOOLONG, LP_FAIL_ERRNO, path);
    memcpy(parent, path, length);
    parent[length] = 0;
    *name = slash ? slash + 1 : path;
    return length ? root_make_directory(parent) : dup(root_fd);
}

void op_make_node(const struct lp_op *op) {
    const char *name, *path = plan_string(op->s0);
    int parent = open_parent(path, &name);
    if (mknodat(parent, name, (mode_t)op->a, (dev_t)op->b) != 0 && errno != EEXIST) child_fail(errno, LP_FAIL_ERRNO, path);
    close(parent);
}

void op_symlink(const struct lp_op *op) {
    const char *name, *path = plan_string(op->s0);
    int parent = open_parent(path, &name);
    if (symlinkat(plan_string(op->s1), parent, name) != 0 && errno != EEXIST) child_fail(errno, LP_FAIL_ERRNO, path);
    close(parent);
}

// ---- hidden and read-only paths ----

// The first to be hidden gets the mount itself: before Linux 6.15 only what is attached somewhere can be cloned.
static int hiding_directory(void) {
    if (hidden_directory >= 0) return sys_open_tree(hidden_directory, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
    int fd = open_file_system("tmpfs");
    set_option(fd, "source", "tmpfs");
    set_option(fd, "size", "0");
    set_option(fd, "nr_inodes", "1");
    hidden_directory =
        create_mount(fd, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, "tmpfs");
    return hidden_directory;
}

static int hiding_file(void) {
    if (hidden_file < 0) {
        struct stat status;
        hidden_file = open("/dev/null", O_PATH | O_CLOEXEC);
        if (hidden_file < 0 || fstat(hidden_file, &status) != 0 || !S_ISCHR(status.st_mode) || status.st_rdev != makedev(1, 3))
            child_fail(ENODEV, LP_FAIL_ERRNO, "/dev/null");
    }
    return sys_open_tree(hidden_file, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
}

void op_mask(const struct lp_op *op) {
    const char *path = plan_string(op->s0);
    struct stat status;
    int target = root_open(path, O_PATH, 0);
    if (target < 0 && (errno == ENOENT || errno == ENOTDIR)) return;
    if (target < 0 || fstat(target, &status) != 0) child_fail(errno, LP_FAIL_ERRNO, path);
    int cover = S_ISDIR(status.st_mode) ? hiding_directory() : hiding_file();
    if (cover < 0) child_fail(errno, LP_FAIL_ERRNO, path);
    attach(cover, target, path);
    if (cover != hidden_directory) close(cover);
}

void op_read_only(const struct lp_op *op) {
    const char *path = plan_string(op->s0);
    int target = root_open(path, O_PATH, 0);
    if (target < 0 && (errno == ENOENT || errno == ENOTDIR)) return;
    int tree = target < 0 ? -1 : sys_open_tree(target, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
    if (tree < 0 || sys_mount_setattr(tree, AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0) != 0) child_fail(errno, LP_FAIL_ERRNO, path);
    attach(tree, target, path);
    close(tree);
}

void op_root_read_only(void) {
    if (sys_mount_setattr(root_fd, 0, MOUNT_ATTR_RDONLY, 0) != 0) child_fail(errno, LP_FAIL_ERRNO, "/");
}

// ---- entering ----

void op_pivot(void) {
    // "." as both places stacks the old root on the new one, from where it is taken off.
    if (fchdir(root_fd) != 0 || syscall(SYS_pivot_root, ".", ".") != 0) child_fail(errno, LP_FAIL_ERRNO, "pivot_root");
    if (umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) child_fail(errno, LP_FAIL_ERRNO, "old root");
}

void op_console(const struct lp_op *op) {
    int master = root_open("/dev/pts/ptmx", O_RDWR | O_NOCTTY, RESOLVE_NO_SYMLINKS);
    struct stat status;
    struct statfs file_system;
    if (master < 0 || fstat(master, &status) != 0 || fstatfs(master, &file_system) != 0)
        child_fail(errno, LP_FAIL_ERRNO, "/dev/pts/ptmx");
    if (file_system.f_type != DEVPTS_SUPER_MAGIC || status.st_ino != PTMX_INODE || status.st_rdev != makedev(5, 2))
        child_fail(ENOTTY, LP_FAIL_ERRNO, "/dev/pts/ptmx");
    int unlock = 0;
    if (ioctl(master, TIOCSPTLCK, &unlock) != 0) child_fail(errno, LP_FAIL_ERRNO, "/dev/pts/ptmx");
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) child_fail(errno, LP_FAIL_ERRNO, "/dev/pts");
    struct winsize size = {.ws_row = plan->rows, .ws_col = plan->columns};
    if (size.ws_row || size.ws_col) ioctl(slave, TIOCSWINSZ, &size);
    if (op->flags & LP_CREATE) {
        const char *name;
        int parent = open_parent("/dev/console", &name);
        int file = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (file < 0) file = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        int tree = sys_open_tree(slave, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
        if (file < 0 || tree < 0) child_fail(errno, LP_FAIL_ERRNO, "/dev/console");
        attach(tree, file, "/dev/console");
        close(tree);
        close(parent);
    }
    child_send_descriptor(master);
    close(master);
    if (ioctl(slave, TIOCSCTTY, 0) != 0) child_fail(errno, LP_FAIL_ERRNO, "controlling terminal");
    for (int i = 0; i < 3; i++)
        if (dup2(slave, i) < 0) child_fail(errno, LP_FAIL_ERRNO, "terminal");
    close(slave);
}

// Before the root is entered: through the host's /proc, which shows this process's namespaces.
void op_sysctl(const struct lp_op *op) {
    const char *path = plan_string(op->s0), *value = plan_string(op->s1);
    int base = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = base < 0 ? -1 : sys_openat2(base, path, O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (fd < 0 || write(fd, value, strlen(value)) < 0) child_fail(errno, LP_FAIL_ERRNO, path);
    close(fd);
    close(base);
}
