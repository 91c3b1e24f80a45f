import Glibc
import Isolation
package import Kernel
package import LayerFS
import OCI

/// Bytes of a container's writable layer, and of everything in it.
package struct ContainerSizes: Sendable {
    package let rw: Int64
    package let rootFs: Int64
}

extension Container: FileTree {
    // MARK: The container's tree

    package nonisolated var called: String { "container \(id)" }

    package nonisolated func temporaryPath() -> String { world.layers.temporaryPath() }

    /// The root is the tree of the running process, or the layers mounted for the moment, or the volume that holds the path.
    package func withRoot<Value: Sendable>(
        of path: String, _ body: @escaping @Sendable (consuming OwnedFD, String) throws -> Value
    ) async throws -> Value {
        if case .running(_, let process) = phase {
            let pid = process.pid
            return try await BlockingPool.shared.run {
                try body(try OwnedFD.open("/proc/\(pid)/root", NodeAccess.handleOfDirectory), path)
            }
        }
        let holder = record.mounts.filter { point in
            point.type != "tmpfs" && (path == point.destination || path.hasPrefix(point.destination + "/"))
        }.max { $0.destination.count < $1.destination.count }
        if let holder, holder.image != nil || holder.isByDriver || Files.exists(holder.source + "/.") {
            let rest = String(path.dropFirst(holder.destination.count))
            let user = "files-\(Identifier.random())"
            let mounted = try await world.volumes.mount([holder], for: user)
            defer { Task { await world.volumes.unmount(mounted, for: user) } }
            var source = mounted.first?.source ?? holder.source
            if let image = holder.image { source = try await world.layers.acquire(image.diffIDs) }
            let directory = source
            defer { if let image = holder.image { Task { await world.layers.release(image.diffIDs) } } }
            return try await BlockingPool.shared.run {
                let root = try OwnedFD.open(directory, NodeAccess.handleOfDirectory)
                guard let subpath = holder.subpath else { return try body(root, rest.isEmpty ? "/" : rest) }
                let inner = try root.resolve(subpath, NodeAccess.handleOfDirectory, .beneath)
                return try body(inner, rest.isEmpty ? "/" : rest)
            }
        }
        await tornDown()
        let lower = try await world.layers.acquire(record.diffIDs)
        let paths = paths
        defer { Task { await world.layers.release(record.diffIDs) } }
        return try await BlockingPool.shared.run {
            let overlay = try FilesystemContext("overlay")
            try overlay.set("lowerdir", lower)
            // As the container itself mounts it.
            for feature in ["redirect_dir", "metacopy", "index"] { try overlay.set(feature, "off") }
            try overlay.set("upperdir", paths.upper)
            try overlay.set("workdir", paths.work)
            return try body(try overlay.detached(), path)
        }
    }

    /// A tar of everything (`docker export`).
    package func export() async throws -> OutgoingStream {
        await publish("export")
        await tornDown()
        let lower = try await world.layers.acquire(record.diffIDs)
        let upper = paths.upper
        await world.layers.release(record.diffIDs)
        return try OutgoingStream.producing { writer in
            // The writable layer as the upper of two lowers: what the container mounted is not in it, and nothing is written.
            let overlay = try FilesystemContext("overlay")
            // By descriptors: an option has no room for two long paths, and before Linux 6.5 the layers are one option.
            let writable = try OwnedFD.open(upper, NodeAccess.handleOfDirectory)
            let image = try OwnedFD.open(lower, NodeAccess.handleOfDirectory)
            try overlay.set("lowerdir", "/proc/self/fd/\(writable.raw):/proc/self/fd/\(image.raw)")
            try FileTreeArchive(root: try overlay.detached()).export(sink: PipeSink.to(writer.raw))
        }
    }

    package func willWrite(into path: String) throws {
        if record.hostConfig.readonlyRootfs == true,
            !record.mounts.contains(where: { $0.rw && (path == $0.destination || path.hasPrefix($0.destination + "/")) }
            )
        {
            throw EngineError(.forbidden, "container rootfs is marked read-only")
        }
        noteWrites()
    }

    package func hasWritten() { noteWrites() }

    // MARK: Changes

    /// What is mounted over or made by the engine: no change of the container's.
    private var exclusions: DiffExclusions {
        DiffExclusions(
            omitted: ["etc/hosts", "etc/hostname", "etc/resolv.conf", "dev", "proc", "sys", ".dockerenv"],
            hollow: record.mounts.map { String($0.destination.dropFirst()) })
    }

    package func changes() async throws -> [Change] {
        let (upper, exclusions) = (paths.upper, exclusions)
        let lower = try await world.layers.acquire(record.diffIDs)
        defer { Task { await world.layers.release(record.diffIDs) } }
        return try await BlockingPool.shared.run {
            try OverlayDiff(
                upper: try OwnedFD.open(upper, O_RDONLY | O_DIRECTORY),
                lower: try OwnedFD.open(lower, O_RDONLY | O_DIRECTORY),
                exclusions: exclusions
            ).changes()
        }
    }

    /// The writable layer as a layer tar.
    private func layer() async throws -> OutgoingStream {
        let (upper, exclusions) = (paths.upper, exclusions)
        let lower = try await world.layers.acquire(record.diffIDs)
        await world.layers.release(record.diffIDs)
        return try OutgoingStream.producing { writer in
            try OverlayDiff(
                upper: try OwnedFD.open(upper, O_RDONLY | O_DIRECTORY),
                lower: try OwnedFD.open(lower, O_RDONLY | O_DIRECTORY),
                exclusions: exclusions
            ).layerTar(sink: PipeSink.to(writer.raw))
        }
    }

    /// Makes an image of the container as it is (`docker commit`), with its processes held still meanwhile.
    package func commit(_ request: CommitRequest) async throws -> String {
        let pauses = request.pause && isRunning && record.state.status != .paused
        if pauses { try await pause() }
        do {
            let stream = try await layer()
            let completion = stream.completion
            let image = try await world.images.commit(request, container: record, layer: try stream.reader.take())
            try await completion.value
            if pauses { try await unpause() }
            await publish("commit", ["imageID": image.description, "imageRef": "", "comment": request.comment])
            return image.description
        } catch {
            if pauses { try await unpause() }
            throw error
        }
    }

    package func sizes() async throws -> ContainerSizes {
        let rw = await writableBytes()
        var image: Int64 = 0
        for diffID in record.diffIDs { image += await world.layers.record(diffID)?.size ?? 0 }
        return ContainerSizes(rw: rw, rootFs: rw + image)
    }

    /// Bytes of the writable layer. That of a container that does not run is measured once, until something may have written.
    func writableBytes() async -> Int64 {
        if let measuredBytes { return measuredBytes }
        let before = writes
        // What it has started is gone with this.
        if isIdle { await teardown?.value }
        let wasIdle = isIdle
        let upper = paths.upper
        let bytes = await BlockingPool.shared.run { DiskUsage.bytes(below: upper) }
        if wasIdle, isIdle, before == writes { measuredBytes = bytes }
        return bytes
    }

    private var isIdle: Bool { if case .idle = phase { true } else { false } }

    /// Something may write to the writable layer from now on, or has done so.
    func noteWrites() {
        writes += 1
        measuredBytes = nil
    }
}

/// Where archives go on their way out.
enum PipeSink {
    /// A sink that writes to a descriptor which outlives it.
    static func to(_ descriptor: CInt) -> TarWriter.Sink {
        { bytes throws(LayerError) in
            var rest = bytes
            while !rest.isEmpty {
                let part = rest
                do throws(SystemError) {
                    let count = try checked("write") { write(descriptor, part.baseAddress, part.count) }
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                } catch { throw LayerError(error, "sending the archive") }
            }
        }
    }
}
