import Glibc
import Kernel
import Testing

@testable import LayerFS

/// Layers whose members reach for other places: what a mounted image shows of them.
struct ReachingLayers: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let layers: [[UInt8]]
    /// Every path of the image: "dir", "-> target", "= path of the same inode", or the content of a file.
    let shown: [String: String]

    init(_ name: String, _ layers: [UInt8]..., shown: [String: String]) {
        testDescription = name
        self.layers = layers.map { $0 + tarEnd }
        self.shown = shown
    }

    private static func file(_ path: String, _ text: String = "x") -> [UInt8] {
        tarMember(path, body: Array(text.utf8))
    }
    private static func link(_ path: String, _ target: String) -> [UInt8] { tarMember(path, type: "2", link: target) }
    private static func hard(_ path: String, _ target: String) -> [UInt8] { tarMember(path, type: "1", link: target) }
    private static func directory(_ path: String) -> [UInt8] { tarMember(path + "/", type: "5") }

    static let all: [ReachingLayers] = [
        .init(
            "absolute and redundant names", file("/a"), file(".//./b//c"), file("//d/"),
            shown: ["a": "x", "b": "dir", "b/c": "x", "d": "x"]),
        .init("a link to the root", link("l", "/"), file("l/l/f"), shown: ["l": "-> /", "f": "x"]),
        .init(
            "a link above the root", link("l", "../../.."), file("l/../f"), file("l/g"),
            shown: ["l": "-> ../../..", "f": "x", "g": "x"]),
        .init(
            "a link to the host's files", link("l", "/etc"), file("l/passwd", "own"),
            shown: ["l": "-> /etc", "etc": "dir", "etc/passwd": "own"]),
        .init(
            "links under links", directory("d/in"), link("d/in/up", ".."), link("a", "d/in/up/in"), file("a/up/f"),
            shown: ["d": "dir", "d/in": "dir", "d/in/up": "-> ..", "a": "-> d/in/up/in", "d/f": "x"]),
        .init(
            "a name through a link, climbing out by letters", directory("d/e"), link("l", "d/e"), file("l/../f"),
            shown: ["d": "dir", "d/e": "dir", "l": "-> d/e", "f": "x"]),
        .init(
            "a hard link through a link", file("d/f"), link("l", "/d"), hard("h", "l/f"),
            shown: ["d": "dir", "d/f": "x", "l": "-> /d", "h": "= d/f"]),
        .init(
            "a hard link to a link outside is that link", link("l", "/etc/shadow"), hard("z", "l"),
            shown: ["l": "-> /etc/shadow", "z": "= l"]),
        .init(
            "a hard link written through a link above the root", link("l", "../.."), file("f"), hard("l/h", "f"),
            shown: ["l": "-> ../..", "f": "x", "h": "= f"]),
        .init(
            "a file in place of a link does not write through it",
            file("t", "target") + link("l", "t") + file("l", "own"),
            shown: ["t": "target", "l": "own"]),
        .init(
            "a directory in place of a link does not fill its target",
            directory("t") + link("l", "t") + directory("l") + file("l/f"),
            shown: ["t": "dir", "l": "dir", "l/f": "x"]),
        .init(
            "one path many times", file("f", "1") + directory("f") + file("f/in") + link("f", "g") + file("f", "2"),
            shown: ["f": "2"]),
        .init(
            "a file over a lower directory, then below it again", file("d/f"), file("d", "flat"), file("d/g"),
            shown: ["d": "dir", "d/g": "x"]),
        .init(
            "a whiteout through a link", directory("d") + file("d/f") + file("d/g") + link("l", "d"), file("l/.wh.f"),
            shown: ["d": "dir", "d/g": "x", "l": "-> d"]),
        .init(
            "a whiteout of what a link leads to takes the link", file("f") + link("l", "f"), file(".wh.l"),
            shown: ["f": "x"]),
        .init(
            "names that are nearly whiteouts", file("wh.f") + file(".whf") + file("d/.w"),
            shown: ["wh.f": "x", ".whf": "x", "d": "dir", "d/.w": "x"]),
        .init(
            "a device 0:0 is nothing", file("f") + file("d/g"), tarMember("f", type: "3"),
            shown: ["d": "dir", "d/g": "x"]),
        .init(
            "names that are no UTF-8, with lines and stars",
            tarMember("x", patches: [(0, [0xFF, 0x0A, 0x2A])]) + link("l", "\u{7F}\n"),
            shown: ["\u{FFFD}\n*": "", "l": "-> \u{7F}\n"]),
    ]
}

/// Layers of whole archives that make no tree, and what makes one instead.
struct ImpossibleTree: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let words: String
    let bad: [[UInt8]]
    let good: [[UInt8]]

    init(_ name: String, _ words: String, bad: [UInt8]..., good: [[UInt8]]) {
        testDescription = name
        self.words = words
        self.bad = bad.map { $0 + tarEnd }
        self.good = good.map { $0 + tarEnd }
    }

    private static func chain(_ count: Int) -> [UInt8] {
        (0..<count).flatMap { tarMember("l\($0)", type: "2", link: $0 == count - 1 ? "d" : "l\($0 + 1)") }
            + tarMember("l0/f")
    }
    private static let file = tarMember("f")

    static let all: [ImpossibleTree] = [
        .init(
            "a link to itself on the way", "more than 40 symbolic links",
            bad: tarMember("l", type: "2", link: "l") + tarMember("l/f"),
            good: [tarMember("l", type: "2", link: "l"), tarMember("l") + tarMember("f")]),
        .init("41 links on the way", "more than 40 symbolic links", bad: chain(41), good: [chain(40)]),
        .init(
            "a hard link to what comes later", "which is not there", bad: tarMember("h", type: "1", link: "f") + file,
            good: [file + tarMember("h", type: "1", link: "f")]),
        .init(
            "a hard link to what a layer took away", "which is not there", bad: file, tarMember(".wh.f"),
            tarMember("h", type: "1", link: "f"),
            good: [file, tarMember("h", type: "1", link: "f"), tarMember(".wh.f")]),
        .init(
            "a hard link to a directory", "which is a directory",
            bad: tarMember("d/", type: "5") + tarMember("h", type: "1", link: "d"),
            good: [tarMember("d/f") + tarMember("h", type: "1", link: "d/f")]),
        .init(
            "a file below a file", "through a file of the same layer", bad: file + tarMember("f/g"),
            good: [file, tarMember("f/g")]),
        .init("a whiteout of nothing", "hides no name", bad: tarMember(".wh."), good: [tarMember(".wh.nothing")]),
        .init("a whiteout of the parent", "hides no name", bad: tarMember("d/.wh..."), good: [tarMember("d/.wh....")]),
        .init(
            "a device number of 13 bits", "larger than Linux has",
            bad: tarMember("d", type: "4", patches: [(329, octal(4096, 7))]),
            good: [tarMember("d", type: "4", patches: [(329, octal(4095, 7))])]),
    ]
}

@Suite(.serialized, .enabled(if: getuid() == 0, "mounting needs root")) struct HostileTreeTests {
    /// Each archive through the whole pipeline.
    private func stored(_ archives: [[UInt8]], _ stage: Stage) async throws -> [LayerFiles] {
        var layers: [LayerFiles] = []
        for archive in archives {
            let files = LayerFiles(directory: try stage.fresh("layer"))
            try await ingested(archive, IngestRequest(files: files))
            layers.append(files)
        }
        return layers
    }

    private func shown(_ root: String) throws -> [String: String] {
        var result: [String: String] = [:]
        for (bytes, member) in try snapshot(root) where !bytes.isEmpty {
            let path = String(decoding: bytes, as: UTF8.self)
            switch member.kind {
            case .directory: result[path] = "dir"
            case _ where member.identity != bytes:
                result[path] = "= " + String(decoding: member.identity, as: UTF8.self)
            case .symlink: result[path] = "-> " + String(decoding: member.target, as: UTF8.self)
            default:
                let file = try OwnedFD.open(root, NodeAccess.directory).resolve(bytes: bytes, O_RDONLY)
                result[path] = String(decoding: try file.readAll(bytesMax: 1 << 20), as: UTF8.self)
            }
        }
        return result
    }

    @Test(arguments: conformingDrivers.indices, ReachingLayers.all)
    func `what reaches out of the root lands inside of it`(driver: Int, layers: ReachingLayers) async throws {
        let stage = try Stage()
        let files = try await stored(layers.layers, stage)
        let (chain, target) = (try stage.fresh("chain"), try stage.fresh("mount"))
        let driver = conformingDrivers[driver]
        try ChainBuilder.prepare(files, with: driver, at: chain)
        let lower = try driver.mount(chain, layers: files, at: target)
        defer { try? driver.unmount(target) }
        #expect(try shown(lower) == layers.shown)
    }

    @Test(arguments: conformingDrivers.indices)
    func `an owner that Linux has not is root, as where files are extracted`(driver: Int) async throws {
        let stage = try Stage()
        let records = [("uid", "4294967295"), ("gid", "4294967295")]
        let beside = [("uid", "4294967294"), ("gid", "4294967294")]
        let archive = paxHeader(records) + tarMember("f") + paxHeader(beside) + tarMember("g") + tarEnd
        let files = try await stored([archive], stage)
        let (chain, target) = (try stage.fresh("chain"), try stage.fresh("mount"))
        try ChainBuilder.prepare(files, with: conformingDrivers[driver], at: chain)
        let lower = try conformingDrivers[driver].mount(chain, layers: files, at: target)
        defer { try? conformingDrivers[driver].unmount(target) }
        let found = try snapshot(lower)
        #expect(found[Array("f".utf8)].map { [$0.uid, $0.gid] } == [0, 0])
        #expect(found[Array("g".utf8)].map { [$0.uid, $0.gid] } == [4_294_967_294, 4_294_967_294])
    }

    @Test(arguments: ImpossibleTree.all)
    func `archives that make no tree are refused before anything is prepared`(trees: ImpossibleTree) async throws {
        let stage = try Stage()
        let chain = try stage.fresh("chain")
        let bad = try await stored(trees.bad, stage)
        let error = #expect(throws: LayerError.self) {
            try ChainBuilder.prepare(bad, with: DirectoryDriver(), at: chain)
        }
        #expect(error?.message.contains(trees.words) == true, "\(error?.message ?? "")")
        #expect(error?.code == .malformed || error?.code == .limit)
        #expect(try Files.list(chain) == [])
        let good = try await stored(trees.good, stage)
        try ChainBuilder.prepare(good, with: DirectoryDriver(), at: chain)
        #expect(DirectoryDriver().isPrepared(chain))
    }
}
