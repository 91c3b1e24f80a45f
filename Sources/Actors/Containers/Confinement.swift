import Isolation

/// What a container's processes may do: capabilities, system calls and the kernel's files, read off its `HostConfig`.
struct Confinement: Sendable {
    let privileged: Bool
    let capabilities: CapabilitySet
    private(set) var seccomp = SeccompChoice.default
    private(set) var noNewPrivileges = false
    /// Nothing of /proc and /sys is hidden or read-only.
    private(set) var showsSystemPaths = false

    /// - Throws: ``EngineError`` `.invalidParameter` in Docker's words.
    init(_ host: HostConfig) throws {
        privileged = host.privileged ?? false
        capabilities = try Self.capabilities(host)
        if privileged { seccomp = .unconfined }
        for option in host.securityOpt ?? [] { try apply(option) }
    }

    private static func capabilities(_ host: HostConfig) throws -> CapabilitySet {
        for (member, names) in [("CapAdd", host.capAdd), ("CapDrop", host.capDrop)] {
            for name in names ?? [] where !CapabilitySet.isKnown(name) {
                let upper = name.uppercased()
                let full = upper.hasPrefix("CAP_") ? upper : "CAP_\(upper)"
                throw EngineError.invalid("invalid \(member): unknown capability: \"\(full.printable)\"")
            }
        }
        do throws(LaunchError) {
            return try CapabilitySet.default.adjusted(adding: host.capAdd ?? [], dropping: host.capDrop ?? [])
        } catch { throw EngineError.invalid(error.message) }
    }

    private mutating func apply(_ option: String) throws {
        if option == "no-new-privileges" {
            noNewPrivileges = true
            return
        }
        let separator: Character = option.contains("=") ? "=" : ":"
        let parts = option.split(separator: separator, maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else { throw EngineError.invalid("invalid --security-opt 1: \"\(option.printable)\"") }
        let value = parts[1]
        switch parts[0] {
        case "no-new-privileges":
            guard let isSet = GoBool.parse(value) else { throw Self.invalid(option) }
            noNewPrivileges = isSet
        case "seccomp" where value == "unconfined": seccomp = .unconfined
        case "seccomp" where value == "builtin" || value == "default": seccomp = .default
        case "seccomp": seccomp = .profile(Array(value.utf8))
        case "systempaths" where value == "unconfined": showsSystemPaths = true
        case "apparmor" where value == "unconfined", "label" where value == "disable": break
        case "apparmor", "label":
            throw EngineError.invalid(
                "\(parts[0]) is not supported on this host: leave out --security-opt \(option.printable)")
        default: throw Self.invalid(option)
        }
    }

    private static func invalid(_ option: String) -> EngineError {
        .invalid("invalid --security-opt 2: \"\(option.printable)\"")
    }
}

/// Confinement that a container could never start with.
enum ConfinementCheck {
    /// - Throws: ``EngineError`` `.invalidParameter` in Docker's words.
    static func check(_ host: HostConfig, _ launcher: Launcher) async throws {
        let confinement = try Confinement(host)
        do throws(LaunchError) {
            if !(host.sysctls ?? [:]).isEmpty {
                try KernelSettings.check(
                    host.sysctls ?? [:], ownNetwork: host.networkMode != "host", ownIPC: host.ipcMode != "host")
            }
            // Compiled once: the start finds the program.
            if case .profile = confinement.seccomp, !confinement.privileged {
                try await launcher.check(confinement.seccomp, confinement.capabilities)
            }
        } catch { throw EngineError.invalid(error.message) }
    }
}
