/// When a hook is tried again, with how much, and what is set aside: a pure decision over how deliveries end.
struct DeliveryPace: Sendable, Hashable {
    enum Outcome: Sendable, Hashable {
        case taken
        /// The receiver does not want it (a status of 4xx).
        case refused
        /// There is no receiver, or it has failed: another time it may take it.
        case failed
    }

    enum Action: Sendable, Hashable {
        /// It is told of what comes next.
        case goOn
        /// Sent again one by one: one of several may be what is not wanted.
        case single
        case wait(seconds: Double)
        case park
    }

    /// Events of one delivery.
    static let batchMax = 50
    /// Times that an event is refused before others are let past it.
    static let refusalsMax = 8
    private static let pauseFirst = 1.0
    private static let pauseMax = 300.0

    /// In a row.
    private(set) var failures = 0
    /// Events that are left to be sent alone.
    private var singles = 0

    var batch: Int { singles > 0 ? 1 : Self.batchMax }

    /// - Parameters:
    ///   - count: of the events that were sent.
    ///   - refusals: of the first of them, before.
    ///   - random: 0 to 1, so that not all come back at once.
    mutating func event(_ outcome: Outcome, count: Int, refusals: Int64, random: Double) -> Action {
        switch outcome {
        case .taken:
            failures = 0
            singles = max(0, singles - count)
            return .goOn
        case .refused where count > 1:
            singles = count
            return .single
        case .refused where refusals + 1 >= Self.refusalsMax:
            failures = 0
            singles = max(0, singles - 1)
            return .park
        case .refused, .failed:
            failures += 1
            let longest = min(Self.pauseFirst * Double(1 << min(failures - 1, 20)), Self.pauseMax)
            return .wait(seconds: longest * (0.5 + random / 2))
        }
    }
}
