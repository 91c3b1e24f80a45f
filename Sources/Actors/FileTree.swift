import Glibc
package import Kernel
package import LayerFS

/// Files of which parts are read and written as archives (`docker cp`): a container's or a volume's.
package protocol FileTree: Sendable {
    /// What errors call it, such as `container ID`.
    var called: String { get }

    /// A path of nothing yet, for what has to be put aside.
    func temporaryPath() -> String

    /// Runs `body` on a blocking thread with a root directory and `path` inside it.
    func withRoot<Value: Sendable>(
        of path: String, _ body: @escaping @Sendable (consuming OwnedFD, String) throws -> Value
    ) async throws -> Value

    /// - Throws: ``EngineError`` when nothing may be written there.
    func willWrite(into path: String) async throws

    func hasWritten() async
}

extension FileTree {
    package func statPath(_ path: String) async throws -> PathStatus {
        do { return try await withRoot(of: path) { try FileTreeArchive(root: $0).status(of: $1) } } catch {
            throw told(error, path)
        }
    }

    /// A tar of `path` (`docker cp` out).
    package func archive(_ path: String) async throws -> OutgoingStream {
        _ = try await statPath(path)
        let (box, inside) = try await withRoot(of: path) { (DescriptorBox($0), $1) }
        return try OutgoingStream.producing { writer in
            try FileTreeArchive(root: try box.take()).create(inside, sink: PipeSink.to(writer.raw))
        }
    }

    /// Puts the members of a tar that `reader` gives below the directory `path` (`docker cp` in).
    package func extract(
        into path: String, noOverwriteDirNonDir: Bool, from reader: consuming OwnedFD
    ) async throws {
        let source = DescriptorBoxed(reader)
        try await willWrite(into: path)
        let scratch = temporaryPath()
        let options = ExtractOptions(noOverwriteDirNonDir: noOverwriteDirNonDir)
        do {
            try await withRoot(of: path) { root, inside in
                try ArchiveExtraction(root: root, path: inside, options: options, scratchPath: scratch).run {
                    buffer throws(LayerError) in
                    do throws(SystemError) { return try source.descriptor.read(into: buffer) } catch {
                        throw LayerError(error, "reading the archive")
                    }
                }
            }
        } catch {
            await hasWritten()
            throw told(error, path)
        }
        await hasWritten()
    }

    private func told(_ error: any Error, _ path: String) -> EngineError {
        guard let layer = error as? LayerError else { return EngineError.wrapping(error) }
        switch layer.cause?.code {
        case ENOENT, ENOTDIR: return EngineError(.notFound, "Could not find the file \(path) in \(called)")
        case ENAMETOOLONG, ELOOP: return EngineError(.invalidParameter, layer.message)
        default: return EngineError(layer.code == .system ? .system : .invalidParameter, layer.message)
        }
    }
}

/// The files of one volume, which cannot be removed while a copy is on its way in.
package struct VolumeFiles: FileTree {
    let registry: VolumeRegistry
    let layers: LayerStore
    let name: String

    package var called: String { "volume \(name)" }

    package func temporaryPath() -> String { layers.temporaryPath() }

    package func withRoot<Value: Sendable>(
        of path: String, _ body: @escaping @Sendable (consuming OwnedFD, String) throws -> Value
    ) async throws -> Value {
        try await registry.using(name, for: "files of") { directory in
            try await BlockingPool.shared.run {
                try body(try OwnedFD.open(directory, NodeAccess.handleOfDirectory), path)
            }
        }
    }

    package func willWrite(into path: String) {}

    package func hasWritten() {}
}

extension Engine {
    package func files(of volume: String) -> VolumeFiles {
        VolumeFiles(registry: volumes, layers: layers, name: volume)
    }
}
