// Project quotas (quotactl(2)), by a descriptor of any file of the file system.
#define _GNU_SOURCE
#include "include/quota.h"

#include <errno.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

static int project_quota(int fd, unsigned command, uint32_t project, void *argument) {
    return (int)syscall(SYS_quotactl_fd, fd, QCMD(command, PRJQUOTA), project, argument);
}

int cl_quota_is_enforced(int fd) {
    struct fs_quota_statv state = {.qs_version = FS_QSTATV_VERSION1};
    if (project_quota(fd, Q_XGETQSTATV, 0, &state) != 0) return -1;
    return (state.qs_flags & FS_QUOTA_PDQ_ACCT) && (state.qs_flags & FS_QUOTA_PDQ_ENFD);
}

int cl_quota_read(int fd, uint32_t project, struct cl_quota *quota) {
    struct if_dqblk block = {0};
    memset(quota, 0, sizeof *quota);
    // xfs has no entry for a project that nobody ever used.
    if (project_quota(fd, Q_GETQUOTA, project, &block) != 0) return errno == ENOENT ? 0 : -1;
    quota->bytes_max = block.dqb_bhardlimit * QIF_DQBLKSIZE;
    quota->bytes = block.dqb_curspace;
    quota->nodes = block.dqb_curinodes;
    return 0;
}

int cl_quota_limit(int fd, uint32_t project, uint64_t bytes) {
    struct if_dqblk block = {.dqb_bhardlimit = (bytes + QIF_DQBLKSIZE - 1) / QIF_DQBLKSIZE, .dqb_valid = QIF_BLIMITS};
    return project_quota(fd, Q_SETQUOTA, project, &block);
}

int cl_project_read(int fd, uint32_t *project) {
    struct fsxattr attributes;
    if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) != 0) return -1;
    *project = attributes.fsx_xflags & FS_XFLAG_PROJINHERIT ? attributes.fsx_projid : 0;
    return 0;
}

int cl_project_set(int fd, uint32_t project) {
    struct fsxattr attributes;
    if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) != 0) return -1;
    attributes.fsx_projid = project;
    if (project) attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
    else attributes.fsx_xflags &= ~(unsigned)FS_XFLAG_PROJINHERIT;
    return ioctl(fd, FS_IOC_FSSETXATTR, &attributes);
}
