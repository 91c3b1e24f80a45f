import LayerFS
import Testing

/// An archive that must be refused, and one that differs from it in nothing but the offence, which must work.
struct HostileArchive: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let code: LayerError.Code
    /// What the message must say.
    let words: String
    let bad: [UInt8]
    let good: [UInt8]
    /// Paths of the good archive's members.
    let paths: [String]
    var limits = IngestLimits()

    init(
        _ name: String, _ code: LayerError.Code, _ words: String, bad: [UInt8], good: [UInt8],
        _ paths: [String] = ["f"],
        limits: IngestLimits = IngestLimits(), ends: Bool = true
    ) {
        testDescription = name
        self.code = code
        self.words = words
        self.bad = bad + (ends ? tarEnd : [])
        self.good = good + tarEnd
        self.paths = paths
        self.limits = limits
    }

    static let all = names + links + headers + numbers + records + attributes + ends + sparse + sparseMaps

    private static func n(_ count: Int) -> String { String(repeating: "n", count: count) }
    /// A path of `count` bytes in components that are short enough.
    private static func long(_ count: Int) -> String { String((0..<count).map { $0 % 200 == 199 ? "/" : "p" }) }
    private static let file = tarMember("f")

    private static let names: [HostileArchive] = [
        .init(
            "a name above the root", .malformed, "leads out of the layer", bad: tarMember("../f"),
            good: tarMember("a/../f")),
        .init(
            "an absolute name above the root", .malformed, "leads out of the layer", bad: tarMember("/../f"),
            good: tarMember("/f")),
        .init(
            "a name that climbs one too many", .malformed, "leads out of the layer", bad: tarMember("a/./b/../../../f"),
            good: tarMember("a/./b/../../f")),
        .init(
            "the parent of the root", .malformed, "leads out of the layer", bad: tarMember("..", type: "5"),
            good: tarMember("a/..", type: "5"), [""]),
        .init(
            "a PAX name above the root", .malformed, "leads out of the layer",
            bad: paxHeader([("path", "../f")]) + tarMember("x"),
            good: paxHeader([("path", "..f")]) + tarMember("x"), ["..f"]),
        .init(
            "a GNU long name above the root", .malformed, "leads out of the layer",
            bad: tarMember("L", type: "L", body: Array("x/../../f".utf8)) + tarMember("x"),
            good: tarMember("L", type: "L", body: Array("x/../f".utf8)) + tarMember("x")),
        .init("no name", .malformed, "a member without a name", bad: tarMember(""), good: tarMember("./f")),
        .init(
            "a NUL in a PAX name", .malformed, "holds a NUL", bad: paxHeader([("path", "f\u{0}g")]) + tarMember("x"),
            good: paxHeader([("path", "f")]) + tarMember("x")),
        .init(
            "a component of 256 bytes", .limit, "is too long", bad: paxHeader([("path", n(256))]) + tarMember("x"),
            good: paxHeader([("path", n(255))]) + tarMember("x"), [n(255)]),
        .init(
            "a path of 4097 bytes", .limit, "is too long", bad: paxHeader([("path", long(4097))]) + tarMember("x"),
            good: paxHeader([("path", long(4095))]) + tarMember("x"), [long(4095)]),
        .init(
            "a file in place of the root", .malformed, "root of the layer is not a directory", bad: tarMember("./"),
            good: tarMember("./", type: "5"), [""]),
        .init(
            "a link in place of the root", .malformed, "root of the layer is not a directory",
            bad: tarMember("/.", type: "2", link: "/etc"), good: tarMember("/.", type: "5"), [""]),
    ]

    private static let links: [HostileArchive] = [
        .init(
            "a hard link above the root", .malformed, "leads out of the layer",
            bad: file + tarMember("h", type: "1", link: "../f"),
            good: file + tarMember("h", type: "1", link: "./a/../f"), ["f", "h"]),
        .init(
            "a hard link to the root", .malformed, "a hard link to the root",
            bad: file + tarMember("h", type: "1", link: "/"),
            good: file + tarMember("h", type: "1", link: "/f"), ["f", "h"]),
        .init(
            "a hard link to nothing", .malformed, "a member without a name", bad: file + tarMember("h", type: "1"),
            good: file + tarMember("h", type: "1", link: "f"), ["f", "h"]),
        .init(
            "a symbolic link to nothing", .malformed, "empty target", bad: tarMember("l", type: "2"),
            good: tarMember("l", type: "2", link: ".."), ["l"]),
        .init(
            "a NUL in a link's target", .malformed, "holds a NUL",
            bad: paxHeader([("linkpath", "a\u{0}b")]) + tarMember("l", type: "2"),
            good: paxHeader([("linkpath", "/../../etc/passwd")]) + tarMember("l", type: "2"), ["l"]),
        .init(
            "a target of 4096 bytes", .limit, "is too long",
            bad: paxHeader([("linkpath", n(4096))]) + tarMember("l", type: "2"),
            good: paxHeader([("linkpath", n(4095))]) + tarMember("l", type: "2"), ["l"]),
        .init(
            "a GNU long link of 4096 bytes", .limit, "is too long",
            bad: tarMember("K", type: "K", body: Array(n(4096).utf8)) + tarMember("l", type: "2"),
            good: tarMember("K", type: "K", body: Array(n(4095).utf8)) + tarMember("l", type: "2"), ["l"]),
    ]

    private static let headers: [HostileArchive] = [
        .init(
            "a checksum that is wrong", .malformed, "header checksum is wrong",
            bad: [UInt8(ascii: "g")] + file.dropFirst(), good: file),
        .init(
            "an unknown type", .unsupported, "has type 90, which this engine does not take",
            bad: tarMember("f", type: "Z"), good: tarMember("f", type: "7")),
        .init(
            "a mode that is no number", .malformed, "mode field",
            bad: tarMember("f", patches: [(100, Array("rw-r--r".utf8))]),
            good: tarMember("f", patches: [(100, Array("  644 \u{0} ".utf8))])),
        .init(
            "a time that is no number", .malformed, "time field",
            bad: tarMember("f", patches: [(136, Array("yesterday".utf8))]),
            good: tarMember("f", patches: [(136, base256(-86400, 12))])),
        .init(
            "more members than the budget", .limit, "more than 2 members", bad: file + file + file, good: file + file,
            ["f", "f"],
            limits: IngestLimits(tar: TarLimits(entriesMax: 2))),
    ]

    private static let numbers: [HostileArchive] = [
        .init(
            "a size that is not octal", .malformed, "size field",
            bad: tarMember("f", patches: [(124, Array("99999999999".utf8))]),
            good: tarMember("f", patches: [(124, Array("00000000000".utf8))])),
        .init(
            "a negative size", .malformed, "size field", bad: tarMember("f", patches: [(124, base256(-1, 12))]),
            good: tarMember("f", body: [1], patches: [(124, base256(1, 12))])),
        .init(
            "a size of 95 bits", .malformed, "size field",
            bad: tarMember("f", patches: [(124, [0x80] + [UInt8](repeating: 0xFF, count: 11))]),
            good: tarMember("f", patches: [(124, [0x80] + [UInt8](repeating: 0, count: 11))])),
        .init(
            "a size that overflows what comes before", .malformed, "cannot be",
            bad: tarMember("f", patches: [(124, base256(.max, 12))]),
            good: tarMember("f", patches: [(124, base256(0, 12))])),
        .init(
            "a size beyond the archive", .malformed, "truncated", bad: tarMember("f", body: [1, 2], size: 5000),
            good: tarMember("f", body: [1, 2], size: 2)),
        .init(
            "a PAX size beyond the archive", .malformed, "truncated",
            bad: paxHeader([("size", "5000")]) + tarMember("f", body: [1, 2]),
            good: paxHeader([("size", "2")]) + tarMember("f", body: [1, 2], size: 77)),
        .init(
            "an owner of 33 bits", .malformed, "owner field",
            bad: tarMember("f", patches: [(108, base256(1 << 32, 8))]),
            good: tarMember("f", patches: [(108, base256(3_000_000_000, 8))])),
        .init(
            "a negative group", .malformed, "group field", bad: tarMember("f", patches: [(116, base256(-1, 8))]),
            good: tarMember("f", patches: [(116, base256(2_100_001, 8))])),
        .init(
            "a device number of 33 bits", .malformed, "device number",
            bad: tarMember("d", type: "3", patches: [(329, base256(1 << 32, 8))]),
            good: tarMember("d", type: "3", patches: [(329, base256(1, 8))]), ["d"]),
    ]

    private static func record(_ text: String) -> [UInt8] { tarMember("x", type: "x", body: Array(text.utf8)) + file }
    private static func broken(_ name: String, _ text: String, good: String) -> HostileArchive {
        .init(name, .malformed, "extended header record", bad: record(text), good: record(good))
    }

    private static let records: [HostileArchive] = [
        broken("a record longer than its header", "999 comment=x\n", good: "13 comment=x\n"),
        broken("a record shorter than its text", "9 comment=x\n", good: "13 comment=x\n"),
        broken("a record of no bytes", "0 comment=x\n", good: "13 comment=x\n"),
        broken("a record of -13 bytes", "-13 comment=x\n", good: "13 comment=x\n"),
        broken("a record of 10^25 bytes", "10000000000000000000000000 comment=x\n", good: "13 comment=x\n"),
        broken("a record without a length", "comment=x\n", good: "13 comment=x\n"),
        broken("a record without an equals sign", "13 comment x\n", good: "13 comment=x\n"),
        broken("a record without a key", "5 =x\n", good: "6 k=x\n"),
        broken("a record without an end", "13 comment=xy", good: "14 comment=xy\n"),
        broken("a size with a letter", "11 size=1a\n", good: "10 size=0\n"),
        broken("a negative PAX size", "11 size=-1\n", good: "10 size=0\n"),
        broken("a PAX size of 64 bits", "29 size=18446744073709551615\n", good: "10 size=0\n"),
        broken("a PAX owner of 33 bits", "18 uid=4294967296\n", good: "18 uid=3000000000\n"),
        broken("a PAX time of words", "14 mtime=soon\n", good: "14 mtime=-1.5\n"),
        .init(
            "an extended header above a MiB", .limit, "extended header of 1048577 bytes",
            bad: tarMember("x", type: "x", body: [UInt8](repeating: 0, count: (1 << 20) + 1)) + file,
            good: tarMember("x", type: "x", body: paxRecord("comment", [UInt8](repeating: 97, count: (1 << 20) - 17)))
                + file),
        .init(
            "a long name of 4 GiB", .limit, "extended header of 4294967296 bytes",
            bad: tarMember("L", type: "L", size: 1 << 32) + file,
            good: tarMember("L", type: "L", body: Array("g\u{0}garbage".utf8)) + file, ["g"]),
        .init(
            "a long link of 2^62 bytes", .limit, "extended header of",
            bad: tarMember("K", type: "K", patches: [(124, base256(1 << 62, 12))]) + file,
            good: tarMember("K", type: "K", body: Array("g".utf8)) + file),
        .init(
            "a broken global header", .malformed, "extended header record",
            bad: tarMember("g", type: "g", body: Array("99 path=x\n".utf8)) + file,
            good: paxHeader(
                [("comment", "x"), ("path", "other"), ("size", "77"), ("SCHILY.xattr.user.k", "v")], type: "g") + file),
        .init(
            "an extended header and no member", .malformed, "is not followed by a member",
            bad: paxHeader([("path", "x")]), good: file),
    ]

    private static func attribute(_ key: String, _ value: [UInt8]) -> [UInt8] {
        tarMember("x", type: "x", body: paxRecord(key, value)) + file
    }
    private static func attributeNames(_ count: Int) -> [UInt8] {
        tarMember("x", type: "x", body: (0..<count).flatMap { paxRecord("SCHILY.xattr.user.\(100_000 + $0)", [1]) })
            + file
    }

    private static let attributes: [HostileArchive] = [
        .init(
            "an attribute's name of 256 bytes", .limit, "is too long",
            bad: attribute("SCHILY.xattr.user." + n(251), [1]),
            good: attribute("SCHILY.xattr.user." + n(250), [1])),
        .init(
            "an attribute's value above 64 KiB", .limit, "has 65537 bytes",
            bad: attribute("SCHILY.xattr.user.k", [UInt8](repeating: 0, count: 65537)),
            good: attribute("SCHILY.xattr.user.k", [UInt8](repeating: 0, count: 65535))),
        .init(
            "an attribute without a name", .malformed, "without a name", bad: attribute("SCHILY.xattr.", [1]),
            good: attribute("SCHILY.xattr.user.k", [])),
        .init(
            "a NUL in an attribute's name", .malformed, "without a name",
            bad: attribute("SCHILY.xattr.user.\u{0}", [1]), good: attribute("SCHILY.xattr.user.=", [1])),
        .init(
            "20,000 attributes", .limit, "names of extended attributes", bad: attributeNames(20_000),
            good: attributeNames(5000)),
        .init(
            "an attribute that is not base 64", .malformed, "no valid value",
            bad: attribute("LIBARCHIVE.xattr.user.k", Array("!!".utf8)),
            good: attribute("LIBARCHIVE.xattr.user%2Ek", Array("dmFsdWU=".utf8))),
        .init(
            "an attribute's name with half an escape", .malformed, "no valid value",
            bad: attribute("LIBARCHIVE.xattr.user.k%2", Array("dg".utf8)),
            good: attribute("LIBARCHIVE.xattr.user.k%20", Array("dg".utf8))),
    ]

    private static let ends: [HostileArchive] = [
        .init(
            "a zero block between members", .malformed, "a lone zero block is followed by more",
            bad: file + [UInt8](repeating: 0, count: 512) + file,
            good: file + tarEnd + [UInt8](repeating: 0xAA, count: 5000)),
        .init(
            "garbage in place of the end", .malformed, "header checksum is wrong",
            bad: file + [UInt8](repeating: 0xAA, count: 512), good: file, ends: false),
        .init(
            "an end inside a header", .malformed, "truncated", bad: file + file.prefix(511), good: file + file,
            ["f", "f"], ends: false),
        .init(
            "an end inside a file", .malformed, "truncated", bad: tarMember("f", body: [1, 2, 3]).dropLast(511),
            good: tarMember("f", body: [1]), ends: false),
        .init(
            "an end inside the padding", .malformed, "truncated", bad: tarMember("f", body: [1, 2, 3]).dropLast(1),
            good: tarMember("f", body: [1, 2, 3]), ends: false),
    ]
}

// MARK: - Sparse files

extension HostileArchive {
    private static let data = [UInt8](repeating: 7, count: 700)
    private static let map = [(offset: 1000, count: 500), (offset: 5000, count: 200)]

    /// Every lie a map can tell, in each of the four formats.
    fileprivate static let sparse: [HostileArchive] = SparseFormat.allCases.flatMap { format -> [HostileArchive] in
        let good = format.member("f", map, realSize: 6000, body: data)
        func bad(_ what: String, _ words: String, _ map: [(offset: Int, count: Int)], realSize: Int = 6000)
            -> HostileArchive
        {
            .init(
                "\(format): \(what)", .malformed, words, bad: format.member("f", map, realSize: realSize, body: data),
                good: good)
        }
        return [
            bad("segments overlap", "contradicts itself", [(1000, 500), (1499, 200)]),
            bad("segments go backwards", "contradicts itself", [(5000, 500), (1000, 200)]),
            bad("a segment ends behind the file", "contradicts itself", [(1000, 500), (5801, 200)]),
            bad("a segment at the end of the numbers", "contradicts itself", [(1000, 500), (Int.max / 20, 200)]),
            bad("a segment without end", "contradicts itself", [(1000, Int.max / 20), (5000, 200)]),
            bad("less data than the map says", "has not the data", [(1000, 501), (5000, 200)]),
            bad("more data than the map says", "has not the data", [(1000, 499), (5000, 200)]),
            bad("a real size smaller than the data", "contradicts itself", map, realSize: 600),
            .init(
                "\(format): more segments than the budget", .limit, "more than 5 segments",
                bad: format.member("f", (0..<6).map { ($0 * 1000, 1) }, realSize: 6000, body: Array(data.prefix(6))),
                good: format.member("f", (0..<5).map { ($0 * 1000, 1) }, realSize: 6000, body: Array(data.prefix(5))),
                limits: IngestLimits(tar: TarLimits(sparseSegmentsMax: 5))),
            .init(
                "\(format): eight EiB of nothing", .limit, "expand to more than",
                bad: format.member("f", [(0, 700)], realSize: Int.max / 2, body: data),
                good: format.member("f", [(0, 700)], realSize: 1 << 33, body: data)),
            .init(
                "\(format): an end inside the data", .malformed, "truncated",
                bad: format.member("f", map, realSize: 6000, body: data).dropLast(325),
                good: good, ends: false),
        ]
    }

    private static func pax10(_ text: String, size: Int? = nil) -> [UInt8] {
        let records = [
            ("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "f"),
            ("GNU.sparse.realsize", "9"),
        ]
        let body = Array(text.utf8) + [UInt8](repeating: 0, count: 512 - text.utf8.count) + [1, 2, 3]
        return paxHeader(records) + tarMember("x", body: body, size: size)
    }
    private static func pax0(_ records: [(String, String)]) -> [UInt8] {
        paxHeader(records) + tarMember("f", body: [1, 2, 3])
    }

    /// What only one format can get wrong.
    fileprivate static let sparseMaps: [HostileArchive] = [
        .init(
            "a map of letters", .malformed, "map of a sparse file is broken", bad: pax10("1\nx\n3\n"),
            good: pax10("1\n2\n3\n")),
        .init(
            "a map of empty lines", .malformed, "map of a sparse file is broken", bad: pax10("\n\n"),
            good: pax10("1\n0\n3\n")),
        .init(
            "a map of 10^11 segments", .malformed, "map of a sparse file is broken", bad: pax10("100000000000\n2\n3\n"),
            good: pax10("1\n2\n3\n")),
        .init(
            "a map number of 20 digits", .malformed, "too large", bad: pax10("1\n99999999999999999999\n3\n"),
            good: pax10("1\n00000000000000000002\n3\n")),
        .init(
            "a map larger than its member", .malformed, "map of a sparse file is cut",
            bad: pax10("1\n2\n3\n", size: 100), good: pax10("1\n2\n3\n", size: 515)),
        .init(
            "a format of the future", .unsupported, "sparse format 2.0",
            bad: pax0([("GNU.sparse.major", "2"), ("GNU.sparse.size", "9")]),
            good: pax0([("GNU.sparse.major", "0"), ("GNU.sparse.size", "9"), ("GNU.sparse.map", "5,3")])),
        .init(
            "no real size", .malformed, "without its real size", bad: pax0([("GNU.sparse.map", "5,3")]),
            good: pax0([("GNU.sparse.size", "9"), ("GNU.sparse.map", "5,3")])),
        .init(
            "an offset without a length", .malformed, "map of a sparse file is cut",
            bad: pax0([("GNU.sparse.size", "9"), ("GNU.sparse.map", "5")]),
            good: pax0([("GNU.sparse.size", "9"), ("GNU.sparse.map", "5,3")])),
        .init(
            "a length before its offset", .malformed, "no valid value",
            bad: pax0([("GNU.sparse.size", "9"), ("GNU.sparse.numbytes", "3")]),
            good: pax0([("GNU.sparse.size", "9"), ("GNU.sparse.offset", "6"), ("GNU.sparse.numbytes", "3")])),
        .init(
            "more segments promised than given", .malformed, "map of a sparse file is cut",
            bad: pax0([("GNU.sparse.size", "9"), ("GNU.sparse.numblocks", "99999999999"), ("GNU.sparse.map", "5,3")]),
            good: pax0([("GNU.sparse.size", "9"), ("GNU.sparse.numblocks", "1"), ("GNU.sparse.map", "5,3")])),
        .init(
            "an old map of letters", .malformed, "not made of numbers",
            bad: tarMember("f", type: "S", patches: [gnuMagic, (386, Array("elevenbytesandmore".utf8))]),
            good: SparseFormat.gnu.member("f", [], realSize: 9, body: [])),
        .init(
            "an old real size below zero", .malformed, "real size",
            bad: tarMember("f", type: "S", patches: [gnuMagic, (483, base256(-1, 12))]),
            good: tarMember("f", type: "S", patches: [gnuMagic, (483, base256(1, 12))])),
        .init(
            "a map that never ends", .malformed, "truncated",
            bad: tarMember("f", type: "S", patches: [gnuMagic, (482, [1])]),
            good: SparseFormat.gnu.member(
                "f", (0..<30).map { ($0 * 10, 1) }, realSize: 300, body: Array(data.prefix(30))), ends: false),
    ]
}
