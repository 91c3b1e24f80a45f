import Glibc
import Kernel

/// One trial of a driver; see ``probe(_:scratch:)``.
struct DriverProbe<Driver: LayerDriver> {
    let driver: Driver
    let directory: String

    private var layer: LayerFiles { LayerFiles(directory: directory + "/layer") }
    private static var content: [UInt8] { Array("content".utf8) }

    func run() throws(LayerError) {
        do throws(SystemError) {
            try cleanUp()
            for name in ["layer", "chain", "image", "upper", "work", "merged"] {
                try Files.makeDirectories(directory + "/" + name)
            }
            try Files.replace(layer.tar, with: Self.content + [UInt8](repeating: 0, count: 512 - Self.content.count))
        } catch {
            throw LayerError(error, "trying the \(driver.name) driver")
        }
        var failure: LayerError?
        do throws(LayerError) { try tryOut() } catch { failure = error }
        do throws(SystemError) { try cleanUp() } catch {
            throw failure ?? LayerError(error, "cleaning up after a trial")
        }
        if let failure { throw failure }
    }

    private func tryOut() throws(LayerError) {
        var tree = ImageTree()
        try tree.apply(
            layer: 0,
            entries: [
                LayerEntry(
                    path: Array("file".utf8), kind: .file, size: UInt64(Self.content.count),
                    content: LayerEntry.Extent(source: .tar, offset: 0))
            ])
        try driver.prepare(tree, layers: [layer], at: directory + "/chain")
        let lower = try driver.mount(directory + "/chain", layers: [layer], at: directory + "/image")
        do throws(SystemError) {
            // In a container the image is below an overlay, which the kernel may refuse where file systems are stacked
            // already.
            let overlay = try FilesystemContext("overlay")
            try overlay.set("lowerdir", lower)
            try overlay.set("upperdir", directory + "/upper")
            try overlay.set("workdir", directory + "/work")
            try overlay.mount(at: directory + "/merged", readOnly: false)
            guard try Files.read(directory + "/merged/file") == Self.content else {
                throw SystemError("read", EIO, "merged/file")
            }
        } catch {
            throw LayerError(error, "trying the \(driver.name) driver")
        }
    }

    private func cleanUp() throws(SystemError) {
        guard Files.exists(directory) else { return }
        try Mounts.detach(directory + "/merged")
        try Mounts.detach(directory + "/image")
        try Files.removeTree(directory)
    }
}
