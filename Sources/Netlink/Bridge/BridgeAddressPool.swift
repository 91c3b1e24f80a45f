/// The addresses of one subnet: which are taken, and which comes next. No scan, whatever the size.
///
/// Never-used addresses come first, in order, then released ones, longest free first: an address rests as long as
/// possible, so that peers do not take a new container for the one before it.
struct BridgeAddressPool: Sendable {
    private let hosts: ClosedRange<IPv4Address>
    /// The next address never handed out, as a wide number so that it can pass the last one.
    private var fresh: UInt64
    private var taken: Set<IPv4Address>
    /// Released addresses from `oldest` on; the used-up front is cut off when it is half.
    private var released: [IPv4Address] = []
    private var oldest = 0
    /// What is in `released`, so that no address is in it twice.
    private var queued: Set<IPv4Address> = []

    /// - Parameter reserved: addresses never given to an endpoint, such as the gateway's.
    init(_ subnet: IPv4Subnet, reserved: [IPv4Address]) {
        hosts = subnet.hosts
        fresh = UInt64(subnet.hosts.lowerBound.value)
        taken = Set(reserved)
    }

    /// How many addresses there are, taken or not.
    var capacity: Int { Int(hosts.upperBound.value - hosts.lowerBound.value) + 1 }

    /// Takes the next free address; nil when none is.
    mutating func allocate() -> IPv4Address? {
        while fresh <= UInt64(hosts.upperBound.value) {
            let address = IPv4Address(UInt32(fresh))
            fresh += 1
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

    /// Takes this address; false when it is taken or none of the subnet's.
    mutating func reserve(_ address: IPv4Address) -> Bool {
        hosts.contains(address) && taken.insert(address).inserted
    }

    /// Gives an address back.
    mutating func release(_ address: IPv4Address) {
        guard taken.remove(address) != nil, UInt64(address.value) < fresh, queued.insert(address).inserted else {
            return
        }
        released.append(address)
    }
}
