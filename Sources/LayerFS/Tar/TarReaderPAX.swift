/// What extended headers say about the next member (POSIX.1-2017 pax, "pax Extended Header"), GNU's included.
struct PAXRecords: Sendable {
    struct Time: Sendable {
        var seconds: Int64
        var nanoseconds: UInt32
    }

    /// The GNU.sparse records (GNU tar manual, "Storing Sparse Files").
    struct Sparse: Sendable {
        var major = 0
        var minor = 0
        var name: [UInt8]?
        var realSize: UInt64?
        /// Offset and length in turn.
        var map: [UInt64] = []
        /// How many segments formats 0.0 and 0.1 promise.
        var segmentCount: UInt64?

        static let keys: Set<String> = [
            "GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.name", "GNU.sparse.realsize", "GNU.sparse.size",
            "GNU.sparse.numblocks", "GNU.sparse.offset", "GNU.sparse.numbytes", "GNU.sparse.map",
        ]
    }

    var path: [UInt8]?
    var link: [UInt8]?
    var size: UInt64?
    var uid: UInt32?
    var gid: UInt32?
    var mtime: Time?
    var deviceMajor: UInt32?
    var deviceMinor: UInt32?
    private(set) var attributes: [LayerEntry.Attribute] = []
    /// Where in ``attributes`` a name is: a header may hold tens of thousands, and one name again and again.
    private var attributePositions: [[UInt8]: Int] = [:]
    /// Bytes of all names, as listxattr(2) counts them.
    private(set) var attributeNameBytes = 0
    var sparse: Sparse?

    /// Adds an attribute; of one name given twice the later value counts.
    mutating func set(_ attribute: LayerEntry.Attribute) {
        if let position = attributePositions[attribute.name] {
            attributes[position] = attribute
        } else {
            attributePositions[attribute.name] = attributes.count
            attributeNameBytes += attribute.name.count + 1
            attributes.append(attribute)
        }
    }
}

extension TarReader {
    mutating func endMetadata(_ kind: Metadata) throws(LayerError) {
        let body = metadata
        switch kind {
        case .local:
            var records = PAXRecords()
            records.path = local.path
            records.link = local.link
            try parse(body, into: &records)
            local = records
        case .global:
            // Owner and time can be common to members. Names, sizes and attributes cannot, and would pile up.
            var records = PAXRecords()
            (records.uid, records.gid, records.mtime) = (global.uid, global.gid, global.mtime)
            try parse(body, into: &records)
            (global.uid, global.gid, global.mtime) = (records.uid, records.gid, records.mtime)
        case .longName: local.path = Array(body.prefix { $0 != 0 })
        case .longLink: local.link = Array(body.prefix { $0 != 0 })
        }
    }

    /// Reads `length key=value\n` records.
    private func parse(_ body: [UInt8], into records: inout PAXRecords) throws(LayerError) {
        var start = 0
        while start < body.count {
            // Some writers fill the rest with NULs.
            if body[start] == 0 { return }
            guard let space = body[start..<min(start + 20, body.count)].firstIndex(of: 0x20),
                let length = TarNumber.decimal(body[start..<space]), length > UInt64(space - start),
                length <= UInt64(body.count - start), body[start + Int(length) - 1] == 0x0A,
                let equals = body[space..<(start + Int(length))].firstIndex(of: 0x3D)
            else { throw malformed("an extended header record is broken", at: offset) }
            let end = start + Int(length) - 1
            let key = String(decoding: body[(space + 1)..<equals], as: UTF8.self)
            guard equals < end + 1, !key.isEmpty else {
                throw malformed("an extended header record has no key", at: offset)
            }
            try apply(key, Array(body[(space + 1)..<equals]), body[(equals + 1)..<end], to: &records)
            start = end + 1
        }
    }

    private func apply(
        _ key: String, _ rawKey: [UInt8], _ value: ArraySlice<UInt8>, to records: inout PAXRecords
    ) throws(LayerError) {
        switch key {
        case "path": records.path = try name(value)
        case "linkpath": records.link = try name(value)
        case "size": records.size = try number(value, key)
        case "uid": records.uid = try identity(value, key)
        case "gid": records.gid = try identity(value, key)
        case "SCHILY.devmajor": records.deviceMajor = try identity(value, key)
        case "SCHILY.devminor": records.deviceMinor = try identity(value, key)
        case "mtime":
            guard !value.isEmpty else { return records.mtime = nil }
            guard let time = TarNumber.time(value) else { throw bad(key) }
            records.mtime = time
        default:
            if key.hasPrefix("GNU.sparse.") { return try applySparse(key, value, to: &records) }
            if key.hasPrefix("SCHILY.xattr.") {
                try add(Array(rawKey.dropFirst(13)), Array(value), to: &records)
            } else if key.hasPrefix("LIBARCHIVE.xattr.") {
                guard let name = TarNumber.percentDecoded(rawKey.dropFirst(17)),
                    let content = TarNumber.base64Decoded(value)
                else {
                    throw bad(key)
                }
                try add(name, content, to: &records)
            }
        }
    }

    private func applySparse(
        _ key: String, _ value: ArraySlice<UInt8>, to records: inout PAXRecords
    ) throws(LayerError) {
        guard PAXRecords.Sparse.keys.contains(key) else { return }
        // Taken, not copied: the map may have half a million numbers.
        var sparse = records.sparse.take() ?? PAXRecords.Sparse()
        switch key {
        case "GNU.sparse.numblocks": sparse.segmentCount = try number(value, key)
        case "GNU.sparse.major": sparse.major = try small(value, key)
        case "GNU.sparse.minor": sparse.minor = try small(value, key)
        case "GNU.sparse.name": sparse.name = try name(value)
        case "GNU.sparse.realsize", "GNU.sparse.size": sparse.realSize = try number(value, key)
        case "GNU.sparse.offset", "GNU.sparse.numbytes":
            guard let part = try number(value, key), sparse.map.count % 2 == (key == "GNU.sparse.offset" ? 0 : 1) else {
                throw bad(key)
            }
            sparse.map.append(part)
        case "GNU.sparse.map":
            for part in value.split(separator: 0x2C) {
                guard let part = TarNumber.decimal(part) else { throw bad(key) }
                sparse.map.append(part)
            }
        default: break
        }
        records.sparse = sparse
    }

    private func add(_ name: [UInt8], _ value: [UInt8], to records: inout PAXRecords) throws(LayerError) {
        guard !name.isEmpty, !name.contains(0) else {
            throw malformed("an extended attribute without a name", at: offset)
        }
        guard name.count <= TarLimits.attributeNameBytesMax else {
            throw LayerError(
                .limit,
                "extended attribute name \(TarPath.quoted(name)) is too long; at most \(TarLimits.attributeNameBytesMax) bytes are taken"
            )
        }
        guard value.count <= TarLimits.attributeValueBytesMax else {
            throw LayerError(
                .limit,
                "extended attribute \(TarPath.quoted(name)) has \(value.count) bytes; at most \(TarLimits.attributeValueBytesMax) are taken"
            )
        }
        // overlayfs would obey these; a layer must not speak to it.
        if name.starts(with: "trusted.overlay.".utf8) || name.starts(with: "user.overlay.".utf8) { return }
        records.set(LayerEntry.Attribute(name: name, value: value))
        guard records.attributeNameBytes <= TarLimits.attributeListBytesMax else {
            throw LayerError(
                .limit,
                "tar archive at byte \(offset): names of extended attributes of more than \(TarLimits.attributeListBytesMax) bytes"
            )
        }
    }

    /// A name; an empty value takes back what was said before.
    private func name(_ value: ArraySlice<UInt8>) throws(LayerError) -> [UInt8]? {
        guard !value.contains(0) else {
            throw malformed("name \(TarPath.quoted(Array(value))) holds a NUL", at: offset)
        }
        return value.isEmpty ? nil : Array(value)
    }

    private func number(_ value: ArraySlice<UInt8>, _ key: String) throws(LayerError) -> UInt64? {
        if value.isEmpty { return nil }
        guard let number = TarNumber.decimal(value), number <= UInt64(Int64.max) else { throw bad(key) }
        return number
    }

    private func identity(_ value: ArraySlice<UInt8>, _ key: String) throws(LayerError) -> UInt32? {
        guard let number = try number(value, key) else { return nil }
        guard let identity = UInt32(exactly: number) else { throw bad(key) }
        return identity
    }

    private func small(_ value: ArraySlice<UInt8>, _ key: String) throws(LayerError) -> Int {
        guard let number = try number(value, key), number < 100 else { throw bad(key) }
        return Int(number)
    }

    private func bad(_ key: String) -> LayerError {
        malformed("extended header record \(TarPath.quoted(Array(key.utf8))) has no valid value", at: offset)
    }
}

/// Numbers and encodings of extended headers.
enum TarNumber {
    /// Decimal digits only; nil when empty, otherwise formed, or more than 64 bits.
    static func decimal(_ digits: ArraySlice<UInt8>) -> UInt64? {
        guard !digits.isEmpty else { return nil }
        var value: UInt64 = 0
        for digit in digits {
            guard (0x30...0x39).contains(digit) else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit - 0x30))
            guard !overflow, !carry else { return nil }
            value = sum
        }
        return value
    }

    /// `[-]seconds[.fraction]`; digits after the ninth are dropped, toward the past.
    static func time(_ text: ArraySlice<UInt8>) -> PAXRecords.Time? {
        let isNegative = text.first == 0x2D
        let parts = text.dropFirst(isNegative ? 1 : 0).split(
            separator: 0x2E, maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, let magnitude = decimal(whole), let seconds = Int64(exactly: magnitude) else {
            return nil
        }
        var nanoseconds: UInt32 = 0
        if parts.count == 2 {
            guard parts[1].allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            var digits = Array(parts[1].prefix(9))
            digits += Array(repeating: 0x30, count: 9 - digits.count)
            nanoseconds = digits.reduce(0) { $0 * 10 + UInt32($1 - 0x30) }
        }
        guard isNegative else { return PAXRecords.Time(seconds: seconds, nanoseconds: nanoseconds) }
        if nanoseconds == 0 { return PAXRecords.Time(seconds: -seconds, nanoseconds: 0) }
        return PAXRecords.Time(seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds)
    }

    /// `%41` and plain bytes, as libarchive writes attribute names.
    static func percentDecoded(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        var result: [UInt8] = []
        var index = text.startIndex
        while index < text.endIndex {
            if text[index] != 0x25 {
                result.append(text[index])
                index += 1
                continue
            }
            guard index + 2 < text.endIndex, let high = hexDigit(text[index + 1]), let low = hexDigit(text[index + 2])
            else { return nil }
            result.append(high << 4 | low)
            index += 3
        }
        return result
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }

    /// Base 64 (RFC 4648) with or without its padding.
    static func base64Decoded(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        var result: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in text where byte != 0x3D && byte != 0x0A {
            let digit: UInt8
            switch byte {
            case 0x41...0x5A: digit = byte - 0x41
            case 0x61...0x7A: digit = byte - 0x61 + 26
            case 0x30...0x39: digit = byte - 0x30 + 52
            case 0x2B: digit = 62
            case 0x2F: digit = 63
            default: return nil
            }
            bits = bits << 6 | UInt32(digit)
            count += 6
            if count >= 8 {
                count -= 8
                result.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return count == 6 ? nil : result
    }
}
