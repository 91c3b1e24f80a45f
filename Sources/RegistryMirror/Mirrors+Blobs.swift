import Glibc
import Kernel
import Logging
package import OCI
import Registry
import RegistryStore

extension Mirrors {
    /// How a blob that is not in its repository here is had.
    package enum Blob: Sendable {
        /// It is now.
        case stored
        case following(FollowedBlob)
    }

    /// Begins to get a blob, or joins those who get it already.
    ///
    /// - Throws: ``Refusal``.
    package func blob(_ digest: Digest, of repository: MirroredRepository) async throws -> Blob {
        while true {
            switch await blobs.find(digest, repository.name) {
            case .flight(let flight): if let blob = try await opened(flight, repository.name) { return blob }
            case .isElsewhere:
                _ = try await blobSize(digest, of: repository)
                await blobs.join(digest, repository)
            case .none:
                let begun = try await blobs.begin(digest, repository) { flight in
                    await self.run(flight, digest, repository)
                }
                if let begun, let blob = try await opened(begun, repository.name) { return blob }
            }
        }
    }

    /// - Returns: nil for a flight that has ended before anybody came.
    private func opened(_ flight: BlobFlight, _ name: RepositoryName) async throws -> Blob? {
        switch try await flight.opened(name) {
        case .stored: return .stored
        case .following(let blob): return .following(blob)
        case .abandoned:
            try await flight.over()
            return nil
        }
    }

    /// Nobody waits for a blob any more.
    private struct Abandoned: Error {}

    /// Bytes of a blob, as its registry says.
    ///
    /// - Throws: ``Refusal``.
    package func blobSize(_ digest: Digest, of repository: MirroredRepository) async throws -> Int64 {
        let upstream = repository.upstream
        do throws(RegistryError) {
            return try await upstream.asked { () throws(RegistryError) in
                try await upstream.client.size(
                    of: digest, in: repository.reference(), from: upstream.endpoint, credentials: upstream.credentials)
            }
        } catch {
            throw upstream.refusal(error, digest, isBlob: true)
        }
    }

    /// Gets the blob by `first`, and where that fails by the others that clients have come by.
    private func run(_ flight: BlobFlight, _ digest: Digest, _ first: MirroredRepository) async {
        var (repository, cut): (MirroredRepository, SpoolFile?) = (first, nil)
        while true {
            do {
                if try await !isHere(digest, repository) { try await download(flight, digest, repository, &cut) }
                // Who came after the file was taken over.
                for name in await blobs.end(digest, flight) { _ = try await store.linkMirrored(digest, in: name) }
                return flight.set(.stored)
            } catch is Abandoned {
                _ = await blobs.end(digest, flight)
                return logger.info("\(repository.name)@\(digest) was given up: nobody waits for it")
            } catch {
                logger.warning("\(repository.name)@\(digest) could not be had: \(error)")
                let failure = error as? RegistryError
                let told = failure.map { repository.upstream.refusal($0, digest, isBlob: true) } ?? error
                // What is wrong here is so for everybody.
                guard failure != nil || error is Refusal else {
                    _ = await blobs.end(digest, flight)
                    return flight.set(.failed(told))
                }
                guard let next = await blobs.pass(digest, flight, from: repository.name, told) else {
                    return flight.set(.failed(told))
                }
                repository = next
            }
        }
    }

    /// Whether the store has got the blob meanwhile, or has it of another repository and may give it of this one, too.
    private func isHere(_ digest: Digest, _ repository: MirroredRepository) async throws -> Bool {
        do {
            _ = try await store.blob(digest, in: repository.name)
            return true
        } catch let error as Refusal where error.code == .blobUnknown {}
        guard try await store.storedBlobSize(digest) != nil else { return false }
        _ = try await blobSize(digest, of: repository)
        return try await store.linkMirrored(digest, in: repository.name)
    }

    /// Gets the blob into the store. Wrong bytes of servers that the registry redirects to come anew, each time without those that
    /// gave some of them; so do those behind a beginning that was here.
    ///
    /// - Parameter cut: the file that another registry has left behind, which clients may follow in; then what this one leaves.
    private func download(
        _ flight: BlobFlight, _ digest: Digest, _ repository: MirroredRepository, _ cut: inout SpoolFile?
    ) async throws {
        let upstream = repository.upstream
        let sources = SourceLedger(upstream.client.configuration.limits) { [logger] text in
            logger.warning("\(repository.name): \(text)")
        }
        let (path, algorithm) = (spool.path(digest), digest.algorithm)
        while true {
            let file: SpoolFile
            if let left = cut {
                left.passOn()
                (file, cut) = (left, nil)
            } else {
                file = try await BlockingPool.shared.run { () throws(SystemError) in try SpoolFile(path, algorithm) }
            }
            do { return try await download(flight, digest, repository, into: file, sources) } catch {
                if Self.leavesBytes(error) { cut = file }
                guard (error as? RegistryError)?.isOfWrongBytes == true else { throw error }
                if file.hasOthersBytes {
                    sources.forget(digest)
                } else {
                    guard sources.disprove(digest, goingOnWith: upstream.endpoint) else { throw error }
                }
                flight.beginAgain()
            }
        }
    }

    private func download(
        _ flight: BlobFlight, _ digest: Digest, _ repository: MirroredRepository, into file: SpoolFile,
        _ sources: SourceLedger
    ) async throws {
        let size: Int64
        do {
            size = try await whileAdvancing(flight, digest, repository) {
                try await self.receive(flight, digest, repository, at: file, sources)
            }
            // It is right: who follows may have the rest while it is being made durable.
            flight.set(.flowing(file, size: size, available: size))
        } catch {
            if !Self.leavesBytes(error) { file.remove() }
            throw error
        }
        do {
            try await store.keepBlob(digest, size: size, from: file.path, in: blobs.names(digest))
        } catch {
            file.remove()
            throw error
        }
        noteKept(size, of: repository.upstream)
    }

    /// What came before a cut is worth keeping; what is known to be wrong is not.
    private static func leavesBytes(_ error: any Error) -> Bool {
        error is Abandoned || (error as? RegistryError).map { $0.isTransient || $0.code == .unreachable } ?? false
    }

    /// - Returns: bytes of the blob, which are in the file and have its digest.
    private func receive(
        _ flight: BlobFlight, _ digest: Digest, _ repository: MirroredRepository, at file: SpoolFile,
        _ sources: SourceLedger
    ) async throws -> Int64 {
        let stream = try await begin(digest, repository, at: file, sources)
        let size = stream.descriptor.size
        guard flight.size(toldOf: file).map({ $0 == size }) ?? true else {
            throw RegistryError(.digestMismatch, "another registry has told another size of \(digest)")
        }
        guard size <= repository.upstream.settings.blobBytesMax else {
            throw Refusal(.sizeInvalid, 403, "\(digest) has \(size) bytes: more than this mirror takes")
        }
        flight.advance(file, size: size, to: file.count)
        for try await chunk in stream {
            try await file.append(chunk.buffer)
            flight.advance(file, size: size, to: file.count)
        }
        guard file.digest == digest else {
            throw RegistryError(.digestMismatch, "\(repository.upstream.endpoint) has sent \(file.digest)")
        }
        return size
    }

    /// Ends `body`, and with it all who follow, when too little comes for the time that the registry's settings give; and when
    /// nobody follows.
    private func whileAdvancing(
        _ flight: BlobFlight, _ digest: Digest, _ repository: MirroredRepository,
        _ body: @escaping @Sendable () async throws -> Int64
    ) async throws -> Int64 {
        let upstream = repository.upstream
        return try await withThrowingTaskGroup(of: Int64.self) { group in
            defer { group.cancelAll() }
            group.addTask { try await body() }
            group.addTask {
                try await flight.stall(upstream.settings.stall)
                throw RegistryError(
                    .timeout,
                    "\(upstream.endpoint) has sent next to nothing of \(digest) for \(upstream.settings.stall)")
            }
            group.addTask {
                try await flight.abandonment()
                throw Abandoned()
            }
            guard let size = try await group.next() else { throw CancellationError() }
            return size
        }
    }

    /// Goes on behind what the file has.
    ///
    /// - Throws: `RegistryError` `digestMismatch` where the registry has it otherwise.
    private func begin(
        _ digest: Digest, _ repository: MirroredRepository, at file: SpoolFile, _ sources: SourceLedger
    ) async throws -> BlobStream {
        let upstream = repository.upstream
        do throws(RegistryError) {
            return try await upstream.client.download(
                digest, of: repository.reference(), from: upstream.endpoint, offset: file.count,
                credentials: upstream.credentials, sources: sources)
        } catch {
            guard error.code == .malformed, file.count > 0 else { throw error }
            throw RegistryError(.digestMismatch, "\(upstream.endpoint) does not go on with \(digest): \(error)")
        }
    }
}
