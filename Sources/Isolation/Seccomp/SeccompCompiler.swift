import CLinux
import CSeccomp
import Glibc
import Kernel
import Synchronization

/// Compiles profiles to BPF with libseccomp, each one once: compiling costs milliseconds, loading a tenth of one.
package final class SeccompCompiler: Sendable {
    private struct Key: Hashable {
        var choice: SeccompChoice
        var capabilities: UInt64
    }

    /// Profiles of users are few; past this many the cache starts again.
    private static let entriesMax = 64

    private let programs = Mutex<[Key: [UInt8]]>([:])

    package init() {}

    /// The program for a process with `capabilities`; nil when it is not filtered.
    ///
    /// - Throws: `LaunchError` when the profile is malformed or libseccomp refuses it.
    package func program(_ choice: SeccompChoice, _ capabilities: CapabilitySet) throws(LaunchError) -> [UInt8]? {
        let key = Key(choice: choice, capabilities: capabilities.bits)
        if let known = programs.withLock({ $0[key] }) { return known }
        let profile: SeccompProfile
        switch choice {
        case .unconfined: return nil
        case .default: profile = DefaultProfile.profile(for: capabilities)
        case .profile(let json): profile = try SeccompProfile(json: json, capabilities: capabilities)
        }
        let program = try Self.compile(profile)
        programs.withLock { cache in
            if cache.count >= Self.entriesMax { cache = [:] }
            cache[key] = program
        }
        return program
    }

    private static func failure(_ what: String, _ code: CInt) -> LaunchError {
        LaunchError(
            .invalid, step: "seccomp", code: code, "seccomp profile: \(what): \(SystemError(what, code).reason)")
    }

    private static func compile(_ profile: SeccompProfile) throws(LaunchError) -> [UInt8] {
        guard let context = seccomp_init(profile.defaultAction.word) else { throw failure("seccomp_init", ENOMEM) }
        defer { seccomp_release(context) }
        #if arch(x86_64)
            let others = [UInt32(SCMP_ARCH_X86), UInt32(SCMP_ARCH_X32)]
        #else
            let others = [UInt32(SCMP_ARCH_ARM)]
        #endif
        for architecture in others { seccomp_arch_add(context, architecture) }
        seccomp_attr_set(context, SCMP_FLTATR_CTL_NNP, 0)
        seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2)
        var newer: [(UInt32, UInt32)] = []
        for rule in profile.rules where rule.action != profile.defaultAction {
            for name in rule.names {
                let number = seccomp_syscall_resolve_name(name)
                if number == -1 {
                    if let number = newerCalls[name], rule.arguments.isEmpty {
                        newer.append((number, rule.action.word))
                    }
                    continue
                }
                try add(rule, number, name, to: context)
            }
        }
        return prologue(newer, fallsBack: profile.defaultAction.isErrno) + (try export(context))
    }

    private static func add(
        _ rule: SeccompProfile.Rule, _ number: CInt, _ name: String, to context: scmp_filter_ctx
    ) throws(LaunchError) {
        let arguments = rule.arguments.map {
            scmp_arg_cmp(arg: $0.index, op: $0.operation.word, datum_a: $0.value, datum_b: $0.second)
        }
        let code = seccomp_rule_add_array(context, rule.action.word, number, UInt32(arguments.count), arguments)
        // An argument filter on a call that another architecture multiplexes (socketcall, ipc) cannot be expressed there.
        guard code == 0 || code == -EEXIST || code == -EFAULT || code == -EDOM else { throw failure(name, -code) }
    }

    private static func export(_ context: scmp_filter_ctx) throws(LaunchError) -> [UInt8] {
        do throws(SystemError) {
            let file = OwnedFD(adopting: try checked("memfd_create") { cl_memfd("seccomp", 0) })
            let code = seccomp_export_bpf(context, file.raw)
            guard code == 0 else { throw SystemError("seccomp_export_bpf", -code) }
            lseek(file.raw, 0, SEEK_SET)
            return try file.readAll(bytesMax: 1 << 20)
        } catch { throw failure(error.call, error.code) }
    }

    /// Calls newer than the oldest libseccomp we build with; from 424 on all architectures share their numbers.
    private static let newerCalls: [String: UInt32] = [
        "memfd_secret": 447, "process_mrelease": 448, "futex_waitv": 449, "set_mempolicy_home_node": 450,
        "cachestat": 451,
        "fchmodat2": 452, "map_shadow_stack": 453, "futex_wake": 454, "futex_wait": 455, "futex_requeue": 456,
        "statmount": 457, "listmount": 458, "lsm_get_self_attr": 459, "lsm_set_self_attr": 460, "lsm_list_modules": 461,
        "mseal": 462, "setxattrat": 463, "getxattrat": 464, "listxattrat": 465, "removexattrat": 466,
    ]
    /// Calls above this did not exist when the profile was written: they answer ENOSYS, which programs fall back from.
    private static let newestCall: UInt32 = 467
    private static let x32Bit: UInt32 = 0x4000_0000

    /// BPF before libseccomp's: the newer calls by number, and ENOSYS for those nobody knows.
    private static func prologue(_ calls: [(UInt32, UInt32)], fallsBack: Bool) -> [UInt8] {
        var code: [UInt8] = []
        func add(_ operation: Opcode, _ value: UInt32, whenTrue: Int = 0, whenFalse: UInt8 = 0) {
            withUnsafeBytes(of: operation.rawValue) { code.append(contentsOf: $0) }
            code.append(UInt8(clamping: whenTrue))
            code.append(whenFalse)
            withUnsafeBytes(of: value) { code.append(contentsOf: $0) }
        }
        // Offset 0 of seccomp_data: the number.
        add(.load, 0)
        add(.jumpIfAtLeast, x32Bit, whenTrue: calls.count * 2 + (fallsBack ? 2 : 0))
        for (number, action) in calls {
            add(.jumpIfEqual, number, whenFalse: 1)
            add(.answer, action)
        }
        if fallsBack {
            add(.jumpIfAtLeast, newestCall + 1, whenFalse: 1)
            add(.answer, SeccompProfile.Action.errno(UInt16(ENOSYS)).word)
        }
        return code
    }

    /// Of classic BPF: each instruction is an opcode, two jump distances and a value, eight bytes in all.
    private enum Opcode: UInt16 {
        case load = 0x20
        case jumpIfEqual = 0x15
        case jumpIfAtLeast = 0x35
        case answer = 0x06
    }
}

extension SeccompProfile.Action {
    /// As in the return value of a filter (seccomp(2)).
    var word: UInt32 {
        switch self {
        case .allow: 0x7fff_0000
        case .log: 0x7ffc_0000
        case .trap: 0x0003_0000
        case .killThread: 0
        case .killProcess: 0x8000_0000
        case .errno(let code): 0x0005_0000 | UInt32(code)
        case .trace(let code): 0x7ff0_0000 | UInt32(code)
        }
    }

    var isErrno: Bool {
        if case .errno = self { true } else { false }
    }
}

extension SeccompProfile.Comparison {
    var word: scmp_compare {
        switch self {
        case .notEqual: SCMP_CMP_NE
        case .less: SCMP_CMP_LT
        case .lessOrEqual: SCMP_CMP_LE
        case .equal: SCMP_CMP_EQ
        case .greaterOrEqual: SCMP_CMP_GE
        case .greater: SCMP_CMP_GT
        case .maskedEqual: SCMP_CMP_MASKED_EQ
        }
    }
}
