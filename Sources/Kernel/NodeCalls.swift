import CLinux
import Glibc

// Calls on names in a directory. A name is one path component as bytes without NUL: file names have no encoding. None of these
// follows a symbolic link that is the name itself, so a name that was swapped for a link is never left through it.

/// Runs `body` with `bytes` as a C string.
///
/// - Throws: `SystemError` with EINVAL when a NUL is inside: the kernel would see a shorter name.
@discardableResult
func withName<Value>(
    _ bytes: [UInt8], _ call: String, _ body: (UnsafePointer<CChar>) throws(SystemError) -> Value
) throws(SystemError) -> Value {
    guard !bytes.contains(0) else { throw SystemError(call, EINVAL, NodeName.text(bytes)) }
    let result: Result<Value, SystemError> = withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytes.count + 1) {
        text in
        guard let base = text.baseAddress else { return .failure(SystemError(call, EINVAL)) }
        UnsafeMutableRawBufferPointer(text).copyBytes(from: bytes)
        text[bytes.count] = 0
        do throws(SystemError) { return .success(try body(base)) } catch { return .failure(error) }
    }
    return try result.get()
}

/// File names as bytes, and as text for messages.
package enum NodeName {
    /// For messages only: bytes that are not UTF-8 are replaced.
    package static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// `directory` + "/" + `name`; a relative path when `directory` is empty.
    package static func join(_ directory: [UInt8], _ name: [UInt8]) -> [UInt8] {
        directory.isEmpty ? name : directory + [UInt8(ascii: "/")] + name
    }

    /// The path up to the last slash (empty when there is none), and the rest.
    package static func split(_ path: [UInt8]) -> (directory: [UInt8], name: [UInt8]) {
        guard let slash = path.lastIndex(of: UInt8(ascii: "/")) else { return ([], path) }
        return (Array(path[..<slash]), Array(path[(slash + 1)...]))
    }
}

/// How ``OwnedFD/open(node:_:mode:)`` opens.
package enum NodeAccess {
    /// A handle that reads nothing and opens no device: for status, attributes and reopening.
    package static let path = CL_O_PATH | O_NOFOLLOW
    package static let directory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW
    package static let handleOfDirectory = CL_O_PATH | O_DIRECTORY
    /// A new file, an error (EEXIST) when the name exists.
    package static let create = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
}

extension OwnedFD {
    /// openat(2) of a name in this directory with O_NOFOLLOW.
    package borrowing func open(node name: [UInt8], _ flags: CInt, mode: UInt32 = 0) throws(SystemError) -> OwnedFD {
        let directory = raw
        let descriptor = try withName(name, "openat") { pointer throws(SystemError) in
            try checked("openat", NodeName.text(name)) {
                openat(directory, pointer, flags | O_NOFOLLOW | O_CLOEXEC, mode)
            }
        }
        return OwnedFD(adopting: descriptor)
    }

    /// openat2(2) of a path as bytes; see ``resolve(_:_:mode:_:)``. Repeats when a rename elsewhere made the kernel give up (EAGAIN).
    package borrowing func resolve(
        bytes path: [UInt8], _ flags: CInt, _ resolve: Resolve = .inRoot
    ) throws(SystemError) -> OwnedFD {
        let directory = raw
        let descriptor = try withName(path, "openat2") { pointer throws(SystemError) in
            var attempts = 0
            while true {
                let result = cl_openat2(directory, pointer, UInt64(flags), 0, resolve.rawValue)
                if result >= 0 { return result }
                let code = errno
                attempts += 1
                let transient = code == EINTR || (code == EAGAIN && attempts < attemptsMax)
                guard transient else { throw SystemError("openat2", code, NodeName.text(path)) }
            }
        }
        return OwnedFD(adopting: descriptor)
    }

    /// A descriptor for reading of the object that this handle (O_PATH) holds: no second look-up of a name.
    package borrowing func reopen(_ flags: CInt) throws(SystemError) -> OwnedFD {
        try OwnedFD.open(procPath, flags & ~O_NOFOLLOW)
    }

    /// fstat(2) as plain numbers.
    package borrowing func nodeStatus() throws(SystemError) -> NodeStatus {
        var status = stat()
        let descriptor = raw
        try checked("fstat") { fstat(descriptor, &status) }
        return NodeStatus(status)
    }

    /// fstatat(2) of a name, not following it.
    package borrowing func nodeStatus(of name: [UInt8]) throws(SystemError) -> NodeStatus {
        let directory = raw
        return try withName(name, "fstatat") { pointer throws(SystemError) in
            var result = stat()
            try checked("fstatat", NodeName.text(name)) { fstatat(directory, pointer, &result, AT_SYMLINK_NOFOLLOW) }
            return NodeStatus(result)
        }
    }

    /// The target of the symbolic link that this handle holds. Cut at PATH_MAX, beyond which no link is.
    package borrowing func linkTarget() throws(SystemError) -> [UInt8] {
        let descriptor = raw
        return try withUnsafeTemporaryAllocationThrowing(bytes: Int(PATH_MAX) + 1) { buffer throws(SystemError) in
            let text = buffer.bindMemory(to: CChar.self)
            guard let base = text.baseAddress else { return [] }
            let count = try checked("readlinkat") {
                readlinkat(descriptor, "", base, text.count)
            }
            return Array(buffer[..<count])
        }
    }

    /// The names in this directory, sorted by their bytes, without `.` and `..`.
    package borrowing func names() throws(SystemError) -> [[UInt8]] {
        try members().map(\.name)
    }
}

/// How often a resolution that a concurrent rename disturbed is repeated before the error is given.
private let attemptsMax = 128

/// `withUnsafeTemporaryAllocation` for a body with typed throws.
func withUnsafeTemporaryAllocationThrowing<Value>(
    bytes: Int, _ body: (UnsafeMutableRawBufferPointer) throws(SystemError) -> Value
) throws(SystemError) -> Value {
    let result: Result<Value, SystemError> = withUnsafeTemporaryAllocation(byteCount: bytes, alignment: 16) { buffer in
        do throws(SystemError) { return .success(try body(buffer)) } catch { return .failure(error) }
    }
    return try result.get()
}
