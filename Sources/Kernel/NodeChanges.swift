import CLinux
import Glibc

// Making, removing and changing what is in a directory, by name, never following the name.

extension OwnedFD {
    package borrowing func makeDirectory(_ name: [UInt8], mode: UInt32 = 0o755) throws(SystemError) {
        let directory = raw
        try withName(name, "mkdirat") { pointer throws(SystemError) in
            try checked("mkdirat", NodeName.text(name)) { mkdirat(directory, pointer, mode) }
        }
    }

    package borrowing func makeSymlink(_ name: [UInt8], to target: [UInt8]) throws(SystemError) {
        let directory = raw
        try withName(target, "symlinkat") { targetPointer throws(SystemError) in
            try withName(name, "symlinkat") { pointer throws(SystemError) in
                try checked("symlinkat", NodeName.text(name)) { symlinkat(targetPointer, directory, pointer) }
            }
        }
    }

    /// mknodat(2) of a fifo or device; permission bits are 0600 until changed.
    package borrowing func makeNode(
        _ name: [UInt8], _ kind: NodeStatus.Kind, major: UInt32 = 0, minor: UInt32 = 0
    ) throws(SystemError) {
        let type: mode_t
        switch kind {
        case .fifo: type = S_IFIFO
        case .character: type = S_IFCHR
        case .block: type = S_IFBLK
        default: throw SystemError("mknodat", EINVAL, NodeName.text(name))
        }
        let directory = raw
        try withName(name, "mknodat") { pointer throws(SystemError) in
            try checked("mknodat", NodeName.text(name)) {
                mknodat(directory, pointer, type | 0o600, cl_makedev(major, minor))
            }
        }
    }

    /// linkat(2): `name` in this directory becomes another name of `original` in `source`, which is not followed.
    package borrowing func makeLink(
        _ name: [UInt8], to original: [UInt8], in source: borrowing OwnedFD
    ) throws(SystemError) {
        let directory = raw
        let origin = source.raw
        try withName(original, "linkat") { originalPointer throws(SystemError) in
            try withName(name, "linkat") { pointer throws(SystemError) in
                try checked("linkat", NodeName.text(name)) { linkat(origin, originalPointer, directory, pointer, 0) }
            }
        }
    }

    /// unlinkat(2) of anything but a directory; a missing name is no error.
    package borrowing func unlink(_ name: [UInt8]) throws(SystemError) {
        let directory = raw
        try withName(name, "unlinkat") { pointer throws(SystemError) in
            if unlinkat(directory, pointer, 0) == 0 || errno == ENOENT { return }
            throw SystemError("unlinkat", NodeName.text(name))
        }
    }

    /// Removes the name and, when it is a directory, everything below it, without following links. Missing is no error.
    package borrowing func removeTree(_ name: [UInt8]) throws(SystemError) {
        do throws(SystemError) {
            try unlink(name)
        } catch {
            guard error.code == EISDIR || error.code == EPERM else { throw error }
            let tree = try open(node: name, NodeAccess.directory)
            try tree.removeContents()
            let directory = raw
            try withName(name, "unlinkat") { pointer throws(SystemError) in
                if unlinkat(directory, pointer, AT_REMOVEDIR) == 0 || errno == ENOENT { return }
                throw SystemError("unlinkat", NodeName.text(name))
            }
        }
    }

    /// Removes everything in this directory. An explicit stack instead of recursion: trees of outsiders may be deep.
    package borrowing func removeContents() throws(SystemError) {
        final class Frame {
            let directory: OwnedFD
            var names: [[UInt8]]
            init(_ directory: consuming OwnedFD, _ names: [[UInt8]]) {
                self.directory = directory
                self.names = names
            }
        }
        let top = try open(".", O_RDONLY | O_DIRECTORY)
        let topNames = try top.names()
        var frames = [Frame(top, topNames)]
        while let frame = frames.last {
            guard let name = frame.names.last else {
                frames.removeLast()
                continue
            }
            let removed: Bool = try withName(name, "unlinkat") { pointer throws(SystemError) in
                if unlinkat(frame.directory.raw, pointer, 0) == 0 || errno == ENOENT { return true }
                guard errno == EISDIR || errno == EPERM else { throw SystemError("unlinkat", NodeName.text(name)) }
                return unlinkat(frame.directory.raw, pointer, AT_REMOVEDIR) == 0
            }
            if removed {
                frame.names.removeLast()
                continue
            }
            guard frames.count < TreeWalk.depthMax else { throw SystemError("unlinkat", ELOOP, NodeName.text(name)) }
            let child = try frame.directory.open(node: name, NodeAccess.directory)
            let names = try child.names()
            // Nothing inside and yet not removable: a mount point or an immutable directory.
            if names.isEmpty { throw SystemError("unlinkat", EBUSY, NodeName.text(name)) }
            frames.append(Frame(child, names))
        }
    }

    /// fchownat(2) of the object itself; works on a handle (O_PATH) too.
    package borrowing func setOwner(uid: UInt32, gid: UInt32) throws(SystemError) {
        let descriptor = raw
        try checked("fchownat") { fchownat(descriptor, "", uid, gid, CInt(CL_AT_EMPTY_PATH)) }
    }

    /// chmod(2) of the object itself; works on a handle (O_PATH) too, but never on a symbolic link.
    package borrowing func setMode(_ mode: UInt16) throws(SystemError) {
        let path = procPath
        try checked("chmod") { chmod(path, mode_t(mode)) }
    }

    /// utimensat(2) of the object itself; works on a handle (O_PATH) too. `atime` nil leaves that time as it is.
    package borrowing func setTimes(mtime: NodeStatus.Moment, atime: NodeStatus.Moment?) throws(SystemError) {
        let times = [atime?.timespec ?? timespec(tv_sec: 0, tv_nsec: Int(CL_UTIME_OMIT)), mtime.timespec]
        let descriptor = raw
        try checked("utimensat") { utimensat(descriptor, "", times, CInt(CL_AT_EMPTY_PATH)) }
    }

    /// renameat2(2) within or between directories.
    ///
    /// - Parameter replaces: false makes an existing target an error (EEXIST).
    package borrowing func rename(
        _ name: [UInt8], to target: [UInt8], in directory: borrowing OwnedFD, replaces: Bool
    ) throws(SystemError) {
        let source = raw
        let destination = directory.raw
        try withName(name, "renameat2") { pointer throws(SystemError) in
            try withName(target, "renameat2") { targetPointer throws(SystemError) in
                let flags = replaces ? 0 : UInt32(CL_RENAME_NOREPLACE)
                try checked("renameat2", NodeName.text(target)) {
                    cl_renameat2(source, pointer, destination, targetPointer, flags)
                }
            }
        }
    }
}
