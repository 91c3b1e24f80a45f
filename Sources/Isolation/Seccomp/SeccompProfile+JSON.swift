import FoundationEssentials

/// Docker's JSON form of a profile.
private struct Document: Decodable {
    struct Argument: Decodable {
        var index: UInt32
        var value: UInt64
        var valueTwo: UInt64?
        var op: String
    }
    struct Condition: Decodable {
        var caps: [String]?
        var arches: [String]?
    }
    struct Call: Decodable {
        var name: String?
        var names: [String]?
        var action: String
        var errnoRet: UInt16?
        var args: [Argument]?
        var includes: Condition?
        var excludes: Condition?
    }
    var defaultAction: String
    var defaultErrnoRet: UInt16?
    var syscalls: [Call]?
}

extension SeccompProfile {
    #if arch(x86_64)
        private static let architectures: Set<String> = ["amd64", "x32", "x86"]
    #else
        private static let architectures: Set<String> = ["arm64", "arm"]
    #endif

    /// The rules of a profile that apply to a process with `capabilities` on this machine.
    ///
    /// - Throws: `LaunchError` naming the member that is wrong.
    init(json: [UInt8], capabilities: CapabilitySet) throws(LaunchError) {
        let document: Document
        do {
            document = try JSONDecoder().decode(Document.self, from: Data(json))
        } catch {
            throw LaunchError(.invalid, step: "seccomp", "Decoding seccomp profile failed: \(error)")
        }
        self.init(defaultAction: try Self.action(document.defaultAction, document.defaultErrnoRet))
        for call in document.syscalls ?? [] {
            if let needed = call.includes?.caps, !needed.contains(where: capabilities.contains) { continue }
            if let needed = call.includes?.arches, Self.architectures.isDisjoint(with: needed) { continue }
            if let barred = call.excludes?.caps, barred.contains(where: capabilities.contains) { continue }
            if let barred = call.excludes?.arches, !Self.architectures.isDisjoint(with: barred) { continue }
            var arguments: [Argument] = []
            for argument in call.args ?? [] { arguments.append(try Self.argument(argument)) }
            let names = (call.names ?? []) + (call.name.map { [$0] } ?? [])
            rules.append(.init(names, try Self.action(call.action, call.errnoRet), arguments))
        }
    }

    private static func action(_ name: String, _ code: UInt16?) throws(LaunchError) -> Action {
        switch name {
        case "SCMP_ACT_ALLOW": .allow
        case "SCMP_ACT_ERRNO": .errno(code ?? 1)
        case "SCMP_ACT_LOG": .log
        case "SCMP_ACT_TRAP": .trap
        case "SCMP_ACT_TRACE": .trace(code ?? 1)
        case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD": .killThread
        case "SCMP_ACT_KILL_PROCESS": .killProcess
        default: throw LaunchError(.invalid, step: "seccomp", "Decoding seccomp profile failed: unknown action \(name)")
        }
    }

    private static func argument(_ argument: Document.Argument) throws(LaunchError) -> Argument {
        let operation: Comparison
        switch argument.op {
        case "SCMP_CMP_NE": operation = .notEqual
        case "SCMP_CMP_LT": operation = .less
        case "SCMP_CMP_LE": operation = .lessOrEqual
        case "SCMP_CMP_EQ": operation = .equal
        case "SCMP_CMP_GE": operation = .greaterOrEqual
        case "SCMP_CMP_GT": operation = .greater
        case "SCMP_CMP_MASKED_EQ": operation = .maskedEqual
        default:
            throw LaunchError(
                .invalid, step: "seccomp", "Decoding seccomp profile failed: unknown operator \(argument.op)")
        }
        guard argument.index < 6 else {
            throw LaunchError(
                .invalid, step: "seccomp", "Decoding seccomp profile failed: argument index \(argument.index)")
        }
        return Argument(index: argument.index, operation, argument.value, argument.valueTwo ?? 0)
    }
}
