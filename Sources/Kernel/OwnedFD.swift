import CLinux
import Glibc

/// A file descriptor that closes itself.
package struct OwnedFD: ~Copyable, Sendable {
    /// The number; valid as long as this value lives.
    package let raw: CInt

    /// Takes over `raw`, which nobody else may close.
    package init(adopting raw: CInt) { self.raw = raw }

    deinit { _ = Glibc.close(raw) }

    /// close(2) whose failure matters: call it after writes that must be durable.
    package consuming func finish() throws(SystemError) {
        let raw = self.raw
        discard self
        guard Glibc.close(raw) == 0 else { throw SystemError("close") }
    }

    /// Gives the descriptor away without closing it: the receiver owns it now.
    package consuming func release() -> CInt {
        let raw = self.raw
        discard self
        return raw
    }

    /// A second descriptor for the same open file, close-on-exec.
    package borrowing func duplicate() throws(SystemError) -> OwnedFD {
        let source = raw
        return OwnedFD(adopting: try checked("fcntl") { cl_fcntl_int(source, F_DUPFD_CLOEXEC, 3) })
    }
}

extension OwnedFD {
    /// open(2) with O_CLOEXEC, for paths of our own making only; outsiders' paths go through ``open(beneath:_:_:mode:resolve:)``.
    package static func open(_ path: String, _ flags: CInt, mode: UInt32 = 0) throws(SystemError) -> OwnedFD {
        OwnedFD(adopting: try checked("open", path) { Glibc.open(path, flags | O_CLOEXEC, mode) })
    }

    /// openat(2) with O_CLOEXEC relative to this directory, for names of our own making.
    package borrowing func open(_ name: String, _ flags: CInt, mode: UInt32 = 0) throws(SystemError) -> OwnedFD {
        let directory = raw
        return OwnedFD(adopting: try checked("openat", name) { openat(directory, name, flags | O_CLOEXEC, mode) })
    }

    /// openat2(2): resolves an outsider's path once, inside this directory.
    ///
    /// - Parameter resolve: how; ``Resolve/inRoot`` treats the directory as the root of symbolic links and `..`.
    package borrowing func resolve(
        _ path: String, _ flags: CInt, mode: UInt32 = 0, _ resolve: Resolve = .inRoot
    ) throws(SystemError) -> OwnedFD {
        let directory = raw
        return OwnedFD(
            adopting: try checked("openat2", path) {
                cl_openat2(directory, path, UInt64(flags), UInt64(mode), resolve.rawValue)
            })
    }

    /// The RESOLVE_ flags of openat2(2).
    package struct Resolve: OptionSet, Sendable {
        package let rawValue: UInt64
        package init(rawValue: UInt64) { self.rawValue = rawValue }
        /// As after chroot(2), without magic links.
        package static let inRoot = Resolve(rawValue: UInt64(CL_RESOLVE_IN_ROOT | CL_RESOLVE_NO_MAGICLINKS))
        /// Leaving the directory is an error (EXDEV).
        package static let beneath = Resolve(rawValue: UInt64(CL_RESOLVE_BENEATH | CL_RESOLVE_NO_MAGICLINKS))
        /// Any symbolic link is an error (ELOOP).
        package static let noSymlinks = Resolve(rawValue: UInt64(CL_RESOLVE_NO_SYMLINKS))
    }

    /// `/proc/self/fd/N`: the open file as a path, for calls that take no descriptor.
    package var procPath: String { "/proc/self/fd/\(raw)" }

    /// fdatasync(2).
    package borrowing func syncData() throws(SystemError) {
        let descriptor = raw
        try checked("fdatasync") { fdatasync(descriptor) }
    }

    /// fsync(2); for a directory it makes renames and creations in it durable.
    package borrowing func sync() throws(SystemError) {
        let descriptor = raw
        try checked("fsync") { fsync(descriptor) }
    }

    /// Writes all of `bytes` with write(2).
    package borrowing func writeAll(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        var rest = bytes
        let descriptor = raw
        while !rest.isEmpty {
            let part = rest
            let count = try checked("write") { Glibc.write(descriptor, part.baseAddress, part.count) }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// Writes all of `bytes` at `offset` with pwrite(2).
    package borrowing func writeAll(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(SystemError) {
        var rest = bytes
        var position = offset
        let descriptor = raw
        while !rest.isEmpty {
            let part = rest
            let count = try checked("pwrite") { pwrite(descriptor, part.baseAddress, part.count, off_t(position)) }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            position += Int64(count)
        }
    }

    /// One read(2) into `buffer`; 0 at the end.
    package borrowing func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        let descriptor = raw
        return try checked("read") { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
    }

    /// One pread(2) at `offset`; 0 at the end.
    package borrowing func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(SystemError) -> Int
    {
        let descriptor = raw
        return try checked("pread") { pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset)) }
    }

    /// preadv2(2) of what is in memory already.
    ///
    /// - Returns: the number of bytes read, 0 at the end; nil where it would have to wait for a disk.
    package borrowing func readNow(
        into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
    ) throws(SystemError) -> Int? {
        let count = cl_pread_now(raw, buffer.baseAddress, buffer.count, offset)
        if count >= 0 { return count }
        if errno == EAGAIN || errno == EOPNOTSUPP { return nil }
        throw SystemError("preadv2", errno)
    }

    /// The rest of the file, at most `bytesMax` bytes.
    ///
    /// - Throws: `SystemError` with EFBIG when there is more.
    package borrowing func readAll(bytesMax: Int) throws(SystemError) -> [UInt8] {
        var result: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65536)
        let descriptor = raw
        while true {
            let count = try checked("read") { Glibc.read(descriptor, &block, block.count) }
            if count == 0 { return result }
            guard result.count + count <= bytesMax else { throw SystemError("read", EFBIG) }
            result.append(contentsOf: block[..<count])
        }
    }
}

extension OwnedFD {
    /// One read(2) of at most `bytesMax` bytes; empty at the end.
    package borrowing func readBlock(bytesMax: Int) throws(SystemError) -> [UInt8] {
        let descriptor = raw
        var block = [UInt8](repeating: 0, count: bytesMax)
        let count = try checked("read") { Glibc.read(descriptor, &block, bytesMax) }
        block.removeLast(bytesMax - count)
        return block
    }
}
