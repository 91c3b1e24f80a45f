package import Kernel

/// What a network operation could not do, and what the user can do about it.
package struct NetworkError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kinds a caller tells apart.
    package enum Code: Sendable, Hashable {
        /// Another container or a process of the host has the port.
        case portTaken
        /// Every port of the ephemeral range is taken.
        case portsExhausted
        /// The requested address belongs to another endpoint, or to the gateway.
        case addressTaken
        /// The network has no address left.
        case addressesExhausted
        /// The requested address is in no subnet of the network.
        case addressOutside
        /// Every address pool is in use, or every address of a network.
        case exhausted
        /// The subnet shares addresses with another network or a route of the host.
        case poolOverlap
        /// The network has containers.
        case inUse
        /// There is no network of this id, or one already.
        case unknownNetwork, networkExists
        /// The container is on other networks only.
        case notOnNetwork
        /// The host already routes the subnet elsewhere, or every candidate.
        case subnetOverlap
        /// The kernel has no nftables address translation: containers reach each other and the host only.
        case translationUnavailable
        /// The container has an endpoint already, or none.
        case alreadyAttached, notAttached
        /// A value that cannot be meant: an address outside the subnet, an interface name of 16 bytes.
        case invalid
        /// A system call failed; `cause` says which.
        case system
    }

    package let code: Code
    /// Lower case where Docker's own words are not quoted; names the object.
    package let message: String
    /// What to do next; may be empty.
    package let remedy: String
    package let cause: SystemError?

    package init(_ code: Code, _ message: String, remedy: String = "", cause: SystemError? = nil) {
        self.code = code
        self.message = message
        self.remedy = remedy
        self.cause = cause
    }

    /// A failed system call, with what was being done.
    package init(_ doing: String, _ cause: SystemError) {
        self.init(.system, "\(doing): \(cause)", cause: cause)
    }

    package var description: String { remedy.isEmpty ? message : "\(message); \(remedy)" }
}

/// Runs `body` and says what was being done when a system call of it fails.
func doing<Value: ~Copyable>(
    _ what: @autoclosure () -> String, _ body: () throws(SystemError) -> Value
) throws(NetworkError) -> Value {
    do throws(SystemError) {
        return try body()
    } catch {
        throw NetworkError(what(), error)
    }
}
