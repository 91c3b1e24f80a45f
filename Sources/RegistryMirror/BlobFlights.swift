import OCI
import RegistryStore

/// The blobs that are on their way, one flight each, however many want them, by whatever repository.
actor BlobFlights {
    private struct Entry {
        let flight: BlobFlight
        /// Repositories whose registry has said that it has the blob there.
        var names: Set<RepositoryName>
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
        return entry.names.contains(name) ? .flight(entry.flight) : .isElsewhere
    }

    /// The repository's registry has said that it has the blob.
    func join(_ digest: Digest, _ name: RepositoryName) { entries[digest]?.names.insert(name) }

    /// Begins a flight, which `body` has to end.
    ///
    /// - Returns: nil when there is one.
    /// - Throws: ``Refusal`` TOOMANYREQUESTS.
    func begin(
        _ digest: Digest, _ name: RepositoryName, _ body: @escaping @Sendable (BlobFlight) async -> Void
    ) throws(Refusal) -> BlobFlight? {
        guard entries[digest] == nil else { return nil }
        guard entries.count < Self.countMax else {
            throw Refusal(.tooManyRequests, 429, "too many blobs are on their way here: try again in a while")
        }
        let flight = BlobFlight()
        entries[digest] = Entry(flight: flight, names: [name])
        // Clients come and go: the flight is all of theirs.
        Task { await body(flight) }
        return flight
    }

    /// Repositories that wait for the blob.
    func names(_ digest: Digest) -> Set<RepositoryName> { entries[digest]?.names ?? [] }

    /// - Returns: ``names(_:)``
    func end(_ digest: Digest) -> Set<RepositoryName> { entries.removeValue(forKey: digest)?.names ?? [] }

    var underWay: Set<Digest> { Set(entries.keys) }
}
