import Glibc
import Kernel

/// The options of a volume of the local driver: `type`, `o` and `device` as in mount(8), and a size and owner of its own.
package struct LocalOptions: Sendable, Hashable {
    /// A file system that is mounted at the volume's directory while containers use it.
    package struct Mount: Sendable, Hashable {
        package var type: String
        package var device: String
        /// MS_ flags of mount(2).
        package var flags: UInt
        /// What of `o` is no flag: the file system's own options.
        package var data: String
    }

    package var mount: Mount?
    /// Bytes the volume may hold: the file system it is in sees to that or, where that cannot, one of its own.
    package var size: Int64?
    package var uid: UInt32?
    package var gid: UInt32?
    package var mode: UInt16?

    /// Whether the volume's directory may be mounted over while containers use it.
    package var isMounted: Bool { mount != nil || size != nil }

    /// A file system smaller than this holds nothing but itself.
    package static let sizeMin: Int64 = 1 << 20
    private static let known = ["type", "o", "device", "size", "uid", "gid", "mode"]
    private static let required = [("device", ["type"]), ("o", ["device", "type"]), ("type", ["device"])]

    /// - Throws: `VolumeError` `.invalid` with Docker's text where it has one.
    package init(_ options: [String: String]) throws(VolumeError) {
        for option in options.keys.sorted() where !Self.known.contains(option) {
            throw VolumeError(.invalid, "invalid option: \(Quoted(option))")
        }
        for (option, needs) in Self.required where options[option] != nil {
            for need in needs where options[need] == nil {
                throw VolumeError(.invalid, "missing required option: \(Quoted(need))")
            }
        }
        for (option, value) in options where value.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            throw VolumeError(.invalid, "invalid value of option \(option): a control character")
        }
        if let type = options["type"], let device = options["device"] {
            mount = Mount(type: type, device: device, options: options["o"] ?? "")
        }
        if let text = options["size"] {
            guard let bytes = TmpfsOptions.count(Self.withoutB(text)), let size = Int64(exactly: bytes) else {
                throw VolumeError(.invalid, "invalid size: '\(text)'")
            }
            guard mount == nil else {
                throw VolumeError(.invalid, "option size is for volumes without type, o and device: give it in o")
            }
            guard size >= Self.sizeMin else {
                throw VolumeError(.invalid, "invalid size: '\(text)': \(Self.sizeMin) bytes are the least")
            }
            self.size = size
        }
        uid = try Self.number(options, "uid")
        gid = try Self.number(options, "gid")
        if let text = options["mode"] {
            guard let value = UInt16(text, radix: 8), value <= 0o7777 else {
                throw VolumeError(.invalid, "invalid mode: '\(text)': want octal digits such as 0750")
            }
            mode = value
        }
        guard mount == nil || (uid == nil && gid == nil && mode == nil) else {
            throw VolumeError(
                .invalid, "options uid, gid and mode are for volumes without type, o and device: give them in o")
        }
    }

    /// `100MiB`, `100mb` and `100m` are the same to Docker.
    private static func withoutB(_ text: String) -> String {
        var text = text.lowercased()
        if text.hasSuffix("ib") { text.removeLast(2) } else if text.hasSuffix("b") { text.removeLast() }
        return text
    }

    private static func number(_ options: [String: String], _ name: String) throws(VolumeError) -> UInt32? {
        guard let text = options[name] else { return nil }
        guard let value = UInt32(text), value <= UInt32(Int32.max) else {
            throw VolumeError(.invalid, "invalid \(name): '\(text)': want a number of 0-\(Int32.max)")
        }
        return value
    }
}

extension LocalOptions.Mount {
    /// - Parameter options: as mount(8) takes them behind `-o`.
    init(type: String, device: String, options: String) {
        self.type = type
        self.device = device
        flags = 0
        var rest: [Substring] = []
        for option in options.split(separator: ",") {
            if let (sets, clears) = Self.flags[String(option)] {
                flags = flags & ~clears | sets
            } else {
                rest.append(option)
            }
        }
        data = rest.joined(separator: ",")
    }

    private static let flags: [String: (sets: UInt, clears: UInt)] = {
        func flag<Value: BinaryInteger>(_ value: Value) -> UInt { UInt(value) }
        let both: [(String, String, UInt)] = [
            ("ro", "rw", flag(MS_RDONLY)), ("nosuid", "suid", flag(MS_NOSUID)), ("nodev", "dev", flag(MS_NODEV)),
            ("noexec", "exec", flag(MS_NOEXEC)), ("sync", "async", flag(MS_SYNCHRONOUS)),
            ("dirsync", "", flag(MS_DIRSYNC)), ("mand", "nomand", flag(MS_MANDLOCK)),
            ("noatime", "atime", flag(MS_NOATIME)), ("nodiratime", "diratime", flag(MS_NODIRATIME)),
            ("relatime", "norelatime", flag(MS_RELATIME)), ("strictatime", "nostrictatime", flag(MS_STRICTATIME)),
            ("bind", "", flag(MS_BIND)), ("rbind", "", flag(MS_BIND) | flag(MS_REC)),
        ]
        var result: [String: (UInt, UInt)] = ["defaults": (0, 0)]
        for (sets, clears, value) in both {
            result[sets] = (value, 0)
            if !clears.isEmpty { result[clears] = (0, value) }
        }
        return result
    }()

    /// True when another machine has the files.
    var isRemote: Bool { type.hasPrefix("nfs") || type == "cifs" }

    /// The data with the number in place of a server's name: the kernel asks no name server.
    ///
    /// - Throws: `VolumeError` when the name has no address. Blocks.
    func resolvedData() throws(VolumeError) -> String {
        guard isRemote else { return data }
        var parts: [String] = []
        for part in data.split(separator: ",").map(String.init) {
            let name = part.hasPrefix("addr=") ? String(part.dropFirst(5)) : ""
            parts.append(name.isEmpty ? part : "addr=" + (try Self.address(of: name)))
        }
        return parts.joined(separator: ",")
    }

    private static func address(of name: String) throws(VolumeError) -> String {
        var found: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, nil, nil, &found)
        defer { if let found { freeaddrinfo(found) } }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard code == 0, let first = found?.pointee,
            getnameinfo(first.ai_addr, first.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0
        else {
            throw VolumeError(.system, "error resolving passed in network volume address: lookup \(name): no such host")
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
