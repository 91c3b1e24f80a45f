import CLinux
import Glibc
import Kernel

/// A container or exec that could not be prepared or started: the step, its `errno`, and Docker's words for it.
package struct LaunchError: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Kind: Sendable, Hashable {
        /// The request itself is wrong: a bad sysctl, user, mount target.
        case invalid
        /// The program is not there.
        case commandNotFound
        /// The program is there and cannot be run.
        case commandNotExecutable
        /// A step of the set-up failed.
        case setup
        /// The monitor could not be started or has gone.
        case monitor
    }

    package let kind: Kind
    /// The step that failed, as the plan names it.
    package let step: String
    /// `errno` of the step, or 0.
    package let code: Int32
    package let message: String

    package init(_ kind: Kind, step: String, code: Int32 = 0, _ message: String) {
        self.kind = kind
        self.step = step
        self.code = code
        self.message = message
    }

    init(_ error: SystemError, step: String) {
        self.init(.monitor, step: step, code: error.code, "\(step): \(error)")
    }

    /// The exit code Docker gives to a container that did not start for this reason.
    package var exitCode: Int32 {
        switch kind {
        case .commandNotFound: 127
        case .commandNotExecutable: 126
        case .invalid, .setup, .monitor: 128
        }
    }

    package var description: String { message }
}
