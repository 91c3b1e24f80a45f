/// The addresses of one subnet: which are taken, and which comes next. No scan, whatever the size.
///
/// Never-used addresses come first, in order, then released ones, longest free first: an address rests as long as
/// possible, so that peers do not take a new container for the one before it.
struct AddressPool: Sendable {
    /// What may be asked for by number.
    private let hosts: ClosedRange<IPAddress>
    /// What is handed out unasked: the part of `hosts` inside the plan's range.
    private let range: ClosedRange<IPAddress>
    /// The next address never handed out; nil past the last one.
    private var fresh: UInt128?
    private var taken: Set<IPAddress>
    /// Released addresses from `oldest` on; the used-up front is cut off when it is half.
    private var released: [IPAddress] = []
    private var oldest = 0
    /// What is in `released`, so that no address is in it twice.
    private var queued: Set<IPAddress> = []

    /// The gateway's and the auxiliary addresses are taken from the beginning.
    init(_ plan: AddressPlan) {
        hosts = plan.subnet.hosts
        range = Self.range(of: plan)
        fresh = range.lowerBound.value
        taken = Set(plan.auxiliary.values)
        if let gateway = plan.gateway { taken.insert(gateway) }
    }

    /// The addresses that are handed out unasked.
    static func range(of plan: AddressPlan) -> ClosedRange<IPAddress> {
        guard let range = plan.range else { return plan.subnet.hosts }
        let hosts = plan.subnet.hosts
        let lower = max(range.base, hosts.lowerBound)
        let upper = min(range.last, hosts.upperBound)
        return lower <= upper ? lower...upper : hosts
    }

    /// How many addresses are handed out unasked, taken or not; at most `Int.max`.
    var capacity: Int {
        let more = Int(clamping: range.upperBound.value - range.lowerBound.value)
        return more == .max ? more : more + 1
    }

    /// Takes the next free address; nil when none is.
    mutating func allocate() -> IPAddress? {
        while let value = fresh {
            let address = IPAddress(range.lowerBound.family, value)
            fresh = address < range.upperBound ? value + 1 : nil
            if taken.insert(address).inserted { return address }
        }
        while oldest < released.count {
            let address = released[oldest]
            oldest += 1
            queued.remove(address)
            if oldest * 2 > released.count {
                released.removeFirst(oldest)
                oldest = 0
            }
            if taken.insert(address).inserted { return address }
        }
        return nil
    }

    /// True for an address that a host of the subnet may have.
    func mayBeAsked(_ address: IPAddress) -> Bool { hosts.contains(address) }

    func isTaken(_ address: IPAddress) -> Bool { taken.contains(address) }

    /// Takes this address; false when it is taken or none of the subnet's.
    mutating func reserve(_ address: IPAddress) -> Bool { hosts.contains(address) && taken.insert(address).inserted }

    /// Gives an address back.
    mutating func release(_ address: IPAddress) {
        guard taken.remove(address) != nil, range.contains(address), isUsed(address), queued.insert(address).inserted
        else { return }
        released.append(address)
    }

    /// True when `fresh` is past it already.
    private func isUsed(_ address: IPAddress) -> Bool { fresh.map { address.value < $0 } ?? true }
}
