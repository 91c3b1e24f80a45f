package import Kernel

/// Why a mount specification or a volume operation was refused.
package struct VolumeError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// The request is wrong.
        case invalid
        case notFound
        /// It exists, or is not as it must be for this.
        case conflict
        /// The operating system refused; see `cause`.
        case system
    }

    package let code: Code
    /// In Docker's words where Docker has words for it.
    package let message: String
    package let cause: SystemError?

    package init(_ code: Code, _ message: String, cause: SystemError? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// A failed system call while `doing` something.
    package init(_ cause: SystemError, _ doing: String) {
        self.init(.system, "\(doing): \(cause)", cause: cause)
    }

    package var description: String { message }

    /// `body`, with a failed system call told as this kind of error.
    static func wrapping<Value: ~Copyable>(
        _ doing: String, _ body: () throws(SystemError) -> Value
    ) throws(VolumeError) -> Value {
        do throws(SystemError) { return try body() } catch { throw VolumeError(error, doing) }
    }
}
