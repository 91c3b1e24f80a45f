import Glibc
import Kernel
import Testing

@testable import LayerFS

@Suite(.serialized) struct ErofsIndexTests {
    private func tree(_ layers: [LayerEntry]...) throws -> ImageTree {
        var tree = ImageTree()
        for (index, entries) in layers.enumerated() { try tree.apply(layer: index, entries: entries) }
        return tree
    }

    private func file(
        _ path: String, size: UInt64, at offset: UInt64, _ source: LayerEntry.Extent.Source = .tar
    ) -> LayerEntry {
        LayerEntry(
            path: Array(path.utf8), kind: .file, size: size, content: LayerEntry.Extent(source: source, offset: offset))
    }

    private func index(_ tree: ImageTree, _ stage: Stage) throws -> [UInt8] {
        let path = try stage.fresh("index") + "/index.erofs"
        _ = try ErofsWriter.write(tree, to: path)
        return try Files.read(path)
    }

    @Test func `only layers with content have a device, and the index names it`() throws {
        let tree = try tree(
            [file("a", size: 10, at: 512)], [], [file("b", size: 600, at: 0, .sparse), file("c", size: 1, at: 2048)],
            [file("d", size: 0, at: 0)])
        let devices = try ErofsDevices(index: try index(tree, try Stage())).devices
        #expect(
            devices == [
                ErofsDevices.Device(layer: 0, content: .tar, blocks: 2),
                ErofsDevices.Device(layer: 2, content: .tar, blocks: 5),
                ErofsDevices.Device(layer: 2, content: .sparse, blocks: 2),
            ])
    }

    @Test func `the bytes depend on the tree alone`() throws {
        let stage = try Stage()
        let layers = TreeFixture.names.layers() + TreeFixture.replacements.layers()
        var images: Set<[UInt8]> = []
        for order in [false, true] {
            var tree = ImageTree()
            for (index, layer) in layers.enumerated() {
                // The order of independent members of a layer is no part of the tree.
                let sorted = layer.entries.sorted { $0.path.lexicographicallyPrecedes($1.path) }
                let isFree = index == 0 && !layer.entries.contains { $0.kind == .hardlink }
                try tree.apply(layer: index, entries: order && isFree ? sorted : layer.entries)
            }
            images.insert(try index(tree, stage))
        }
        #expect(images.count == 1)
    }

    @Test func `content beyond what block addresses reach is refused`() throws {
        let edge = UInt64(2) << 40
        #expect(throws: Never.self) { try ErofsDevices(try tree([file("f", size: 512, at: edge - 1536)])) }
        let error = #expect(throws: LayerError.self) {
            try ErofsDevices(try tree([file("f", size: 512, at: edge - 1024)]))
        }
        #expect(error?.code == .limit)
    }

    @Test(arguments: [0, 1100, 1151, 1152, 1200])
    func `a damaged index is refused, not mounted`(length: Int) throws {
        var bytes = try index(try tree([file("a", size: 10, at: 0)]), try Stage())
        bytes.removeLast(bytes.count - length)
        #expect(throws: LayerError.self) { try ErofsDevices(index: bytes) }
    }

    @Test func `a device tag of another making is refused`() throws {
        var bytes = try index(try tree([file("a", size: 10, at: 0)]), try Stage())
        bytes[ErofsDevices.superblockEnd] = UInt8(ascii: "x")
        #expect(throws: LayerError.self) { try ErofsDevices(index: bytes) }
    }

    @Test func `the checksum is CRC-32C`() {
        #expect(~Erofs.crc32c(Array("123456789".utf8)) == 0xE306_9283)
    }

    @Test(arguments: [
        (1, 9), (512, 9), (513, 10), (1024, 10), (1 << 30, 30), ((1 << 30) + 1, 31), (1 << 40, 40), ((1 << 40) + 1, 40),
    ])
    func `a file is one chunk up to 1 TiB`(size: Int, bits: Int) {
        #expect(ErofsPlan.chunkBits(UInt64(size)) == bits)
    }

    @Test(
        .enabled(if: getuid() == 0, "mounting needs root"),
        arguments: [70_001, 1_048_576, 107_374_182_417, 1_099_511_627_700, 1_099_826_200_575, 1_099_826_200_593]
            as [Int64])
    func `files of any size are whole, also where their layer's file ends inside a block`(size: Int64) throws {
        let stage = try Stage()
        let layer = LayerFiles(directory: try stage.fresh("layer"))
        let content = try OwnedFD.open(layer.sparse, O_WRONLY | O_CREAT, mode: 0o600)
        try checked("ftruncate") { ftruncate(content.raw, off_t(512 + size)) }
        let places: [Int64] = [0, (1 << 40) - 3, (1 << 40) + 5, size - 4].filter { $0 + 4 <= size }
        for place in places {
            let mark = Array("mark".utf8)
            try mark.withUnsafeBytes { try content.writeAll($0, at: 512 + place) }
        }
        let tree = try tree([file("huge", size: UInt64(size), at: 512, .sparse)])
        let (chain, target) = (try stage.fresh("chain"), try stage.fresh("mount"))
        let driver = ErofsDriver()
        try driver.prepare(tree, layers: [layer], at: chain)
        let lower = try driver.mount(chain, layers: [layer], at: target)
        defer { try? driver.unmount(target) }
        let huge = try OwnedFD.open(lower + "/huge", O_RDONLY)
        #expect(try huge.nodeStatus().size == size)
        for place in places {
            var bytes = [UInt8](repeating: 0, count: 4)
            let count = try bytes.withUnsafeMutableBytes { try huge.read(into: $0, at: place) }
            #expect(bytes[..<count].elementsEqual("mark".utf8), "at \(place)")
        }
    }

    @Test(.enabled(if: getuid() == 0, "mounting needs root"))
    func `paths longer than a mount option may be still mounts`() throws {
        let stage = try Stage()
        var layer = LayerBuilder()
        layer.file("f", "content")
        let deep =
            stage.directory + "/" + (0..<8).map { "\($0)" + String(repeating: "p", count: 40) }.joined(separator: "/")
        let files = LayerFiles(directory: deep + "/layer")
        for directory in ["/layer", "/chain", "/mount"] { try Files.makeDirectories(deep + directory) }
        try Files.replace(files.tar, with: layer.finishedTar)
        let driver = ErofsDriver()
        try driver.prepare(try tree(layer.entries), layers: [files], at: deep + "/chain")
        let lower = try driver.mount(deep + "/chain", layers: [files], at: deep + "/mount")
        defer { try? driver.unmount(deep + "/mount") }
        #expect(try Files.read(lower + "/f") == Array("content".utf8))
    }

    @Test(.enabled(if: getuid() == 0, "mounting needs root"), arguments: 0..<conformingDrivers.count)
    func `random layers are mounted as in the plain model`(driver: Int) throws {
        var mounted = 0
        for seed in 5000..<5120 {
            var random = SplitMix(state: UInt64(seed))
            let layers = (0..<3).map { _ in randomLayer(&random) }
            guard let expectation = try? expected(layers) else { continue }
            mounted += 1
            let stage = try Stage()
            #expect(
                differences(try snapshot(try stage.mount(conformingDrivers[driver], layers)), expectation) == [],
                "seed \(seed)")
        }
        #expect(mounted > 20)
    }
}
