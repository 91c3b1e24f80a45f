/// Whose password is checked next: each check takes a processor for tens of milliseconds. Addresses take turns, and none of them, and
/// nobody who tries one account, has all there are: who guesses keeps nobody else out.
///
/// Pure: whoever is told to wait is named by ``end(_:)`` later.
struct LoginTurns: Hashable {
    /// Checks at once.
    static let checksMax = 4
    /// Of one address, and of one account: one stays for everybody else.
    static let sharedMax = checksMax - 1
    /// Log-ins of one address that wait, and of one account: behind a proxy all come from one.
    static let sharedWaitingMax = 32
    /// Log-ins that wait: the last of them does for seconds.
    static let waitingMax = 128

    /// Who wants to log in.
    struct Ticket: Sendable, Hashable {
        let id: Int
        let address: String
        let account: String
    }

    enum Answer: Hashable {
        case begins, waits
        /// Too many wait.
        case refused
    }

    private struct Share: Hashable {
        var checked = 0
        var waiting = 0
    }

    private var checked = 0
    private var waitingCount = 0
    /// Those that are checked or wait.
    private var addresses: [String: Share] = [:]
    private var accounts: [String: Share] = [:]
    /// By address, those that have come first first.
    private var waiting: [String: [Ticket]] = [:]
    /// Addresses that wait, the next one first.
    private var turns: [String] = []

    mutating func begin(_ ticket: Ticket) -> Answer {
        if checked < Self.checksMax, mayBegin(ticket) {
            take(ticket)
            return .begins
        }
        guard waitingCount < Self.waitingMax,
            addresses[ticket.address, default: Share()].waiting < Self.sharedWaitingMax,
            accounts[ticket.account, default: Share()].waiting < Self.sharedWaitingMax
        else { return .refused }
        waitingCount += 1
        addresses[ticket.address, default: Share()].waiting += 1
        accounts[ticket.account, default: Share()].waiting += 1
        if waiting[ticket.address] == nil { turns.append(ticket.address) }
        waiting[ticket.address, default: []].append(ticket)
        return .waits
    }

    /// One that began has been checked.
    ///
    /// - Returns: who begins now; has to be ended, too.
    mutating func end(_ ticket: Ticket) -> [Ticket] {
        checked -= 1
        Self.change(&addresses, ticket.address) { $0.checked -= 1 }
        Self.change(&accounts, ticket.account) { $0.checked -= 1 }
        var begun: [Ticket] = []
        while checked < Self.checksMax, let next = next() {
            take(next)
            begun.append(next)
        }
        return begun
    }

    private func mayBegin(_ ticket: Ticket) -> Bool {
        addresses[ticket.address, default: Share()].checked < Self.sharedMax
            && accounts[ticket.account, default: Share()].checked < Self.sharedMax
    }

    private mutating func take(_ ticket: Ticket) {
        checked += 1
        addresses[ticket.address, default: Share()].checked += 1
        accounts[ticket.account, default: Share()].checked += 1
    }

    /// The first that may begin, of the address whose turn it is.
    private mutating func next() -> Ticket? {
        for (turn, address) in turns.enumerated() {
            guard let place = waiting[address]?.firstIndex(where: mayBegin),
                let ticket = waiting[address]?.remove(at: place)
            else { continue }
            turns.remove(at: turn)
            if waiting[address]?.isEmpty == true { waiting[address] = nil } else { turns.append(address) }
            waitingCount -= 1
            Self.change(&addresses, address) { $0.waiting -= 1 }
            Self.change(&accounts, ticket.account) { $0.waiting -= 1 }
            return ticket
        }
        return nil
    }

    private static func change(_ shares: inout [String: Share], _ key: String, _ body: (inout Share) -> Void) {
        var share = shares[key, default: Share()]
        body(&share)
        shares[key] = share.checked + share.waiting > 0 ? share : nil
    }

    /// What counts as one address: of IPv6 the network that a host has (/64), since it has all addresses in there.
    static func network(_ address: String) -> String {
        // IPv4's at a socket of IPv6: `::ffff:10.1.2.3`.
        if address.contains("."), let last = address.split(separator: ":").last { return String(last) }
        let parts = address.split(separator: "::", maxSplits: 1, omittingEmptySubsequences: false)
        guard address.contains(":") else { return address }
        let groups = parts.map { $0.split(separator: ":").map(String.init) }
        let rest = groups.count > 1 ? groups[1] : []
        let zeros = parts.count > 1 ? max(0, 8 - groups[0].count - rest.count) : 0
        return (groups[0] + Array(repeating: "0", count: zeros) + rest).prefix(4).joined(separator: ":") + "::/64"
    }
}
