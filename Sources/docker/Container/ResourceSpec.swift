/// The limits of a container: memory, CPU, processes, devices.
struct ResourceSpec {
    let options: ContainerOptions

    init(_ options: ContainerOptions) { self.options = options }

    /// The members of HostConfig they make.
    func members() throws(CLIError) -> [(String, JSON?)] {
        let o = options
        return [
            ("CpuShares", JSON(o.cpuShares)), ("Memory", JSON(try CreateBody.size(o.memory))),
            ("NanoCpus", JSON(try Self.nanoCPUs(o.cpus))), ("CgroupParent", .string(o.cgroupParent)),
            ("BlkioWeight", JSON(o.blkioWeight)), ("CpuPeriod", JSON(o.cpuPeriod)), ("CpuQuota", JSON(o.cpuQuota)),
            ("CpusetCpus", .string(o.cpusetCpus)), ("CpusetMems", .string(o.cpusetMems)),
            ("Devices", .array(try o.device.map(Self.device))), ("DeviceCgroupRules", CreateBody.list(o.deviceCgroupRule)),
            ("MemoryReservation", JSON(try CreateBody.size(o.memoryReservation))),
            ("MemorySwap", JSON(try CreateBody.size(o.memorySwap))), ("MemorySwappiness", JSON(o.memorySwappiness)),
            ("OomKillDisable", .bool(o.oomKillDisable)), ("PidsLimit", JSON(o.pidsLimit)),
            ("Ulimits", .array(try o.ulimit.map(Self.ulimit))),
        ]
    }

    /// `1.5` CPUs in billionths.
    static func nanoCPUs(_ text: String?) throws(CLIError) -> Int64 {
        guard let text else { return 0 }
        guard let value = Double(text), value >= 0, value < 1e6 else {
            throw CLIError("invalid argument \"\(text)\" for \"--cpus\" flag: failed to parse \(text) as a rational number", exitCode: 125)
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
        guard inside.hasPrefix("/") else { throw CLIError("invalid device specification: \(text)", exitCode: 125) }
        return ["PathOnHost": .string(parts[0]), "PathInContainer": .string(inside), "CgroupPermissions": .string(mode)]
    }

    /// `NAME=SOFT[:HARD]`.
    private static func ulimit(_ text: String) throws(CLIError) -> JSON {
        let invalid = CLIError("invalid argument \"\(text)\" for \"--ulimit\" flag: invalid ulimit argument: \(text)", exitCode: 125)
        let (name, values) = text.cut("=")
        guard let values, !name.isEmpty else { throw invalid }
        let (first, second) = values.cut(":")
        func number(_ text: String) -> Int64? { text == "unlimited" ? -1 : Int64(text) }
        guard let soft = number(first), let hard = number(second ?? first) else { throw invalid }
        guard hard == -1 || soft <= hard, soft != -1 || hard == -1 else {
            throw CLIError("invalid argument \"\(text)\" for \"--ulimit\" flag: ulimit soft limit must be less than or equal to hard limit: \(soft) > \(hard)", exitCode: 125)
        }
        return ["Name": .string(name), "Hard": JSON(hard), "Soft": JSON(soft)]
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
                throw CLIError("invalid --security-opt: \"\(value)\"", exitCode: 125)
            }
            if name == "seccomp", let argument, argument != "unconfined", argument != "builtin" {
                let profile = try JSONParser.parse(try readFile(argument, limit: 1 << 20))
                options.append("seccomp=" + profile.encoded(escapingHTML: false))
            } else {
                options.append(value)
            }
        }
    }
}
