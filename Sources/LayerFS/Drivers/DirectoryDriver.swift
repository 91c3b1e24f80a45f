import Glibc
import Kernel

/// Extracts the image into a directory: for machines that cannot mount EROFS. The extracted tree is the lower directory
/// itself.
package struct DirectoryDriver: LayerDriver {
    package let name = "directory"

    private static let treeName = "/tree"

    package init() {}

    package func isPrepared(_ directory: String) -> Bool { Files.exists(directory + Self.treeName) }

    package func prepare(_ tree: borrowing ImageTree, layers: [LayerFiles], at directory: String) throws(LayerError) {
        let path = directory + Self.treeName
        let temporary = path + ".new"
        let links = directory + "/links.new"
        do throws(SystemError) {
            for leftover in [path, temporary, links] { try Files.removeTree(leftover) }
            try checked("mkdir", temporary) { mkdir(temporary, 0o700) }
            try checked("mkdir", links) { mkdir(links, 0o700) }
            let top = try OwnedFD.open(temporary, O_RDONLY | O_DIRECTORY)
            var writer = DirectoryWriter(
                copy tree, layers: layers, into: try top.duplicate(),
                links: try OwnedFD.open(links, O_RDONLY | O_DIRECTORY),
                umask: try DirectoryWriter.processUmask())
            try writer.write()
            try Files.removeTree(links)
            try FileCopy.syncFileSystem(of: top)
            try checked("rename", path) { rename(temporary, path) }
            try Files.syncDirectory(of: path)
        } catch {
            // What is left behind is removed by the next attempt or with the chain's directory.
            try? Files.removeTree(temporary)
            try? Files.removeTree(links)
            if error.code == ENODATA && error.call == "read" {
                throw LayerError(
                    .malformed, "a layer's file is shorter than its entries say; pull the image again", cause: error)
            }
            throw LayerError(error, "extracting an image")
        }
    }

    package func mount(_ directory: String, layers: [LayerFiles], at target: String) throws(LayerError) -> String {
        guard isPrepared(directory) else {
            throw LayerError(SystemError("lstat", ENOENT, directory + Self.treeName), "mounting an image")
        }
        return directory + Self.treeName
    }

    package func unmount(_ target: String) throws(LayerError) {}
}
