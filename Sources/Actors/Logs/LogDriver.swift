import Isolation

/// Where a container's output is written and how much of it is kept: `LogConfig`, understood.
struct LogDriver: Sendable, Hashable {
    enum Kind: String, Sendable, CaseIterable {
        case jsonFile = "json-file"
        case local
        case none
    }

    let kind: Kind
    /// Bytes of one file, and how many files.
    let fileBytesMax: Int64
    let filesMax: Int
    /// Full files are compressed.
    let compresses: Bool
    /// Bytes of text that wait for the disk before more is dropped; nil where the container waits instead.
    let bufferBytes: Int64?
    let attributes: LogAttributes

    /// Unless asked otherwise: Docker's figures for `local`, and for `json-file`, which Docker lets grow without end, the
    /// usual ones.
    private static let jsonBytesMax: Int64 = 10_000_000
    private static let jsonFilesMax = 3
    private static let localBytesMax: Int64 = 20_000_000
    private static let localFilesMax = 5

    /// Docker's.
    private static let bufferBytesDefault: Int64 = 1_000_000
    private static let bufferBytesMax = Int64(LogSpec.queueBytesMax)

    private static let fileOptions: Set<String> = ["max-size", "max-file", "compress"]

    /// - Throws: ``EngineError`` `.invalidParameter` in Docker's words for a driver or an option there is not.
    init(_ config: LogConfig?) throws {
        let type = config?.type ?? ""
        guard let kind = type.isEmpty ? .jsonFile : Kind(rawValue: type) else {
            throw EngineError.invalid(
                "logger: no log driver named '\(type)' is registered: use json-file, local or none")
        }
        self.kind = kind
        // As in Docker, where nothing is written nothing is looked at.
        var options = kind == .none ? [:] : config?.config ?? [:]
        bufferBytes = try Self.buffer(
            mode: options.removeValue(forKey: "mode") ?? "", size: options.removeValue(forKey: "max-buffer-size"))
        let known = kind == .local ? Self.fileOptions : Self.fileOptions.union(LogAttributes.options)
        if let other = options.keys.filter({ !known.contains($0) }).min() {
            throw EngineError.invalid("unknown log opt '\(other)' for \(kind.rawValue) log driver")
        }
        let isLocal = kind == .local
        fileBytesMax = try Self.size(options["max-size"]) ?? (isLocal ? Self.localBytesMax : Self.jsonBytesMax)
        filesMax = try Self.count(options["max-file"]) ?? (isLocal ? Self.localFilesMax : Self.jsonFilesMax)
        let asked = try Self.flag(options["compress"])
        if asked == true, filesMax < 2 || fileBytesMax == .max {
            throw EngineError.invalid("compress cannot be true when max-file is less than 2 or max-size is not set")
        }
        compresses = asked ?? isLocal
        attributes = try LogAttributes(options)
    }

    /// What of a log waits for the disk in place of the container; nil for nothing.
    private static func buffer(mode: String, size: String?) throws -> Int64? {
        guard ["", "blocking", "non-blocking"].contains(mode) else {
            throw EngineError.invalid("logger: logging mode not supported: \(mode.printable)")
        }
        guard mode == "non-blocking" else {
            guard size == nil else {
                throw EngineError.invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
            }
            return nil
        }
        guard let size else { return bufferBytesDefault }
        guard let bytes = ByteCount.parseBinary(size) else {
            throw EngineError.invalid("error parsing option max-buffer-size: invalid size: '\(size.printable)'")
        }
        return min(bytes, bufferBytesMax)
    }

    private static func size(_ text: String?) throws -> Int64? {
        guard let text else { return nil }
        guard let size = ByteCount.parseDecimal(text) else { throw EngineError.invalid("invalid size: '\(text)'") }
        guard size > 0 else { throw EngineError.invalid("max-size must be a positive number") }
        return size
    }

    private static func count(_ text: String?) throws -> Int? {
        guard let text else { return nil }
        guard let count = Int32(text) else {
            throw EngineError.invalid("invalid value \"\(text)\" for log opt 'max-file': must be a whole number")
        }
        guard count >= 1 else { throw EngineError.invalid("max-file cannot be less than 1") }
        return Int(count)
    }

    private static func flag(_ text: String?) throws -> Bool? {
        guard let text else { return nil }
        guard let value = GoBool.parse(text) else {
            throw EngineError.invalid("invalid value \"\(text)\" for log opt 'compress': must be true or false")
        }
        return value
    }
}

extension LogConfig {
    /// What of the daemon's settings holds for a container that was asked for with these: its driver where the container names
    /// none, and its options where the driver is the same.
    func over(_ defaults: LogConfig) -> LogConfig {
        var result = self
        let usual = defaults.type.flatMap { $0.isEmpty ? nil : $0 } ?? LogDriver.Kind.jsonFile.rawValue
        if (type ?? "").isEmpty { result.type = usual }
        let options = config ?? [:]
        result.config = result.type == usual ? options.merging(defaults.config ?? [:]) { own, _ in own } : options
        return result
    }
}
