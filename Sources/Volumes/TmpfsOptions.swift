/// Options of a tmpfs mount (tmpfs(5)): of `--tmpfs PATH:OPTIONS` or of `--mount type=tmpfs`.
package struct TmpfsOptions: Sendable, Hashable {
    package enum Size: Sendable, Hashable {
        case bytes(UInt64)
        /// Of the memory of the machine.
        case percent(UInt8)
    }

    package var size: Size?
    /// Permission bits of the root; nil for the kernel's 1777.
    package var mode: UInt16?
    package var uid: UInt32?
    package var gid: UInt32?
    package var inodesMax: UInt64?
    package var readOnly = false
    package var noSUID = true
    package var noDev = true
    package var noExec = true

    package init() {}

    /// Parses `size=64m,mode=1777,exec`; what is not said is as Docker's default, `rw,nosuid,nodev,noexec`.
    ///
    /// - Throws: `VolumeError` `.invalid` that names the option.
    package init(_ text: String) throws(VolumeError) {
        for option in text.split(separator: ",").map(String.init) {
            switch option {
            case "rw": readOnly = false
            case "ro": readOnly = true
            case "suid": noSUID = false
            case "nosuid": noSUID = true
            case "dev": noDev = false
            case "nodev": noDev = true
            case "exec": noExec = false
            case "noexec": noExec = true
            case "defaults", "async", "atime", "noatime", "relatime", "strictatime", "private", "rprivate":
                break  // of mounts in general: nothing that a file system in memory would do otherwise
            default: try take(option)
            }
        }
    }

    /// The data string of the mount call: `size=67108864,mode=1777`.
    package var kernelData: String {
        var parts: [String] = []
        switch size {
        case .bytes(let count): parts.append("size=\(count)")
        case .percent(let share): parts.append("size=\(share)%")
        case nil: break
        }
        if let mode { parts.append("mode=" + String(mode, radix: 8)) }
        if let uid { parts.append("uid=\(uid)") }
        if let gid { parts.append("gid=\(gid)") }
        if let inodesMax { parts.append("nr_inodes=\(inodesMax)") }
        return parts.joined(separator: ",")
    }

    /// Takes the options of `HostConfig.Mounts`, each a name or a name and a value.
    ///
    /// - Throws: `VolumeError` `.invalid` in Docker's words, which knows `exec` and `noexec` there.
    package mutating func take(_ options: [[String]]) throws(VolumeError) {
        for option in options {
            guard (1...2).contains(option.count) else { throw VolumeError(.invalid, "invalid option array length") }
            switch option {
            case ["exec"]: noExec = false
            case ["noexec"]: noExec = true
            default: throw VolumeError(.invalid, "invalid option: \(option[0])")
            }
        }
    }

    private mutating func take(_ option: String) throws(VolumeError) {
        let parts = option.split(separator: "=", maxSplits: 1).map(String.init)
        let refusal = VolumeError(.invalid, "invalid tmpfs option \(Quoted(option))")
        guard parts.count == 2 else { throw refusal }
        switch parts[0] {
        case "size":
            guard let value = Self.size(parts[1]) else { throw refusal }
            size = value
        case "mode":
            guard let value = UInt16(parts[1], radix: 8), value <= 0o7777 else { throw refusal }
            mode = value
        case "uid":
            guard let value = UInt32(parts[1]) else { throw refusal }
            uid = value
        case "gid":
            guard let value = UInt32(parts[1]) else { throw refusal }
            gid = value
        case "nr_inodes":
            guard let value = Self.count(parts[1]) else { throw refusal }
            inodesMax = value
        default: throw refusal
        }
    }

    private static func size(_ text: String) -> Size? {
        if text.hasSuffix("%") {
            guard let share = UInt8(text.dropLast()), (1...100).contains(share) else { return nil }
            return .percent(share)
        }
        return count(text).map { .bytes($0) }
    }

    /// A number with the suffixes k, m, g and t that tmpfs knows, in powers of 1024.
    static func count(_ text: String) -> UInt64? {
        let shift: UInt64
        switch text.last {
        case "k", "K": shift = 10
        case "m", "M": shift = 20
        case "g", "G": shift = 30
        case "t", "T": shift = 40
        default: return UInt64(text)
        }
        guard let number = UInt64(text.dropLast()) else { return nil }
        let (result, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : result
    }
}
