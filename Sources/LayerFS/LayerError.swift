import Glibc
package import Kernel

/// What went wrong with a layer: its bytes, its archive, or the disk under it.
package struct LayerError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// The archive or the compressed stream is not well formed, or hostile.
        case malformed
        /// A digest or size is not the promised one.
        case mismatch
        /// A named limit was reached.
        case limit
        /// A kind of content this engine does not take.
        case unsupported
        /// The operating system refused; see `cause`.
        case system
        /// The work was cancelled.
        case cancelled
    }

    package let code: Code
    /// Lower case, names the object, says what to do where there is something to do.
    package let message: String
    package let cause: SystemError?

    package init(_ code: Code, _ message: String, cause: SystemError? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// A failed system call while `doing` something.
    package init(_ cause: SystemError, _ doing: String) {
        let remedy = Self.isForSpace(cause) ? "; free some space there (docker system prune), then try again" : ""
        self.init(.system, "\(doing): \(cause)\(remedy)", cause: cause)
    }

    /// True when the file system or the quota is full.
    package var isForSpace: Bool { cause.map(Self.isForSpace) ?? false }

    /// Attributes beyond what a file system keeps of one inode are ENOSPC, too, and no space helps.
    private static func isForSpace(_ cause: SystemError) -> Bool {
        (cause.code == ENOSPC || cause.code == EDQUOT) && cause.call != "setxattr"
    }

    package var description: String { message }
}

/// The files of one stored layer, in a directory of their own.
package struct LayerFiles: Sendable, Hashable {
    package let directory: String
    package init(directory: String) { self.directory = directory }

    /// The verbatim uncompressed tar.
    package var tar: String { directory + "/tar" }
    /// The parsed members (``EntryReader``).
    package var entries: String { directory + "/entries" }
    /// Expanded sparse members; absent where the layer has none.
    package var sparse: String { directory + "/sparse" }
}
