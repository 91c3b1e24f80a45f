import CLinux
import Glibc

/// A system call that failed: which one, its `errno`, and the object it was about. See errno(3).
package struct SystemError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The call, as in its man page: "openat2".
    package let call: String
    /// The value of `errno` after it.
    package let code: CInt
    /// The path or object, where there is one.
    package let object: String

    package init(_ call: String, _ code: CInt, _ object: String = "") {
        self.call = call
        self.code = code
        self.object = object
    }

    /// With the `errno` the call has just left.
    package init(_ call: String, _ object: String = "") { self.init(call, Glibc.errno, object) }

    /// The text of strerror(3) for `code`, in lower case as Go and Docker print it.
    package var reason: String {
        var buffer = [CChar](repeating: 0, count: 128)
        cl_error_text(code, &buffer, buffer.count)
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).lowercased()
    }

    package var description: String { object.isEmpty ? "\(call): \(reason)" : "\(call) \(object): \(reason)" }
}

/// Runs a system call that reports failure by -1, again while it is interrupted by a signal.
///
/// - Returns: what the call returned.
/// - Throws: `SystemError` with `call`, `errno` and `object`.
@discardableResult
package func checked<Result: SignedInteger>(
    _ call: String, _ object: @autoclosure () -> String = "", _ body: () -> Result
) throws(SystemError) -> Result {
    while true {
        let result = body()
        if result >= 0 { return result }
        let code = Glibc.errno
        if code != EINTR { throw SystemError(call, code, object()) }
    }
}
