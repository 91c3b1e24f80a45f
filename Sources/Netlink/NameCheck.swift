/// Names that the kernel or nftables would misread, and numbers that they refuse.
enum NameCheck {
    /// Bytes of the longest name of an interface.
    private static let interfaceMax = 15
    /// Bytes of what comes before the number in the name of a container's interface.
    private static let prefixMax = 12

    static func table(_ name: String) throws(NetworkError) {
        guard !name.isEmpty, name.utf8.count < 64, name.utf8.first.map({ !(0x30...0x39).contains($0) }) == true,
            name.utf8.allSatisfy({
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x5F
            })
        else {
            throw NetworkError(.invalid, "invalid nftables table name \"\(name)\"", remedy: "use letters, digits and _")
        }
    }

    /// The names and numbers of a network.
    static func network(_ plan: NetworkPlan) throws(NetworkError) {
        guard plan.id.utf8.count >= 12, plan.id.allSatisfy({ $0.isHexDigit && !$0.isUppercase }) else {
            throw NetworkError(.invalid, "invalid network id \"\(plan.id)\"")
        }
        if plan.driver == .bridge, !isInterface(plan.interface, max: interfaceMax) {
            throw NetworkError(
                .invalid, "invalid bridge name \"\(plan.interface)\"", remedy: "use 1 to 15 letters, digits, - or _")
        }
        if let parent = plan.parent, !isInterface(parent, max: interfaceMax) || parent == "lo" {
            throw NetworkError(.invalid, "\"\(parent)\" is not a valid macvlan parent link")
        }
        guard isInterface(plan.containerPrefix, max: prefixMax), plan.containerPrefix != "lo" else {
            throw NetworkError(
                .invalid, "invalid prefix of interface names \"\(plan.containerPrefix)\"",
                remedy: "use 1 to 12 letters, digits, - or _")
        }
        let least: UInt32 = plan.ipv6 == nil ? 68 : 1280
        guard plan.mtu == 0 || (least...65535).contains(plan.mtu) else {
            throw NetworkError(.invalid, "invalid MTU \(plan.mtu)", remedy: "use \(least) to 65535 bytes")
        }
    }

    private static func isInterface(_ name: String, max: Int) -> Bool {
        (1...max).contains(name.utf8.count) && name != "." && name != ".." && name != "all" && name != "default"
            && name.utf8.allSatisfy {
                (0x21...0x7E).contains($0)
                    && ![UInt8(ascii: "/"), UInt8(ascii: "\""), UInt8(ascii: ":"), UInt8(ascii: "%")]
                        .contains($0)
            }
    }
}
