import Glibc
import Kernel
import Testing

@testable import LayerFS

@Suite(.serialized, .enabled(if: getuid() == 0, "mounting needs root"))
struct ImageTreeChainTests {
    /// Stores a layer as the engine does: the verbatim tar, and what the parser finds in it.
    private func ingest(_ tar: [UInt8], _ stage: Stage) throws -> LayerFiles {
        let layer = LayerFiles(directory: try stage.fresh("layer"))
        try Files.replace(layer.tar, with: tar)
        var reader = TarReader(sparsePath: layer.sparse)
        var writer = try EntryWriter(layer.entries)
        var entries: [LayerEntry] = []
        try reader.consume(tar.span) { (entry: LayerEntry) throws(LayerError) in entries.append(entry) }
        try reader.finish()
        for entry in entries { try writer.write(entry) }
        try writer.finish()
        return layer
    }

    @Test(arguments: [
        TreeFixture.busybox, .kinds, .metadata, .links, .names, .attributes, .whiteouts, .replacements, .throughLinks,
    ])
    func `a chain built from stored layers is the merge of their tars`(fixture: TreeFixture) throws {
        let stage = try Stage()
        let builders = fixture.layers()
        let layers = try builders.map { try ingest($0.finishedTar, stage) }
        let (chain, target) = (try stage.fresh("chain"), try stage.fresh("mount"))
        let driver = ErofsDriver()
        try ChainBuilder.prepare(layers, with: driver, at: chain)
        let lower = try driver.mount(chain, layers: layers, at: target)
        defer { try? driver.unmount(target) }
        #expect(differences(try snapshot(lower), try expected(builders)) == [])
    }
}
