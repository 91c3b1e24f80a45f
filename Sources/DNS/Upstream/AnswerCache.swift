import NIOCore

/// What makes two queries the same to a name server.
struct AnswerKey: Hashable {
    /// The list of servers, by its number.
    let servers: UInt32
    /// RD, AD and CD of the query.
    let flags: HeaderFlags
    /// Whether it has an OPT record, and whether that wants signatures.
    let hasOptions: Bool
    let wantsSignatures: Bool
    /// Name in lower case, type and class as in the message.
    let question: [UInt8]
}

/// Answers of name servers, as long as they may be kept. The one longest unused goes first when there are too many.
struct AnswerCache {
    private struct Entry {
        let key: AnswerKey
        let answer: UpstreamAnswer
        let stored: NIODeadline
        var newer: Int
        var older: Int
    }

    private static let none = -1
    /// What an entry takes beside its bytes: two slots, three allocations and a place in the table.
    private static let entryCost = 320

    private let entriesMax: Int
    private let bytesMax: Int
    private var index: [AnswerKey: Int] = [:]
    /// Entries in a chain by age of use; unused slots are nil and listed in `free`.
    private var slots: [Entry?] = []
    private var free: [Int] = []
    private var newest = none
    private var oldest = none
    private(set) var bytes = 0

    init(entriesMax: Int, bytesMax: Int) {
        self.entriesMax = entriesMax
        self.bytesMax = bytesMax
    }

    var count: Int { index.count }

    /// The answer and its age in seconds.
    mutating func answer(to key: AnswerKey, at now: NIODeadline) -> (UpstreamAnswer, age: UInt32)? {
        guard let slot = index[key], let entry = slots[slot] else { return nil }
        let age = UInt32(clamping: (now - entry.stored).nanoseconds / 1_000_000_000)
        guard age < entry.answer.lifetime else {
            remove(slot)
            return nil
        }
        unlink(slot)
        link(slot)
        return (entry.answer, age)
    }

    /// Keeps an answer that says it may be kept.
    mutating func store(_ answer: UpstreamAnswer, for key: AnswerKey, at now: NIODeadline) {
        guard answer.lifetime > 0, Self.cost(key, answer) <= bytesMax else { return }
        if let slot = index[key] { remove(slot) }
        let entry = Entry(key: key, answer: answer, stored: now, newer: Self.none, older: Self.none)
        let slot: Int
        if let reused = free.popLast() {
            slot = reused
            slots[slot] = entry
        } else {
            slot = slots.count
            slots.append(entry)
        }
        index[key] = slot
        bytes += Self.cost(key, answer)
        link(slot)
        while index.count > entriesMax || bytes > bytesMax { remove(oldest) }
    }

    private static func cost(_ key: AnswerKey, _ answer: UpstreamAnswer) -> Int {
        entryCost + key.question.count + answer.cost
    }

    private mutating func remove(_ slot: Int) {
        guard let entry = slots[slot] else { return }
        unlink(slot)
        index[entry.key] = nil
        bytes -= Self.cost(entry.key, entry.answer)
        slots[slot] = nil
        free.append(slot)
    }

    private mutating func link(_ slot: Int) {
        slots[slot]?.newer = Self.none
        slots[slot]?.older = newest
        if newest != Self.none { slots[newest]?.newer = slot } else { oldest = slot }
        newest = slot
    }

    private mutating func unlink(_ slot: Int) {
        guard let entry = slots[slot] else { return }
        if entry.newer != Self.none { slots[entry.newer]?.older = entry.older } else { newest = entry.older }
        if entry.older != Self.none { slots[entry.older]?.newer = entry.newer } else { oldest = entry.newer }
    }
}
