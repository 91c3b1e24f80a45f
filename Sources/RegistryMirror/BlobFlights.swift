import OCI
import RegistryStore

/// The blobs that are on their way, one flight each, however many want them, by whatever repository.
actor BlobFlights {
    private struct Entry {
        let flight: BlobFlight
        /// Repositories whose registry has said that it has the blob there, and the one that has been asked for it first.
        var repositories: [RepositoryName: MirroredRepository]
    }

    /// Flights at once: each is a connection, a file and some buffers.
    private static let countMax = 256

    private var entries: [Digest: Entry] = [:]

    enum Found {
        case flight(BlobFlight)
        /// Somebody gets it by another repository: this one's registry has to be asked whether it is there, too.
        case isElsewhere
        case none
    }

    func find(_ digest: Digest, _ name: RepositoryName) -> Found {
        guard let entry = entries[digest] else { return .none }
        return entry.repositories[name] != nil ? .flight(entry.flight) : .isElsewhere
    }

    /// The repository's registry has said that it has the blob.
    func join(_ digest: Digest, _ repository: MirroredRepository) {
        entries[digest]?.repositories[repository.name] = repository
        entries[digest]?.flight.admit(repository.name)
    }

    /// Begins a flight, which `body` has to end.
    ///
    /// - Returns: nil when there is one.
    /// - Throws: ``Refusal`` TOOMANYREQUESTS.
    func begin(
        _ digest: Digest, _ repository: MirroredRepository, _ body: @escaping @Sendable (BlobFlight) async -> Void
    ) throws(Refusal) -> BlobFlight? {
        guard entries[digest] == nil else { return nil }
        guard entries.count < Self.countMax else {
            throw Refusal(.tooManyRequests, 429, "too many blobs are on their way here: try again in a while")
        }
        let flight = BlobFlight()
        entries[digest] = Entry(flight: flight, repositories: [repository.name: repository])
        // Clients come and go: the flight is all of theirs.
        Task {
            await body(flight)
            flight.finish()
        }
        return flight
    }

    /// Repositories that wait for the blob.
    func names(_ digest: Digest) -> Set<RepositoryName> { Set(entries[digest]?.repositories.keys.map { $0 } ?? []) }

    /// - Returns: ``names(_:)``; none when the flight is at its end already, and may have a successor.
    func end(_ digest: Digest, _ flight: BlobFlight) -> Set<RepositoryName> {
        guard entries[digest]?.flight === flight else { return [] }
        defer { entries[digest] = nil }
        return names(digest)
    }

    /// The blob does not come by `name`, whose clients are told why.
    ///
    /// - Returns: the repository by which it is got then; nil, and the flight is at its end, where there is no other.
    func pass(
        _ digest: Digest, _ flight: BlobFlight, from name: RepositoryName, _ error: any Error
    ) -> MirroredRepository? {
        guard let entry = entries[digest], entry.flight === flight else { return nil }
        var rest = entry.repositories
        rest[name] = nil
        let next = rest.values.min { $0.name.description < $1.name.description }
        entries[digest] = next.map { _ in Entry(flight: flight, repositories: rest) }
        flight.fail(name, error)
        return next
    }

    var underWay: Set<Digest> { Set(entries.keys) }
}
