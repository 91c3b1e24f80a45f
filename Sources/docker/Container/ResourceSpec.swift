/// The limits of a container: memory, CPU, processes, devices.
struct ResourceSpec {
    let options: ContainerOptions

    init(_ options: ContainerOptions) { self.options = options }

    /// The members of HostConfig they make.
    func members() throws(CLIError) -> [(String, JSON?)] {
        let o = options
        return [
            ("CpuShares", JSON(o.cpuShares)), ("Memory", JSON(try CreateBody.size(o.memory, "-m, --memory"))),
            ("NanoCpus", JSON(try Self.nanoCPUs(o.cpus))), ("CgroupParent", .string(o.cgroupParent)),
            ("BlkioWeight", JSON(o.blkioWeight)), ("CpuPeriod", JSON(o.cpuPeriod)), ("CpuQuota", JSON(o.cpuQuota)),
            ("CpusetCpus", .string(o.cpusetCpus)), ("CpusetMems", .string(o.cpusetMems)),
            ("Devices", .array(try o.device.map(Self.device))),
            ("DeviceCgroupRules", CreateBody.list(o.deviceCgroupRule)),
            ("MemoryReservation", JSON(try CreateBody.size(o.memoryReservation, "--memory-reservation"))),
            ("MemorySwap", JSON(try CreateBody.size(o.memorySwap, "--memory-swap"))),
            ("MemorySwappiness", JSON(o.memorySwappiness)),
            ("OomKillDisable", .bool(o.oomKillDisable)), ("PidsLimit", JSON(o.pidsLimit)),
            ("Ulimits", try Self.ulimits(o.ulimit)), ("CpuRealtimePeriod", JSON(o.cpuRtPeriod)),
            ("CpuRealtimeRuntime", JSON(o.cpuRtRuntime)),
            ("DeviceRequests", Self.list(o.gpus.values)),
            ("BlkioWeightDevice", Self.list(o.blkioWeightDevice.values)),
            ("BlkioDeviceReadBps", Self.list(o.deviceReadBps.values)),
            ("BlkioDeviceWriteBps", Self.list(o.deviceWriteBps.values)),
            ("BlkioDeviceReadIOps", Self.list(o.deviceReadIOps.values)),
            ("BlkioDeviceWriteIOps", Self.list(o.deviceWriteIOps.values)),
        ]
    }

    /// Absent when nothing was asked for.
    private static func list(_ values: [JSON]) -> JSON? { values.isEmpty ? nil : .array(values) }

    /// `1.5` CPUs in billionths.
    static func nanoCPUs(_ text: String?) throws(CLIError) -> Int64 {
        guard let text else { return 0 }
        guard let value = Double(text), value >= 0, value < 1e6 else {
            throw CLIError(
                "invalid argument \"\(text)\" for \"--cpus\" flag: failed to parse \(text) as a rational number",
                exitCode: 125)
        }
        return Int64((value * 1e9).rounded())
    }

    /// `HOST[:CONTAINER][:rwm]`.
    private static func device(_ text: String) throws(CLIError) -> JSON {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        func isMode(_ text: String) -> Bool { !text.isEmpty && text.allSatisfy { "rwm".contains($0) } }
        var inside = parts[0]
        var mode = "rwm"
        switch parts.count {
        case 1: break
        case 2: if isMode(parts[1]) { mode = parts[1] } else { inside = parts[1] }
        case 3 where isMode(parts[2]):
            inside = parts[1]
            mode = parts[2]
        default: throw CLIError("invalid device specification: \(text)", exitCode: 125)
        }
        guard inside.hasPrefix("/") else { throw CLIError("\(inside) is not an absolute path") }
        return [
            "PathOnHost": .string(parts[0]), "PathInContainer": .string(inside), "CgroupPermissions": .string(mode),
        ]
    }

    private static let limitNames: Set = [
        "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
        "rtprio",
        "rttime", "sigpending", "stack",
    ]

    /// The limits in order of their names; the last of a name counts.
    private static func ulimits(_ texts: [String]) throws(CLIError) -> JSON {
        var limits: [String: JSON] = [:]
        for text in texts {
            let limit = try ulimit(text)
            limits[limit.text("Name")] = limit
        }
        return .array(limits.sorted { $0.key < $1.key }.map(\.value))
    }

    /// `NAME=SOFT[:HARD]`.
    private static func ulimit(_ text: String) throws(CLIError) -> JSON {
        let invalid = CLIError(
            "invalid argument \"\(text)\" for \"--ulimit\" flag: invalid ulimit argument: \(text)", exitCode: 125)
        let (name, values) = text.cut("=")
        guard let values, !name.isEmpty else { throw invalid }
        guard limitNames.contains(name) else {
            throw CLIError("invalid argument \"\(text)\" for \"--ulimit\" flag: invalid ulimit type: \(name)")
        }
        let (first, second) = values.cut(":")
        func number(_ text: String) -> Int64? { text == "unlimited" ? -1 : Int64(text) }
        guard let soft = number(first), let hard = number(second ?? first) else { throw invalid }
        guard hard == -1 || soft <= hard, soft != -1 || hard == -1 else {
            throw CLIError(
                "invalid argument \"\(text)\" for \"--ulimit\" flag: ulimit soft limit must be less than or equal to hard limit: \(soft) > \(hard)",
                exitCode: 125)
        }
        return ["Name": .string(name), "Hard": JSON(hard), "Soft": JSON(soft)]
    }
}

extension SecuritySpec {
    private static func profile(_ path: String) throws(CLIError) -> String {
        let bytes: [UInt8]
        do throws(CLIError) { bytes = try readFile(path, limit: 1 << 20) } catch {
            throw CLIError("opening seccomp profile (\(path)) failed: \(error.message)")
        }
        do throws(CLIError) { return try JSONParser.parse(bytes).encoded(escapingHTML: false) } catch {
            throw CLIError("compacting json for seccomp profile (\(path)) failed: \(error.message)")
        }
    }
}

/// `--cap-add` and `--cap-drop` as Docker sends them: whole names in order; `ALL` stands alone, and adding wins over dropping.
struct CapabilitySpec {
    let add: [String]
    let drop: [String]

    init(add: [String], drop: [String]) {
        let added = Self.names(add)
        self.add = added.sorted()
        self.drop = Self.names(drop).subtracting(added).sorted()
    }

    private static func names(_ texts: [String]) -> Set<String> {
        let names = Set(
            texts.map { text in
                let upper = text.trimmed.uppercased()
                return ["ALL", "RESET"].contains(upper) || upper.hasPrefix("CAP_") ? upper : "CAP_" + upper
            })
        return names.contains("ALL") ? ["ALL"] : names
    }
}

/// `--security-opt`: profiles are read here, because the daemon may be elsewhere.
struct SecuritySpec {
    /// What the daemon is sent.
    private(set) var options: [String] = []
    /// `systempaths=unconfined` was given: nothing of /proc and /sys is masked.
    private(set) var showsSystemPaths = false

    init(_ values: [String]) throws(CLIError) {
        for value in values {
            if value == "systempaths=unconfined" {
                showsSystemPaths = true
                continue
            }
            let separator: Character = value.contains("=") ? "=" : ":"
            let (name, argument) = value.cut(separator)
            if argument == nil, name != "no-new-privileges" {
                throw CLIError("Invalid --security-opt: \"\(value)\"")
            }
            if name == "seccomp", let argument, argument != "unconfined", argument != "builtin" {
                options.append("seccomp=" + (try Self.profile(argument)))
            } else {
                options.append(value)
            }
        }
    }
}
