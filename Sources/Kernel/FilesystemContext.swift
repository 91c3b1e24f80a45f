import CLinux
import Glibc

/// A file system being configured with the mount API: fsopen(2), fsconfig(2), fsmount(2).
package struct FilesystemContext: ~Copyable {
    private let context: OwnedFD

    /// Longest string fsconfig(2) takes.
    package static let valueBytesMax = 255

    /// - Parameter type: as in /proc/filesystems.
    /// - Throws: `SystemError`; ENODEV when the kernel has no such file system.
    package init(_ type: String) throws(SystemError) {
        context = OwnedFD(adopting: try checked("fsopen", type) { cl_fsopen(type) })
    }

    /// Sets an option with a value; `source` is the device or file.
    package func set(_ key: String, _ value: String) throws(SystemError) {
        try checked("fsconfig", "\(key)=\(value)") { cl_fsconfig_string(context.raw, key, value) }
    }

    /// Sets an option without one.
    package func set(_ key: String) throws(SystemError) {
        try checked("fsconfig", key) { cl_fsconfig_flag(context.raw, key) }
    }

    /// Creates the file system, mounted nowhere: it exists as long as the descriptor of its root.
    package consuming func detached() throws(SystemError) -> OwnedFD {
        try checked("fsconfig") { cl_fsconfig_create(context.raw) }
        return OwnedFD(adopting: try checked("fsmount") { cl_fsmount(context.raw, 0) })
    }

    /// Creates the file system and mounts it at `target`, a directory.
    ///
    /// - Parameter readOnly: makes the mount, and not only the file system, read-only.
    package consuming func mount(at target: String, readOnly: Bool) throws(SystemError) {
        try checked("fsconfig", target) { cl_fsconfig_create(context.raw) }
        let attributes = readOnly ? UInt32(CL_MOUNT_ATTR_RDONLY) : 0
        let mount = OwnedFD(adopting: try checked("fsmount", target) { cl_fsmount(context.raw, attributes) })
        try checked("move_mount", target) {
            cl_move_mount(mount.raw, "", AT_FDCWD, target, UInt32(CL_MOVE_MOUNT_F_EMPTY_PATH))
        }
    }
}

/// Mounted file systems, by path.
package enum Mounts {
    /// mount(2) that may wait for another machine, and is given up after `milliseconds`.
    ///
    /// - Throws: `SystemError`; ETIMEDOUT when it was given up, and nothing is mounted.
    package static func mount(
        _ device: String, at target: String, type: String, flags: UInt, data: String, within milliseconds: Int32
    ) throws(SystemError) {
        guard cl_mount_within(device, target, type, flags, data, milliseconds) != 0 else { return }
        let error = SystemError("mount", errno, target)
        // Had it been done just before: then it is to go again. Nothing there is no error.
        if error.code == ETIMEDOUT { try? detach(target) }
        throw error
    }

    /// Detaches what is mounted at `path` (umount2(2)); it ends when the last user of it does. No mount there is no
    /// error.
    package static func detach(_ path: String) throws(SystemError) {
        guard umount2(path, CInt(MNT_DETACH)) != 0 else { return }
        let code = errno
        if code != EINVAL && code != ENOENT { throw SystemError("umount2", code, path) }
    }

    /// The mount that holds a path, as /proc/self/mountinfo has it.
    package struct Holder: Sendable, Hashable {
        /// Where it is mounted.
        package var path: String
        package var isShared: Bool
        package var isSlave: Bool
    }

    /// The mount that holds `path`, links followed.
    ///
    /// - Throws: `SystemError`; ENOENT when there is no such path.
    package static func holder(of path: String) throws(SystemError) -> Holder {
        guard let resolved = realpath(path, nil) else { throw SystemError("realpath", path) }
        defer { free(resolved) }
        let real = String(cString: resolved)
        var best: Holder?
        for line in String(decoding: try Files.read("/proc/self/mountinfo"), as: UTF8.self).split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count > 6 else { continue }
            let target = unescaped(fields[4])
            let isAbove = target == "/" || real == target || real.hasPrefix(target + "/")
            // A later mount on the same path covers the earlier.
            guard isAbove, target.utf8.count >= best?.path.utf8.count ?? 0 else { continue }
            let marks = fields[6...].prefix { $0 != "-" }
            best = Holder(
                path: target, isShared: marks.contains { $0.hasPrefix("shared:") },
                isSlave: marks.contains { $0.hasPrefix("master:") })
        }
        guard let best else { throw SystemError("mountinfo", ENOENT, path) }
        return best
    }

    /// A path of mountinfo, where blanks and backslashes are three octal digits.
    private static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let first = rest.popFirst() {
            let digits = String(decoding: rest.prefix(3), as: UTF8.self)
            if first == UInt8(ascii: "\\"), digits.utf8.count == 3, let byte = UInt8(digits, radix: 8) {
                bytes.append(byte)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(first)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// True when `path` is the root of a mount: its device is not the one of the directory above.
    package static func isMountPoint(_ path: String) -> Bool {
        var here = stat()
        var above = stat()
        return lstat(path, &here) == 0 && lstat(path + "/..", &above) == 0
            && (here.st_dev != above.st_dev || here.st_ino == above.st_ino)
    }
}
