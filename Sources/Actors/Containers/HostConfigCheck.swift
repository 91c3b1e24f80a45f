import Isolation

/// Refuses what this engine would otherwise silently not do, before anything of the container is made.
///
/// It is on the path of every creation: nothing here reads a file or asks the kernel unless the member it is for was
/// given.
enum HostConfigCheck {
    /// - Returns: warnings for the user.
    /// - Throws: ``EngineError`` in Docker's words: `.invalidParameter`, or `.notFound` for a network or volume driver.
    static func check(_ host: HostConfig, _ config: Config) throws -> [String] {
        try ResourceCheck.check(host)
        try DeviceCheck.check(host)
        try modes(host)
        try restart(host)
        if let signal = config.stopSignal, !signal.isEmpty { _ = try SignalName.number(signal) }
        _ = try LogDriver(host.logConfig)
        try NetworkCheck.check(host)
        try names(host)
        try unsupported(host)
        return NetworkCheck.warnings(host)
    }

    // MARK: Modes

    private static func modes(_ host: HostConfig) throws {
        func isContainer(_ mode: String) -> Bool {
            mode.hasPrefix("container:") && mode.utf8.count > "container:".utf8.count
        }
        let ipc = host.ipcMode ?? ""
        guard ["", "private", "shareable", "host", "none"].contains(ipc) || isContainer(ipc) else {
            throw EngineError.invalid("invalid IPC mode: \(ipc)")
        }
        let pid = host.pidMode ?? ""
        guard ["", "host"].contains(pid) || isContainer(pid) else {
            throw EngineError.invalid("invalid PID mode: \(pid)")
        }
        if let size = host.shmSize, size < 0 { throw EngineError.invalid("SHM size can not be less than 0") }
        if let uts = host.utsMode, !["", "host"].contains(uts) {
            throw EngineError.invalid("invalid UTS mode: \(uts)")
        }
        if let mode = host.cgroupnsMode, !["", "private", "host"].contains(mode) {
            throw EngineError.invalid("invalid cgroup namespace mode: \(mode)")
        }
        if let mode = host.usernsMode, !["", "host"].contains(mode) {
            throw EngineError.invalid("invalid user namespace mode \(mode): only host is supported")
        }
        if let runtime = host.runtime, !["", "runc", "io.containerd.runc.v2"].contains(runtime) {
            throw EngineError.invalid("unknown or invalid runtime name: \(runtime)")
        }
        if let isolation = host.isolation, !["", "default"].contains(isolation) {
            throw EngineError.invalid("invalid isolation '\(isolation)' on linux")
        }
    }

    private static func restart(_ host: HostConfig) throws {
        let name = host.restartPolicy?.name ?? ""
        let count = host.restartPolicy?.maximumRetryCount ?? 0
        if host.autoRemove == true, !["", "no"].contains(name) {
            throw EngineError.invalid("can't create 'AutoRemove' container with restart policy")
        }
        switch name {
        case "on-failure":
            guard count >= 0 else {
                throw EngineError.invalid("invalid restart policy: maximum retry count cannot be negative")
            }
        case "no", "always", "unless-stopped":
            guard count == 0 else {
                throw EngineError.invalid(
                    "invalid restart policy: maximum retry count cannot be used with restart policy '\(name)'")
            }
        case "": break
        default:
            throw EngineError.invalid(
                "invalid restart policy: unknown policy '\(name)'; "
                    + "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            )
        }
    }

    // MARK: The rest

    /// Bytes of one directory's name (NAME_MAX).
    private static let nameBytesMax = 255

    private static func names(_ host: HostConfig) throws {
        let parent = host.cgroupParent ?? ""
        guard !parent.hasControlCharacter, parent.split(separator: "/").allSatisfy({ $0.utf8.count <= nameBytesMax })
        else {
            throw EngineError.invalid("invalid cgroup parent: \(parent.printable)")
        }
        let lists = [
            ("GroupAdd", host.groupAdd), ("MaskedPaths", host.maskedPaths), ("ReadonlyPaths", host.readonlyPaths),
        ]
        for (member, values) in lists where values?.contains(where: \.hasControlCharacter) == true {
            throw EngineError.invalid("invalid \(member): a value holds a NUL byte or another control character")
        }
        if host.annotations?.keys.contains("") == true {
            throw EngineError.invalid("invalid Annotations: the empty string is not permitted as an annotation key")
        }
        if let size = host.consoleSize {
            guard size.count <= 2, size.allSatisfy({ UInt16(exactly: $0) != nil }) else {
                throw EngineError.invalid("invalid ConsoleSize: want rows and columns of 0-\(UInt16.max)")
            }
        }
    }

    private static func unsupported(_ host: HostConfig) throws {
        if let option = host.storageOpt?.keys.min() {
            throw EngineError.invalid("--storage-opt \(option) is not supported by this storage driver: leave it out")
        }
        if let cgroup = host.cgroup, !cgroup.isEmpty {
            throw EngineError.invalid(
                "invalid Cgroup \(cgroup.printable): the control group of another container cannot be joined")
        }
    }
}

/// Truth as Go's strconv.ParseBool reads it, which Docker uses for options.
enum GoBool {
    /// nil for anything else.
    static func parse(_ text: String) -> Bool? {
        switch text {
        case "1", "t", "T", "true", "TRUE", "True": true
        case "0", "f", "F", "false", "FALSE", "False": false
        default: nil
        }
    }
}

extension EngineError {
    static func invalid(_ message: String) -> Self { .init(.invalidParameter, message) }
}

extension StringProtocol {
    /// True for text that would end a line or a C string before its time.
    var hasControlCharacter: Bool { utf8.contains { $0 < 0x20 || $0 == 0x7F } }

    /// The text for a message: without control characters, and cut so that a hostile value cannot fill a log.
    package var printable: String {
        String(
            String.UnicodeScalarView(unicodeScalars.prefix(120).map { $0.value < 0x20 || $0.value == 0x7F ? "?" : $0 }))
    }
}
