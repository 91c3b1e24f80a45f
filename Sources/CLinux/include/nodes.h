// Calls on one file, directory or link, relative to descriptors: opening by handle, attributes, copying of content.
#ifndef CLINUX_NODES_H
#define CLINUX_NODES_H

#include <dirent.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

// Flags of open(2), lseek(2), fchownat(2) and utimensat(2) that glibc hides behind _GNU_SOURCE or a macro Swift cannot import.
#define CL_O_PATH 010000000
#define CL_SEEK_DATA 3
#define CL_SEEK_HOLE 4
#define CL_UTIME_OMIT 1073741822L

// Extended attributes of the object that `path` names; `path` is a /proc/self/fd/N of ours, so it is followed exactly once.
ssize_t cl_listxattr(const char *path, void *list, size_t size);
ssize_t cl_getxattr(const char *path, const char *name, void *value, size_t size);
int cl_setxattr(const char *path, const char *name, const void *value, size_t size);

// copy_file_range(2) at explicit offsets, and the FICLONE ioctl.
ssize_t cl_copy_range(int from, int64_t from_offset, int to, int64_t to_offset, size_t count);
int cl_clone_file(int from, int to);
int cl_syncfs(int fd);

// What goes to where `to` stands: copy_file_range(2), and splice(2) into a pipe that may not wait (EAGAIN when it is full).
ssize_t cl_append_range(int from, int64_t from_offset, int to, size_t count);
ssize_t cl_splice_file(int from, int64_t from_offset, int to, size_t count);
// flistxattr(2): 0 bytes for most files, without a look-up in /proc.
ssize_t cl_flistxattr(int fd, void *list, size_t size);

// `name` of a directory entry, which Swift would import as a tuple of 256 characters.
const char *cl_entry_name(const struct dirent *entry);

#endif
