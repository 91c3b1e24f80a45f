import NIOHTTP1
import OCI

/// Who is asked for the next bytes of a blob: the servers that its registry redirects to, each once, then the registry itself. One
/// value goes with one download.
///
/// A registry that redirects although it was asked for its own bytes has no other: then its redirects are followed as they come,
/// and failures there are failures of the registry.
struct BlobRoute: Sendable {
    let access: Access
    let reference: Reference
    let digest: Digest
    let ledger: SourceLedger
    /// Servers of the last answer that were not asked yet.
    private var pending: [Location] = []
    /// Gives the current body; nil when it is the registry.
    private var source: Location?
    /// The last answer named no other.
    private var isAlone = false
    private var prefersOwnBytes = false
    /// The registry redirects whatever it is asked.
    private var insists = false
    /// Who failed and is not asked again; named when it is known where the bytes come from instead.
    private var left: [(origin: String, error: RegistryError)] = []
    private var namedCount = 0
    /// How often the registry was asked for another address of the same server.
    private var renewalCount = 0

    init(_ access: Access, _ reference: Reference, _ digest: Digest, _ ledger: SourceLedger) {
        (self.access, self.reference, self.digest, self.ledger) = (access, reference, digest, ledger)
    }

    /// Gives the current body, and is trusted with nothing; nil for a registry.
    var origin: String? {
        source?.origin ?? (access.endpoint.resolvesTags ? nil : access.endpoint.origin)
    }

    /// True when the current body comes from a server that has to prove itself: it may be left for another one.
    var mayBeLeft: Bool { origin != nil && !insists }

    /// Bytes of the current body are taken.
    func credit() { if let origin { ledger.credit(origin, with: digest) } }

    /// Asks for the bytes from `offset` on, until somebody's answer passes `check`.
    ///
    /// - Throws: `RegistryError` of the registry.
    mutating func open<Value>(
        _ client: RegistryClient, at offset: Int64, _ check: (Reply) throws(RegistryError) -> Value
    ) async throws(RegistryError) -> (reply: Reply, value: Value) {
        while true {
            if let found = try await openSource(client, at: offset, check) { return found }
            var request = request(at: offset)
            request.staysAtEndpoint = access.endpoint.resolvesTags
            request.isToSource = !access.endpoint.resolvesTags
            if prefersOwnBytes {
                request.headers.add(name: SourceHeaders.prefer, value: SourceHeaders.respondDirectly)
            }
            let path = Routes.blob(access.endpoint.name(of: reference.path), digest)
            let reply = try await client.send(request, to: .path(path), access)
            guard request.staysAtEndpoint, client.isRedirect(reply) else {
                try await client.check(reply, reference)
                let value = try check(reply)
                name(goingOnWith: access.endpoint.description)
                return (reply, value)
            }
            let sources = try client.sources(reply, access.endpoint)
            await client.discard(reply)
            try take(sources)
        }
    }

    private func request(at offset: Int64) -> Request {
        var request = Request()
        if offset > 0 { request.headers.add(name: "range", value: "bytes=\(offset)-") }
        return request
    }

    private mutating func openSource<Value>(
        _ client: RegistryClient, at offset: Int64, _ check: (Reply) throws(RegistryError) -> Value
    ) async throws(RegistryError) -> (reply: Reply, value: Value)? {
        while let next = pending.first {
            pending.removeFirst()
            guard !ledger.isRefused(next.origin) else { continue }
            do throws(RegistryError) {
                var request = request(at: offset)
                request.isToSource = !insists
                // Whatever it asks for, it gets no credentials.
                let reply = try await client.follow(request, next, access.endpoint, nil)
                try await client.check(reply, reference)
                let value = try check(reply)
                source = next
                name(goingOnWith: next.origin)
                return (reply, value)
            } catch {
                guard error.code != .cancelled, !insists else { throw error }
                left.append((next.origin, error))
            }
        }
        source = nil
        return nil
    }

    /// Goes on with what the registry has named.
    ///
    /// - Throws: why there is nobody of them left, if the registry has no bytes of its own.
    private mutating func take(_ sources: [Location]) throws(RegistryError) {
        let hasRoom = left.count < ledger.refusedMax
        pending = sources.filter { source in
            hasRoom && !ledger.isRefused(source.origin) && !left.contains { $0.origin == source.origin }
        }
        isAlone = sources.count == 1
        if !pending.isEmpty { return }
        guard prefersOwnBytes else {
            prefersOwnBytes = true
            return
        }
        let reason =
            left.last { failure in sources.contains { $0.origin == failure.origin } }?.error
            ?? sources.compactMap { [ledger] in ledger.reason($0.origin) }.first
        (prefersOwnBytes, insists, left, namedCount) = (false, true, [], 0)
        throw reason
            ?? RegistryError(.forbidden, "\(access.endpoint) redirects to too many servers that failed: refused")
    }

    /// The current body has failed.
    ///
    /// - Parameter received: bytes that came of it.
    /// - Returns: true when another server is asked at once, false when the registry is to be asked again after a pause.
    mutating func leave(
        after error: RegistryError, received: Int64, _ patience: RegistryConfiguration.Patience
    ) -> Bool {
        defer { source = nil }
        guard let source, mayBeLeft, error.code != .cancelled, !error.isOfWrongBytes else { return false }
        // What a long download from a registry's own storage needs is a new address.
        if isAlone, error.isTransient, received >= patience.progressBytes, renewalCount < patience.attempts {
            renewalCount += 1
            return false
        }
        left.append((source.origin, error))
        return true
    }

    /// Names who failed.
    ///
    /// - Parameter next: where the bytes come from instead; nil when nobody gives them.
    mutating func name(goingOnWith next: String?) {
        for failure in left[namedCount...] { ledger.leave(failure.origin, failure.error, digest, goingOnWith: next) }
        namedCount = left.count
    }
}

extension RegistryClient {
    /// Where a reply that redirects leads: its location, then its links to duplicates, at most
    /// ``RegistryConfiguration/Limits/sourcesMax``.
    ///
    /// - Throws: `RegistryError`: `malformed` or `forbidden` for the location; such links are passed over.
    func sources(_ reply: Reply, _ endpoint: RegistryEndpoint) throws(RegistryError) -> [Location] {
        let first = try redirect(reply, endpoint)
        return [first] + duplicates(of: first, reply.headers["link"], from: reply.location, endpoint)
    }

    func duplicates(
        of first: Location, _ headers: [String], from sender: Location, _ endpoint: RegistryEndpoint
    ) -> [Location] {
        let links = headers.flatMap(Link.parse).filter { $0.relations.contains(SourceHeaders.duplicate) }
        let ordered = links.enumerated().sorted { ($0.element.priority, $0.offset) < ($1.element.priority, $1.offset) }
        var found: [Location] = []
        for (_, link) in ordered {
            guard found.count + 1 < configuration.limits.sourcesMax else { break }
            // The registry itself is asked in the end in any case.
            guard let location = sender.resolving(link.target), !endpoint.isAt(location), location != first,
                !found.contains(location), (try? checkRedirect(from: sender, to: location, endpoint)) != nil
            else { continue }
            found.append(location)
        }
        return found
    }
}
