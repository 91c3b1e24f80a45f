@preconcurrency import Glibc

/// `-v` and `--mount`.
enum MountSpec {
    /// A `-v SOURCE:TARGET[:OPTIONS]`, its relative source made absolute.
    static func bind(_ spec: String) throws(CLIError) -> String {
        let (source, rest) = spec.cut(":")
        guard let rest, !source.isEmpty, !rest.isEmpty, !rest.hasSuffix(":"), !rest.hasPrefix(":") else {
            throw CLIError("invalid spec: \(spec): empty section between colons", exitCode: 125)
        }
        guard source.hasPrefix(".") || source.hasPrefix("~") else { return spec }
        return "\(absolute(source)):\(rest)"
    }

    /// An absolute path without `.` and `..`.
    static func absolute(_ path: String) -> String {
        var full = path
        if !path.hasPrefix("/") {
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
            let folder =
                getcwd(&buffer, buffer.count) == nil
                ? "/" : String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            full = "\(folder)/\(path)"
        }
        var parts: [Substring] = []
        for part in full.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// One `--mount` with comma-separated fields; a field with a comma in it stands in double quotes.
    static func parse(_ spec: String) throws(CLIError) -> JSON {
        var top: [String: JSON] = ["Type": "volume"]
        var bind: [String: JSON] = [:]
        var volume: [String: JSON] = [:]
        var tmpfs: [String: JSON] = [:]
        var image: [String: JSON] = [:]
        var driver: [String: String] = [:]
        var labels: [String: String] = [:]
        var driverName: String?
        for field in try fields(spec) {
            let (key, value) = field.cut("=")
            let name = key.lowercased()
            let isSwitch = ["readonly", "ro", "volume-nocopy", "bind-nonrecursive"].contains(name)
            let flag = value.map { ["true", "1"].contains($0.lowercased()) } ?? true
            if isSwitch, let value, !flag, !["false", "0"].contains(value.lowercased()) {
                throw CLIError("invalid argument \"\(spec)\" for \"--mount\" flag: invalid value for \(key): \(value)")
            }
            if value == nil, !isSwitch {
                throw CLIError(
                    "invalid argument \"\(spec)\" for \"--mount\" flag: invalid field '\(field)' must be a key=value pair",
                    exitCode: 125)
            }
            let text = value ?? ""
            switch name {
            case "type": top["Type"] = .string(text.lowercased())
            case "source", "src": top["Source"] = .string(text.hasPrefix(".") ? absolute(text) : text)
            case "target", "dst", "destination": top["Target"] = .string(text)
            case "readonly", "ro": if flag { top["ReadOnly"] = true }
            case "consistency": top["Consistency"] = .string(text.lowercased())
            case "bind-propagation": bind["Propagation"] = .string(text.lowercased())
            case "bind-nonrecursive": if flag { bind["NonRecursive"] = true }
            case "bind-recursive":
                switch text {
                case "enabled": break
                case "disabled": bind["NonRecursive"] = true
                case "writable": bind["ReadOnlyNonRecursive"] = true
                case "readonly": bind["ReadOnlyForceRecursive"] = true
                default:
                    throw CLIError(
                        "invalid argument \"\(spec)\" for \"--mount\" flag: invalid value for bind-recursive: \(text)",
                        exitCode: 125)
                }
            case "volume-nocopy": if flag { volume["NoCopy"] = true }
            case "volume-subpath": volume["Subpath"] = .string(text)
            case "volume-label": let (label, value) = text.cut("="); labels[label] = value ?? ""
            case "volume-driver": driverName = text
            case "volume-opt": let (option, value) = text.cut("="); driver[option] = value ?? ""
            case "image-subpath": image["Subpath"] = .string(text)
            case "tmpfs-size":
                guard let size = try? Sizes.parse(text) else {
                    throw CLIError(
                        "invalid argument \"\(spec)\" for \"--mount\" flag: invalid value for \(key): \(text)")
                }
                tmpfs["SizeBytes"] = JSON(size)
            case "tmpfs-mode":
                guard let mode = UInt32(text, radix: 8) else {
                    throw CLIError(
                        "invalid argument \"\(spec)\" for \"--mount\" flag: invalid value for \(key): \(text)")
                }
                tmpfs["Mode"] = JSON(mode)
            default:
                throw CLIError(
                    "invalid argument \"\(spec)\" for \"--mount\" flag: unexpected key '\(key)' in '\(field)'",
                    exitCode: 125)
            }
        }
        try checkRecursion(spec, readOnly: top["ReadOnly"] != nil, bind)
        guard top["Target"] != nil else {
            throw CLIError("invalid argument \"\(spec)\" for \"--mount\" flag: target is required", exitCode: 125)
        }
        if !labels.isEmpty { volume["Labels"] = JSON(map: labels) }
        if driverName != nil || !driver.isEmpty {
            var config: [(String, JSON?)] = [("Name", driverName.map { .string($0) })]
            if !driver.isEmpty { config.append(("Options", JSON(map: driver))) }
            volume["DriverConfig"] = CreateBody.object(config)
        }
        for (name, part) in [
            ("BindOptions", bind), ("VolumeOptions", volume), ("TmpfsOptions", tmpfs), ("ImageOptions", image),
        ]
        where !part.isEmpty { top[name] = object(part) }
        return object(top)
    }

    /// The kinds of recursive read-only need `readonly`, and the forced one a propagation that cannot undo it.
    private static func checkRecursion(_ spec: String, readOnly: Bool, _ bind: [String: JSON]) throws(CLIError) {
        func invalid(_ kind: String, _ needed: String) -> CLIError {
            CLIError(
                "invalid argument \"\(spec)\" for \"--mount\" flag: option 'bind-recursive=\(kind)' requires "
                    + "'\(needed)' to be specified in conjunction", exitCode: 125)
        }
        if bind["ReadOnlyNonRecursive"] != nil, !readOnly { throw invalid("writable", "readonly") }
        guard bind["ReadOnlyForceRecursive"] != nil else { return }
        guard readOnly else { throw invalid("readonly", "readonly") }
        guard bind["Propagation"]?.string == "rprivate" else { throw invalid("readonly", "bind-propagation=rprivate") }
    }

    private static func object(_ members: [String: JSON]) -> JSON {
        .object(members.sorted { $0.key < $1.key }.map { .init(name: $0.key, value: $0.value) })
    }

    private static func fields(_ spec: String) throws(CLIError) -> [String] {
        do throws(FlagReason) { return try CommaSeparated.fields(spec) } catch {
            throw CLIError("invalid argument \(spec.goQuoted) for \"--mount\" flag: \(error.text)", exitCode: 125)
        }
    }
}
