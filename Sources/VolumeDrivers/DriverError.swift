/// Why a volume driver did not do what it was asked.
package struct DriverError: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Code: Sendable, Hashable {
        /// There is no such driver, or it does nothing with volumes.
        case notFound
        /// The driver says no, in its own words.
        case refused
        /// The driver does not answer, or not in time.
        case unreachable
        /// The driver's answer, or what is written about it, cannot be used.
        case invalid
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
