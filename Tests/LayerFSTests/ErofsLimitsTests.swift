import Glibc
import Kernel
import Testing

@testable import LayerFS

/// The kernel's reading of an index at the sizes where its layout changes.
@Suite(.serialized, .enabled(if: getuid() == 0, "mounting needs root")) struct ErofsLimitsTests {
    private func mounted(_ entries: [LayerEntry], _ stage: Stage, at target: String) throws -> String {
        var tree = ImageTree()
        try tree.apply(layer: 0, entries: entries)
        let layer = LayerFiles(directory: try stage.fresh("layer"))
        try Files.replace(layer.tar, with: [UInt8](repeating: 7, count: 1024))
        let chain = try stage.fresh("chain")
        try ErofsDriver().prepare(tree, layers: [layer], at: chain)
        return try ErofsDriver().mount(chain, layers: [layer], at: target)
    }

    /// Names of `bytes` bytes that differ in their beginning or their end.
    private static func names(_ count: Int, bytes: Int) -> [String] {
        (0..<count).map { index in
            let digits = String(index)
            let fill = String(repeating: "x", count: max(0, bytes - digits.count))
            return index % 2 == 0 ? digits + fill : fill + digits
        }
    }

    private func check(_ directory: String, _ names: [String]) throws {
        #expect(Set(try Files.list(directory)) == Set(names))
        let handle = try OwnedFD.open(directory, NodeAccess.handleOfDirectory)
        for name in names where try handle.nodeStatus(of: Array(name.utf8)).kind != .file {
            Issue.record("\(name) is no file")
        }
        for absent in ["", "0", "zz", "x", "\u{1}", "\u{7F}"].map({ $0 + "absent" }) {
            #expect(!Files.exists(directory + "/" + absent))
        }
    }

    @Test func `directories of every small size list and find each name`() throws {
        let stage = try Stage()
        let target = try stage.fresh("mount")
        defer { try? ErofsDriver().unmount(target) }
        var contents: [String: [String]] = [:]
        for count in Array(0..<90) + [127, 128, 129, 255, 256, 257, 600] {
            contents["n\(count)"] = Self.names(count, bytes: 4)
        }
        for bytes in stride(from: 1, through: 255, by: 2) {
            contents["b\(bytes)"] = Self.names(min(7, bytes * 5), bytes: bytes)
        }
        let entries = contents.flatMap { directory, names in
            [LayerEntry(path: Array(directory.utf8), kind: .directory)]
                + names.map { LayerEntry(path: Array("\(directory)/\($0)".utf8), kind: .file) }
        }
        let root = try mounted(entries, stage, at: target)
        for (directory, names) in contents { try check("\(root)/\(directory)", names) }
    }

    @Test(arguments: [(70_000, 12), (300, 255), (65_537, 5)])
    func `directories above 64 KiB list and find each name`(count: Int, bytes: Int) throws {
        let stage = try Stage()
        let target = try stage.fresh("mount")
        defer { try? ErofsDriver().unmount(target) }
        let names = Self.names(count, bytes: bytes)
        let root = try mounted(names.map { LayerEntry(path: Array("d/\($0)".utf8), kind: .file) }, stage, at: target)
        try check(root + "/d", names)
    }

    @Test(arguments: [(1, 65_535), (3, 65_535), (1000, 3), (5000, 0), (250, 1000)])
    func `attributes by the thousand and by the 64 KiB come back`(count: Int, bytes: Int) throws {
        let stage = try Stage()
        let target = try stage.fresh("mount")
        defer { try? ErofsDriver().unmount(target) }
        let attributes = (0..<count).map {
            LayerEntry.Attribute(
                name: Array("user.\($0)".utf8), value: [UInt8](repeating: UInt8($0 % 256), count: bytes))
        }
        let content = LayerEntry.Extent(source: .tar, offset: 512)
        let root = try mounted(
            [
                LayerEntry(path: Array("f".utf8), kind: .file, size: 512, attributes: attributes, content: content),
                LayerEntry(path: Array("d".utf8), kind: .directory, attributes: attributes),
                LayerEntry(path: Array("d/in".utf8), kind: .file),
            ], stage, at: target)
        for name in ["f", "d"] {
            let handle = try OwnedFD.open(root + "/" + name, NodeAccess.path)
            #expect(Set(try handle.attributeNames()) == Set(attributes.map(\.name)))
            for attribute in attributes where try handle.attribute(attribute.name) != attribute.value {
                Issue.record("\(name): \(printable(attribute.name)) has another value")
            }
        }
        #expect(try Files.read(root + "/f") == [UInt8](repeating: 7, count: 512))
        #expect(try Files.list(root + "/d") == ["in"])
    }

    @Test(
        arguments: [
            (-1, 0), (-1, 999_999_999), (-62_135_596_800, 1), (0, 0), (0, 1), (1 << 31, 5), (1 << 34, 999_999_999),
            (-(1 << 31) - 1, 7),
        ] as [(Int64, UInt32)])
    func `times far from now are exact to the nanosecond`(seconds: Int64, nanoseconds: UInt32) throws {
        let stage = try Stage()
        let target = try stage.fresh("mount")
        defer { try? ErofsDriver().unmount(target) }
        let kinds: [LayerEntry.Kind] = [.file, .directory, .fifo, .symlink]
        let root = try mounted(
            kinds.map {
                LayerEntry(
                    path: Array("\($0)".utf8), kind: $0, mtimeSeconds: seconds, mtimeNanoseconds: nanoseconds,
                    linkTarget: Array("t".utf8))
            } + [LayerEntry(path: Array("other".utf8), kind: .file)], stage, at: target)
        for kind in kinds {
            let status = try OwnedFD.open(root, NodeAccess.handleOfDirectory).nodeStatus(of: Array("\(kind)".utf8))
            #expect(status.mtime == NodeStatus.Moment(seconds: seconds, nanoseconds: nanoseconds), "\(kind)")
        }
    }
}
