import CLinux
import Glibc

/// One extended attribute (xattr(7)): a name and any bytes.
package struct NodeAttribute: Sendable, Hashable {
    package var name: [UInt8]
    package var value: [UInt8]
    package init(name: [UInt8], value: [UInt8]) {
        self.name = name
        self.value = value
    }
}

extension OwnedFD {
    /// Largest list and value the kernel knows (XATTR_LIST_MAX, XATTR_SIZE_MAX), in bytes.
    private static var attributeBytesMax: Int { 65536 }

    /// The names of the extended attributes, in the kernel's order; none where the file system has no attributes.
    /// Works on a handle (O_PATH) too, also of a symbolic link.
    package borrowing func attributeNames() throws(SystemError) -> [[UInt8]] {
        let path = procPath
        var size = cl_listxattr(path, nil, 0)
        if size == 0 { return [] }
        if size < 0 {
            let code = errno
            if code == ENOTSUP || code == ENOSYS { return [] }
            throw SystemError("listxattr", code)
        }
        size = Self.attributeBytesMax
        return try withUnsafeTemporaryAllocationThrowing(bytes: size) { buffer throws(SystemError) in
            let count = try checked("listxattr") { cl_listxattr(path, buffer.baseAddress, buffer.count) }
            return buffer[..<count].split(separator: 0).map { Array($0) }
        }
    }

    /// The value of an attribute; nil when it does not exist.
    package borrowing func attribute(_ name: [UInt8]) throws(SystemError) -> [UInt8]? {
        let path = procPath
        return try withName(name, "getxattr") { pointer throws(SystemError) in
            let size = cl_getxattr(path, pointer, nil, 0)
            if size < 0 {
                let code = errno
                if code == ENODATA || code == ENOTSUP { return nil }
                throw SystemError("getxattr", code, NodeName.text(name))
            }
            // It may grow between the two calls; the largest there can be always fits.
            let room = size <= 256 ? 512 : Self.attributeBytesMax
            return try withUnsafeTemporaryAllocationThrowing(bytes: room) { buffer throws(SystemError) in
                let count = cl_getxattr(path, pointer, buffer.baseAddress, buffer.count)
                if count < 0 && errno == ENODATA { return nil }
                guard count >= 0 else { throw SystemError("getxattr", NodeName.text(name)) }
                return Array(buffer[..<count])
            }
        }
    }

    /// setxattr(2) on the object itself; works on a handle (O_PATH) too.
    package borrowing func setAttribute(_ attribute: NodeAttribute) throws(SystemError) {
        let path = procPath
        try withName(attribute.name, "setxattr") { pointer throws(SystemError) in
            try checked("setxattr", NodeName.text(attribute.name)) {
                attribute.value.withUnsafeBytes { cl_setxattr(path, pointer, $0.baseAddress, $0.count) }
            }
        }
    }
}
