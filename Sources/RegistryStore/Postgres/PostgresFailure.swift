/// What PostgreSQL, or the way to it, has refused.
struct PostgresFailure: Error, Sendable, CustomStringConvertible {
    /// What can be done about it.
    enum Kind: Sendable, Hashable {
        /// The connection is no more, or there was none to be had.
        case lost
        /// Somebody else was in the way, or it took too long.
        case busy
        case diskFull
        /// A text that PostgreSQL has no characters for.
        case unstorable
        case other
    }

    let kind: Kind
    /// SQLSTATE (PostgreSQL manual, appendix A); empty when it is not the server that says it.
    let state: String
    let message: String

    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        state = ""
        self.message = message
    }

    init(state: String, _ message: String) {
        self.state = state
        self.message = message
        kind = Self.kind(state)
    }

    private static func kind(_ state: String) -> Kind {
        switch state {
        // Classes 08 (no connection) and 57P (the server ends), no connection left, the session ended by a time limit.
        case "53300", "25P03": .lost
        case _ where state.hasPrefix("08") || state.hasPrefix("57P"): .lost
        // Serialization, deadlock, a lock or a statement that took too long.
        case "40001", "40P01", "55P03", "57014": .busy
        case "53100": .diskFull
        case "22021", "22P05": .unstorable
        default: .other
        }
    }

    var description: String { "PostgreSQL: \(message)" + (state.isEmpty ? "" : " (\(state))") }

    /// What a caller of the index gets.
    var translated: any Error {
        switch kind {
        case .lost, .busy: Refusal(.unknown, 503, "the registry's database does not answer: try again later")
        case .diskFull: Refusal(.unknown, 507, "no space left on device: the registry's index cannot grow")
        case .unstorable: Refusal(.unknown, 400, "the request has characters that the registry's index cannot hold")
        case .other: StoreFailure(description)
        }
    }
}
