import Glibc
import Kernel
import LayerFS
import Logging
import OCI
import Registry

extension Engine {
    /// Makes a volume, or fills an empty one, with what a backup in a registry holds: all of it or nothing.
    package func restore(_ request: BackupRequest) -> AsyncThrowingStream<TransferEvent, any Error> {
        let (volumes, images) = (volumes, images)
        return BulkMove.events("Restoring", request.volume) { move, tell in
            let job = RestoreJob(volumes: volumes, images: images, request: request, tell: tell)
            do { return try await job.run(move) } catch { throw ImageStore.told(error) }
        }
    }
}

/// One restore: chunks, several at once → digests of both forms and the size → in order into the pipe that an import reads.
private struct RestoreJob: Sendable {
    let volumes: VolumeRegistry
    let images: ImageStore
    let request: BackupRequest
    private let sources: SourceLedger

    init(
        volumes: VolumeRegistry, images: ImageStore, request: BackupRequest,
        tell: @escaping @Sendable (TransferEvent) -> Void
    ) {
        (self.volumes, self.images, self.request) = (volumes, images, request)
        sources = SourceLedger(images.client.configuration.limits) { [logger = images.logger] text in
            logger.warning("\(text)")
            tell(TransferEvent(text))
        }
    }

    private enum Step: Sendable { case fed, filled }

    func run(_ move: BulkMove) async throws -> [TransferEvent] {
        let (reference, credentials) = (request.reference, request.credentials)
        let image = try await images.client.resolve(reference, platform: .host, credentials: credentials)
        try VolumeBackup.check(image, named: reference.familiar)
        let bytes = try await images.client.fetchSmall(
            image.manifest.config, of: reference, from: image.endpoint, credentials: credentials, sources: sources)
        let backup = try VolumeBackup(image, named: reference.familiar, bytes)
        let pipe = try Pipe()
        try await withThrowingTaskGroup(of: Step.self) { group in
            group.addTask {
                _ = try await volumes.importArchive(
                    request.volume, from: pipe.reader, size: backup.byteCount, labels: backup.document.labels,
                    as: "restore", move)
                return .filled
            }
            group.addTask {
                try await feed(backup, image.endpoint, to: try ArchiveInput(try pipe.writer.take()), move)
                return .fed
            }
            // The first that fails ends the other.
            for try await _ in group {}
        }
        return [TransferEvent("Restore complete", id: request.volume, current: move.done, total: move.done)]
    }

    /// The writing end of the pipe; the archive ends when this is let go.
    private final class ArchiveInput: Sendable {
        let descriptor: OwnedFD
        init(_ pipe: consuming OwnedFD) throws(SystemError) { descriptor = try pipe.reopen(O_WRONLY | O_NONBLOCK) }
    }

    private func feed(
        _ backup: VolumeBackup, _ endpoint: RegistryEndpoint, to input: ArchiveInput, _ move: BulkMove
    ) async throws {
        do { try await feedAll(backup, endpoint, to: input, move) } catch {
            // Before the pipe ends, which would be the archive's end otherwise.
            withExtendedLifetime(input) { move.stop() }
            // The import has ended, and tells why.
            if error is SystemError { return }
            throw error
        }
    }

    private func feedAll(
        _ backup: VolumeBackup, _ endpoint: RegistryEndpoint, to input: ArchiveInput, _ move: BulkMove
    ) async throws {
        let chunks = backup.document.chunks
        try await withThrowingTaskGroup(of: (Int, [UInt8]).self) { group in
            var ready: [Int: [UInt8]] = [:]
            var (asked, fed) = (0, 0)
            var allowance = ChunkAllowance()
            while fed < chunks.count {
                while asked < chunks.count, allowance.hasRoom(for: chunks[asked].size) {
                    let index = asked
                    allowance.take(chunks[index].size)
                    group.addTask { (index, try await chunk(index, of: backup, endpoint)) }
                    asked += 1
                }
                guard let bytes = ready.removeValue(forKey: fed) else {
                    if let (index, bytes) = try await group.next() { ready[index] = bytes }
                    continue
                }
                try await move.run { move in
                    let written: Result<Void, SystemError> = bytes.withUnsafeBytes { bytes in
                        do throws(SystemError) { return .success(try move.write(bytes, to: input.descriptor)) } catch {
                            return .failure(error)
                        }
                    }
                    try written.get()
                }
                allowance.give(chunks[fed].size)
                fed += 1
            }
        }
    }

    /// A chunk's bytes, verified as they are stored and as they were.
    private func chunk(_ index: Int, of backup: VolumeBackup, _ endpoint: RegistryEndpoint) async throws -> [UInt8] {
        let (chunk, layer) = (backup.document.chunks[index], backup.layers[index])
        let doing = "restore \(request.volume): chunk \(layer.digest) of \(request.reference.familiar)"
        let stored = try await images.downloads.run { try await fetch(layer, endpoint, doing) }
        return try await BlockingPool.shared.run {
            let bytes: [UInt8]
            do throws(LayerError) { bytes = try ArchiveChunk.expand(stored, to: Int(chunk.size)) } catch {
                throw EngineError(
                    error.code == .system ? .system : .invalidParameter, "\(doing) cannot be used: \(error.message)")
            }
            guard SHA256Bytes.digest(bytes) == chunk.digest else {
                throw EngineError(.invalidParameter, "\(doing) decompresses to something else than was backed up")
            }
            // Whatever an archive may be elsewhere, here it is plain: what it takes on disk has been told.
            guard index > 0 || Compression.detect(bytes.span) == .identity else {
                throw EngineError(.invalidParameter, "\(doing) is not the beginning of a volume's archive")
            }
            return bytes
        }
    }

    /// A chunk as it is stored, verified; its size bounds it.
    private func fetch(_ layer: Descriptor, _ endpoint: RegistryEndpoint, _ doing: String) async throws -> [UInt8] {
        while true {
            sources.forget(layer.digest)
            do {
                let stored = try await received(layer, endpoint)
                guard try await BlockingPool.shared.run({ SHA256Bytes.digest(stored) == layer.digest }) else {
                    throw RegistryError(
                        .digestMismatch, "\(doing): blob verification failed: the registry served other bytes")
                }
                return stored
            } catch let error as RegistryError {
                guard error.isOfWrongBytes, sources.disprove(layer.digest, goingOnWith: endpoint) else { throw error }
            }
        }
    }

    private func received(_ layer: Descriptor, _ endpoint: RegistryEndpoint) async throws -> [UInt8] {
        let blob = try images.client.blob(
            layer, of: request.reference, from: endpoint, credentials: request.credentials, sources: sources)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(layer.size))
        for try await part in blob { part.withUnsafeBytes { bytes.append(contentsOf: $0) } }
        return bytes
    }
}
