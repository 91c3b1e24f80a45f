#ifndef CLINUX_QUOTA_H
#define CLINUX_QUOTA_H

#include <stdint.h>

struct cl_quota {
    uint64_t bytes_max;  // 0: no limit
    uint64_t bytes;
    uint64_t nodes;
};

// 1 when the file system of `fd` counts projects and holds their limits, 0 when it does not, -1 when it cannot.
int cl_quota_is_enforced(int fd);
// Zeros for a project that the file system does not know.
int cl_quota_read(int fd, uint32_t project, struct cl_quota *quota);
int cl_quota_limit(int fd, uint32_t project, uint64_t bytes);
// The project of a directory that hands it on to what is made in it; 0 for none.
int cl_project_read(int fd, uint32_t *project);
int cl_project_set(int fd, uint32_t project);

#endif
