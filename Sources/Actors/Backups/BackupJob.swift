import Kernel
import LayerFS
import OCI
import Registry

extension Engine {
    /// Sends a volume's content to a registry, and of that only the chunks that are not there.
    package func backUp(_ request: BackupRequest) -> AsyncThrowingStream<TransferEvent, any Error> {
        let job = BackupJob(volumes: volumes, images: images, request: request)
        return BulkMove.events("Backing up", request.volume) { move, _ in
            do { return try await job.run(move) } catch { throw ImageStore.told(error) }
        }
    }
}

/// One backup: archive → chunks → those that the registry lacks, several at once → configuration → manifest. The tag is written
/// last, so that a backup that was cut has none.
private struct BackupJob: Sendable {
    let volumes: VolumeRegistry
    let images: ImageStore
    let request: BackupRequest

    /// A chunk that the registry has.
    private struct Placed: Sendable {
        let chunk: VolumeBackup.Chunk
        let layer: Descriptor
        let isNew: Bool
    }

    func run(_ move: BulkMove) async throws -> [TransferEvent] {
        let record = try await volumes.volume(request.volume)
        let known = try await knownChunks()
        let created = Timestamp.now().text
        let placed = try await volumes.withArchive(request.volume, for: "backup", move) { archive, bytes in
            try await place(archive, bytes, known)
        }
        try Task.checkCancellation()
        let backup = VolumeBackup(
            .init(
                volume: record.name, created: created, labels: record.labelsOfCopies, chunks: placed.map(\.chunk)),
            placed.map(\.layer))
        let (digest, size) = try await store(backup)
        await volumes.events.publish(
            .volume, "backup", record.name, ["driver": record.driver, "reference": request.reference.familiar])
        return events(move, placed, digest, size)
    }

    private func events(_ move: BulkMove, _ placed: [Placed], _ digest: Digest, _ size: Int) -> [TransferEvent] {
        var (new, known) = (BackupShare(), BackupShare())
        for each in placed { if each.isNew { new.add(each.layer.size) } else { known.add(each.layer.size) } }
        let tag = request.reference.tag ?? ""
        var (shares, pushed) = (TransferEvent(""), TransferEvent(""))
        shares.aux = .stored(new: new, known: known)
        pushed.aux = .pushed(tag: tag, digest: digest, size: Int64(size))
        return [
            TransferEvent("Backup complete", id: request.volume, current: move.done, total: move.done), shares,
            TransferEvent("\(tag): digest: \(digest) size: \(size)"), pushed,
        ]
    }

    // MARK: What is there

    /// The chunks of the backup that has the tag now, by what they decompress to: they need not be compressed again to be known.
    ///
    /// - Throws: ``EngineError`` `.conflict` when the tag is of something else, which must not be lost.
    private func knownChunks() async throws -> [Digest: Descriptor] {
        let (reference, credentials) = (request.reference, request.credentials)
        let image: ResolvedImage
        do throws(RegistryError) {
            image = try await images.client.resolve(reference, platform: .host, credentials: credentials)
        } catch {
            switch error.code {
            // Registries deny to look at what is not there, and a push says who may not push.
            case .notFound, .manifestUnknown, .unauthorized, .denied: return [:]
            case .noPlatform, .unsupported: throw taken("an image for other platforms")
            default: throw error
            }
        }
        do throws(EngineError) { try VolumeBackup.check(image, named: reference.familiar) } catch {
            throw taken("something else")
        }
        do {
            let bytes = try await images.client.fetchSmall(
                image.manifest.config, of: reference, from: image.endpoint, credentials: credentials)
            let backup = try VolumeBackup(image, named: reference.familiar, bytes)
            return Dictionary(zip(backup.document.chunks.map(\.digest), backup.layers)) { first, _ in first }
        } catch {
            // It only saves work; a backup that is broken is replaced by one that is not.
            try Task.checkCancellation()
            return [:]
        }
    }

    private func taken(_ what: String) -> EngineError {
        EngineError(
            .conflict,
            "backup \(request.volume): \(request.reference.familiar) is \(what), not a backup of a volume: choose another name"
        )
    }

    // MARK: Chunks

    private func place(
        _ archive: DescriptorBox, _ bytes: Int64, _ known: [Digest: Descriptor]
    ) async throws -> [Placed] {
        let reader = ChunkReader(try archive.take(), average: ContentChunker.average(forBytes: bytes))
        return try await withThrowingTaskGroup(of: (Int, Placed).self) { group in
            var placed: [Int: Placed] = [:]
            var count = 0
            var allowance = ChunkAllowance()
            while let chunk = try await BlockingPool.shared.run({ () throws(LayerError) in try reader.next() }) {
                guard count < VolumeBackup.chunksMax else { throw tooLarge() }
                while !allowance.hasRoom(for: Int64(chunk.count)), let (index, done) = try await group.next() {
                    placed[index] = done
                    allowance.give(done.chunk.size)
                }
                allowance.take(Int64(chunk.count))
                let index = count
                count += 1
                group.addTask { (index, try await place(chunk, known)) }
            }
            for try await (index, done) in group { placed[index] = done }
            return (0..<count).compactMap { placed[$0] }
        }
    }

    private func tooLarge() -> EngineError {
        EngineError(
            .invalidParameter,
            "backup \(request.volume): the volume has more than \(VolumeBackup.chunksMax) chunks, the most that a manifest holds: export it instead"
        )
    }

    private func place(_ bytes: [UInt8], _ known: [Digest: Descriptor]) async throws -> Placed {
        let (reference, credentials) = (request.reference, request.credentials)
        let digest = await BlockingPool.shared.run { SHA256Bytes.digest(bytes) }
        let chunk = VolumeBackup.Chunk(digest: digest, size: Int64(bytes.count))
        if let layer = known[digest] {
            let isThere = try await images.uploads.run {
                try await images.client.exists(layer, in: reference, credentials: credentials)
            }
            if isThere { return Placed(chunk: chunk, layer: layer, isNew: false) }
        }
        let (stored, layer) = try await BlockingPool.shared.run { () throws(LayerError) in
            let stored = try ArchiveChunk.compress(bytes)
            return (
                stored,
                Descriptor(
                    mediaType: VolumeBackup.chunkType, digest: SHA256Bytes.digest(stored), size: Int64(stored.count))
            )
        }
        let placement = try await images.uploads.run {
            try await images.client.push(layer, BlobSource(stored), to: reference, credentials: credentials)
        }
        return Placed(chunk: chunk, layer: layer, isNew: placement == .uploaded)
    }

    // MARK: Manifest

    private func store(_ backup: VolumeBackup) async throws -> (Digest, Int) {
        let (document, config, manifest) = try backup.encoded()
        let (reference, credentials) = (request.reference, request.credentials)
        _ = try await images.client.push(config, BlobSource(document), to: reference, credentials: credentials)
        let digest = try await images.client.put(
            manifest: manifest, mediaType: MediaType.ociManifest, as: reference, credentials: credentials)
        return (digest, manifest.count)
    }
}
