#define _GNU_SOURCE
#include "include/nodes.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

ssize_t cl_listxattr(const char *path, void *list, size_t size) { return listxattr(path, list, size); }
ssize_t cl_getxattr(const char *path, const char *name, void *value, size_t size) { return getxattr(path, name, value, size); }
int cl_setxattr(const char *path, const char *name, const void *value, size_t size) {
    return setxattr(path, name, value, size, 0);
}

ssize_t cl_copy_range(int from, int64_t from_offset, int to, int64_t to_offset, size_t count) {
    off64_t source = from_offset, target = to_offset;
    return copy_file_range(from, &source, to, &target, count, 0);
}
int cl_clone_file(int from, int to) { return ioctl(to, FICLONE, from); }
int cl_syncfs(int fd) { return syncfs(fd); }

ssize_t cl_append_range(int from, int64_t from_offset, int to, size_t count) {
    off64_t source = from_offset;
    return copy_file_range(from, &source, to, NULL, count, 0);
}
ssize_t cl_splice_file(int from, int64_t from_offset, int to, size_t count) {
    off64_t source = from_offset;
    return splice(from, &source, to, NULL, count, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
}
ssize_t cl_flistxattr(int fd, void *list, size_t size) { return flistxattr(fd, list, size); }

const char *cl_entry_name(const struct dirent *entry) { return entry->d_name; }
