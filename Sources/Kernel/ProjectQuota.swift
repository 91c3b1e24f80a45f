import CLinux

/// A limit for everything below a directory, which the kernel holds and statfs(2) shows there (quotactl(2)): on ext4 with the
/// feature `project`, or xfs, mounted with `prjquota`, by Linux 5.14 or newer.
///
/// Project 0 is everything that is in no project.
package enum ProjectQuota {
    /// What a file system has counted for a project.
    package struct Account: Sendable, Hashable {
        /// Bytes that the project may take; 0 when there is no limit.
        package var bytesMax: UInt64
        package var bytes: UInt64
        /// Files, directories and others.
        package var nodes: UInt64
        /// True when nothing is in the project, and nothing is said of it.
        package var isUnknown: Bool { bytesMax == 0 && bytes == 0 && nodes == 0 }
    }

    /// True when the file system that holds `node` counts projects and holds their limits.
    package static func isEnforced(_ node: borrowing OwnedFD) -> Bool { cl_quota_is_enforced(node.raw) == 1 }

    /// - Throws: `SystemError` when the file system counts no projects.
    package static func account(of project: UInt32, at node: borrowing OwnedFD) throws(SystemError) -> Account {
        let descriptor = node.raw
        var quota = cl_quota()
        try checked("quotactl_fd", "project \(project)") { cl_quota_read(descriptor, project, &quota) }
        return Account(bytesMax: quota.bytes_max, bytes: quota.bytes, nodes: quota.nodes)
    }

    /// - Parameter bytes: rounded up to whole KiB; 0 for no limit.
    package static func limit(
        _ project: UInt32, to bytes: UInt64, at node: borrowing OwnedFD
    ) throws(SystemError) {
        let descriptor = node.raw
        try checked("quotactl_fd", "project \(project)") { cl_quota_limit(descriptor, project, bytes) }
    }

    /// The project that `directory` hands on to what is made in it; 0 for none, also where the file system knows none.
    package static func project(of directory: borrowing OwnedFD) -> UInt32 {
        var project: UInt32 = 0
        return cl_project_read(directory.raw, &project) == 0 ? project : 0
    }

    /// Puts an empty directory, and what is made in it from now on, into a project.
    package static func set(_ project: UInt32, of directory: borrowing OwnedFD) throws(SystemError) {
        let descriptor = directory.raw
        try checked("FS_IOC_FSSETXATTR", "project \(project)") { cl_project_set(descriptor, project) }
    }
}
