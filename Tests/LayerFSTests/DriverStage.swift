import Glibc
import Kernel
@testable import LayerFS

/// A directory of a test's own with layers and chains in it; unmounted and removed with the value.
final class Stage {
    let directory: String
    private var targets: [(any LayerDriver, String)] = []
    private var overlays: [String] = []
    private var count = 0
    /// The upper directory of the last overlay.
    private(set) var upper = ""

    init() throws {
        var template = Array("/var/tmp/layerfs-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp") }
        directory = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for overlay in overlays { try? Mounts.detach(overlay) }
        for (driver, target) in targets { try? driver.unmount(target) }
        try? Files.removeTree(directory)
    }

    func fresh(_ name: String) throws -> String {
        count += 1
        let path = directory + "/\(name)-\(count)"
        try Files.makeDirectories(path)
        return path
    }

    func store(_ builder: LayerBuilder) throws -> LayerFiles {
        let layer = LayerFiles(directory: try fresh("layer"))
        try Files.replace(layer.tar, with: builder.finishedTar)
        if !builder.sparse.isEmpty { try Files.replace(layer.sparse, with: builder.sparse) }
        return layer
    }

    /// Merges, prepares and mounts.
    ///
    /// - Returns: the lower directory.
    func mount(_ driver: any LayerDriver, _ builders: [LayerBuilder]) throws -> String {
        var tree = ImageTree()
        var layers: [LayerFiles] = []
        for (index, builder) in builders.enumerated() {
            layers.append(try store(builder))
            try tree.apply(layer: index, entries: builder.entries)
        }
        let chain = try fresh("chain")
        try driver.prepare(tree, layers: layers, at: chain)
        let target = try fresh("mount")
        targets.append((driver, target))
        return try driver.mount(chain, layers: layers, at: target)
    }

    /// A writable overlay above `lower`.
    func overlay(_ lower: String) throws -> String {
        let merged = try fresh("merged")
        let context = try FilesystemContext("overlay")
        try context.set("lowerdir", lower)
        upper = try fresh("upper")
        try checked("chmod") { chmod(upper, 0o755) }
        try context.set("upperdir", upper)
        try context.set("workdir", try fresh("work"))
        try context.mount(at: merged, readOnly: false)
        overlays.append(merged)
        return merged
    }
}

/// The drivers that every conformance test runs on.
let conformingDrivers: [any LayerDriver] = [
    ErofsDriver(backing: .files), ErofsDriver(backing: .loopDevices), DirectoryDriver(),
]

/// Every layer's expected merge.
func expected(_ builders: [LayerBuilder]) throws -> TreeSnapshot {
    var model = ModelTree()
    for builder in builders { try model.apply(builder) }
    return model.snapshot
}
