/// Linux capabilities (capabilities(7)) as a bit set, numbered as in the kernel.
package struct CapabilitySet: Sendable, Hashable {
    package var bits: UInt64

    package init(bits: UInt64) { self.bits = bits }

    /// Names in the kernel's order, without `CAP_`.
    package static let names = [
        "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
        "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
        "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
        "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
        "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
        "CHECKPOINT_RESTORE",
    ]

    package static let all = CapabilitySet(bits: (1 << UInt64(names.count)) - 1)
    package static let none = CapabilitySet(bits: 0)
    /// Docker's fourteen.
    package static let `default` = CapabilitySet([
        "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
        "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
    ])

    private init(_ known: [String]) {
        bits = known.reduce(0) { $0 | (Self.bit($1) ?? 0) }
    }

    private static func bit(_ name: String) -> UInt64? {
        var name = name.uppercased()
        if name.hasPrefix("CAP_") { name.removeFirst(4) }
        return names.firstIndex(of: name).map { 1 << UInt64($0) }
    }

    package func contains(_ name: String) -> Bool { Self.bit(name).map { bits & $0 != 0 } ?? false }

    /// This set changed as `--cap-add` and `--cap-drop` ask, with Docker's meaning of `ALL`.
    ///
    /// - Throws: `LaunchError` for a name the kernel does not know.
    package func adjusted(adding: [String], dropping: [String]) throws(LaunchError) -> CapabilitySet {
        var result = self
        if adding.contains(where: Self.isAll) { result = .all }
        if dropping.contains(where: Self.isAll) { result = .none }
        for name in adding where !Self.isAll(name) { result.bits |= try Self.known(name) }
        for name in dropping where !Self.isAll(name) { result.bits &= ~(try Self.known(name)) }
        return result
    }

    /// True for a name of the kernel's, with or without `CAP_`, and for `ALL`.
    package static func isKnown(_ name: String) -> Bool { isAll(name) || bit(name) != nil }

    private static func isAll(_ name: String) -> Bool { name.uppercased() == "ALL" || name.uppercased() == "CAP_ALL" }

    private static func known(_ name: String) throws(LaunchError) -> UInt64 {
        guard let bit = bit(name) else {
            throw LaunchError(
                .invalid, step: "capabilities", "invalid capability: unknown capability \"\(name.uppercased())\"")
        }
        return bit
    }
}
