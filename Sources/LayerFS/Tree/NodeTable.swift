/// An open-addressing hash table from (parent, name) to node, holding node indexes only.
///
/// Nothing is ever removed from it (see ``TreeNode``). The seed differs from process to process, so that the names in
/// an image cannot be chosen to collide.
struct NodeTable {
    private(set) var slots: [NodeID]
    private(set) var count = 0
    private let seed: UInt64

    init() {
        slots = [NodeID](repeating: absent, count: 1024)
        var generator = SystemRandomNumberGenerator()
        seed = generator.next()
    }

    /// The hash of `name` below `parent`.
    func hash(_ parent: NodeID, _ name: ArraySlice<UInt8>) -> UInt32 {
        var state = seed ^ (UInt64(parent) &* 0x9E37_79B9_7F4A_7C15)
        name.withUnsafeBytes { bytes in
            var offset = 0
            while offset + 8 <= bytes.count {
                state = Self.mix(state ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                offset += 8
            }
            var tail = UInt64(bytes.count) << 56
            while offset < bytes.count {
                tail = tail << 8 ^ UInt64(bytes[offset])
                offset += 1
            }
            state = Self.mix(state ^ tail)
        }
        return UInt32(truncatingIfNeeded: state ^ state >> 32)
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        let product = (value ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
        return product.high ^ product.low
    }

    /// The node under `hash` for which `matches` holds.
    func find(_ hash: UInt32, _ matches: (NodeID) -> Bool) -> NodeID? {
        let mask = slots.count - 1
        var slot = Int(hash) & mask
        while slots[slot] != absent {
            if matches(slots[slot]) { return slots[slot] }
            slot = (slot + 1) & mask
        }
        return nil
    }

    /// Adds a node that is not in the table; `hashOf` gives the hash of those that are, for growing.
    mutating func insert(_ node: NodeID, hash: UInt32, hashOf: (NodeID) -> UInt32) {
        if (count + 1) * 3 > slots.count * 2 {
            let old = slots
            slots = [NodeID](repeating: absent, count: old.count * 2)
            for other in old where other != absent { place(other, hashOf(other)) }
        }
        place(node, hash)
        count += 1
    }

    private mutating func place(_ node: NodeID, _ hash: UInt32) {
        let mask = slots.count - 1
        var slot = Int(hash) & mask
        while slots[slot] != absent { slot = (slot + 1) & mask }
        slots[slot] = node
    }
}
