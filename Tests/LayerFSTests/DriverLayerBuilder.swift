import Kernel
@testable import LayerFS

/// Builds a layer: a real tar (ustar with PAX headers), and the entries a parser would find in it.
struct LayerBuilder {
    private(set) var entries: [LayerEntry] = []
    private(set) var tar: [UInt8] = []
    /// Expanded sparse files, as the parser would leave them beside the tar.
    private(set) var sparse: [UInt8] = []

    static let epoch: Int64 = 1_700_000_000

    mutating func add(_ entry: LayerEntry, content: [UInt8] = [], tarPath: String? = nil) {
        var entry = entry
        appendHeaders(entry, contentBytes: content.count, path: tarPath.map { Array($0.utf8) } ?? entry.path)
        if !content.isEmpty {
            entry.size = UInt64(content.count)
            entry.content = LayerEntry.Extent(source: .tar, offset: UInt64(tar.count))
            tar += content
            pad(&tar)
        }
        entries.append(entry)
    }

    mutating func file(
        _ path: String, _ content: String = "", mode: UInt16 = 0o644, uid: UInt32 = 0, gid: UInt32 = 0,
        mtime: Int64 = epoch,
        nanoseconds: UInt32 = 0, attributes: [(String, [UInt8])] = [], tarPath: String? = nil
    ) {
        add(
            LayerEntry(
                path: Array(path.utf8), kind: .file, mode: mode, uid: uid, gid: gid, mtimeSeconds: mtime,
                mtimeNanoseconds: nanoseconds, attributes: Self.attributes(attributes)),
            content: Array(content.utf8), tarPath: tarPath)
    }

    mutating func directory(
        _ path: String, mode: UInt16 = 0o755, uid: UInt32 = 0, gid: UInt32 = 0, mtime: Int64 = epoch,
        attributes: [(String, [UInt8])] = [], tarPath: String? = nil
    ) {
        add(
            LayerEntry(
                path: Array(path.utf8), kind: .directory, mode: mode, uid: uid, gid: gid, mtimeSeconds: mtime,
                attributes: Self.attributes(attributes)), tarPath: tarPath)
    }

    mutating func symlink(_ path: String, _ target: String) {
        add(
            LayerEntry(
                path: Array(path.utf8), kind: .symlink, mode: 0o777, mtimeSeconds: Self.epoch,
                linkTarget: Array(target.utf8)))
    }

    mutating func hardlink(_ path: String, _ target: String) {
        add(
            LayerEntry(
                path: Array(path.utf8), kind: .hardlink, mode: 0o644, mtimeSeconds: Self.epoch,
                linkTarget: Array(target.utf8)))
    }

    mutating func device(
        _ path: String, _ kind: LayerEntry.Kind, _ major: UInt32, _ minor: UInt32, mode: UInt16 = 0o666
    ) {
        add(
            LayerEntry(
                path: Array(path.utf8), kind: kind, mode: mode, mtimeSeconds: Self.epoch, deviceMajor: major,
                deviceMinor: minor))
    }

    /// A sparse file: holes of zeros are in the layer's sparse file, not in the tar.
    mutating func sparseFile(_ path: String, size: Int, data: [(offset: Int, bytes: [UInt8])]) {
        let start = sparse.count
        sparse += [UInt8](repeating: 0, count: size)
        for part in data {
            sparse.replaceSubrange(start + part.offset..<start + part.offset + part.bytes.count, with: part.bytes)
        }
        entries.append(
            LayerEntry(
                path: Array(path.utf8), kind: .file, mode: 0o644, mtimeSeconds: Self.epoch, size: UInt64(size),
                content: LayerEntry.Extent(source: .sparse, offset: UInt64(start))))
        pad(&sparse)
    }

    /// The tar with its end mark.
    var finishedTar: [UInt8] { tar + [UInt8](repeating: 0, count: 1024) }

    /// The content of an entry of this layer.
    func content(_ entry: LayerEntry) -> [UInt8] {
        guard let extent = entry.content else { return [] }
        let source = extent.source == .tar ? tar : sparse
        return Array(source[Int(extent.offset)..<Int(extent.offset) + Int(entry.size)])
    }

    private static func attributes(_ list: [(String, [UInt8])]) -> [LayerEntry.Attribute] {
        list.map { LayerEntry.Attribute(name: Array($0.0.utf8), value: $0.1) }
    }

    private func pad(_ bytes: inout [UInt8]) {
        bytes += [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512)
    }

    // MARK: tar(5)

    private mutating func appendHeaders(_ entry: LayerEntry, contentBytes: Int, path: [UInt8]) {
        var records: [UInt8] = []
        if path.count > 99 { records += Self.record("path", path) }
        if entry.linkTarget.count > 99 { records += Self.record("linkpath", entry.linkTarget) }
        if entry.uid > 0o7777777 { records += Self.record("uid", Array("\(entry.uid)".utf8)) }
        if entry.gid > 0o7777777 { records += Self.record("gid", Array("\(entry.gid)".utf8)) }
        if entry.mtimeSeconds < 0 || entry.mtimeNanoseconds > 0 {
            records += Self.record("mtime", Array(Self.decimal(entry.mtimeSeconds, entry.mtimeNanoseconds).utf8))
        }
        for attribute in entry.attributes {
            records += Self.record("SCHILY.xattr." + String(decoding: attribute.name, as: UTF8.self), attribute.value)
        }
        if !records.isEmpty {
            appendHeader(Array("pax".utf8), UInt8(ascii: "x"), size: records.count, LayerEntry(path: [], kind: .file))
            tar += records
            pad(&tar)
        }
        let type: UInt8 =
            switch entry.kind {
            case .file: UInt8(ascii: "0")
            case .hardlink: UInt8(ascii: "1")
            case .symlink: UInt8(ascii: "2")
            case .character: UInt8(ascii: "3")
            case .block: UInt8(ascii: "4")
            case .directory: UInt8(ascii: "5")
            case .fifo: UInt8(ascii: "6")
            }
        appendHeader(path.isEmpty ? Array("./".utf8) : path, type, size: contentBytes, entry)
    }

    /// A time as a decimal number; nanoseconds count upwards, also before 1970.
    private static func decimal(_ seconds: Int64, _ nanoseconds: UInt32) -> String {
        let isBefore = seconds < 0 && nanoseconds > 0
        let fraction = isBefore ? 1_000_000_000 - nanoseconds : nanoseconds
        let whole = isBefore ? "-\(-(seconds + 1))" : "\(seconds)"
        return whole + "." + String(1_000_000_000 + fraction).dropFirst()
    }

    private mutating func appendHeader(_ name: [UInt8], _ type: UInt8, size: Int, _ entry: LayerEntry) {
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ bytes: some Collection<UInt8>, at offset: Int) {
            header.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        }
        func octal(_ value: UInt64, at offset: Int, digits: Int) {
            let text = String(value, radix: 8)
            put(
                Array((String(repeating: "0", count: max(0, digits - text.count)) + text).utf8).suffix(digits),
                at: offset)
        }
        put(name.prefix(99), at: 0)
        octal(UInt64(entry.mode), at: 100, digits: 7)
        octal(UInt64(entry.uid) & 0o7777777, at: 108, digits: 7)
        octal(UInt64(entry.gid) & 0o7777777, at: 116, digits: 7)
        octal(UInt64(size), at: 124, digits: 11)
        octal(UInt64(max(0, entry.mtimeSeconds)), at: 136, digits: 11)
        put([UInt8](repeating: 32, count: 8), at: 148)
        header[156] = type
        put(entry.linkTarget.prefix(99), at: 157)
        put(Array("ustar\u{0}00".utf8), at: 257)
        octal(UInt64(entry.deviceMajor), at: 329, digits: 7)
        octal(UInt64(entry.deviceMinor), at: 337, digits: 7)
        octal(header.reduce(0) { $0 + UInt64($1) }, at: 148, digits: 6)
        header[154] = 0
        tar += header
    }

    private static func record(_ key: String, _ value: [UInt8]) -> [UInt8] {
        let body = Array(" \(key)=".utf8) + value + [10]
        var length = body.count + 1
        while String(length).utf8.count + body.count != length { length += 1 }
        return Array(String(length).utf8) + body
    }
}
