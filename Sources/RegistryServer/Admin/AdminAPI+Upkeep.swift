import FoundationEssentials
import HTTP
import NIOCore
package import RegistryStore
package import RegistryUpkeep

/// What the operator asks of what the registry does by itself.
extension AdminAPI {
    /// Whoever asks by the socket.
    private static let origin = Origin(method: "", agent: "docker registry")

    func deleteRepository(_ call: Call) async throws -> Response {
        let name = try RepositoryName(call.parameter("name"))
        call.done.deed = .init("delete", repository: name.description)
        try await store.deleteRepository(name, by: Self.origin)
        return Response(204)
    }

    /// Of `GET /webhooks`.
    package struct Webhooks: Codable, Sendable {
        package let items: [HookStatus]
    }

    func webhooks(_ call: Call) async throws -> Response {
        var items: [HookStatus] = []
        for hook in api.upkeep?.rules.webhooks ?? [] { items.append(try await store.hookStatus(hook.name)) }
        return try RegistryAPI.json(200, Webhooks(items: items))
    }

    /// Of `POST /webhooks/redeliver`.
    package struct Redelivery: Codable, Sendable {
        package let name: String
        package init(name: String) { self.name = name }
    }

    /// Its answer.
    package struct Redelivered: Codable, Sendable {
        package let count: Int
    }

    func redeliver(_ call: Call) async throws -> Response {
        let name = try await call.body(Redelivery.self).name
        call.done.deed = .init("webhook-redeliver", target: name)
        guard api.upkeep?.rules.webhooks.contains(where: { $0.name == name }) == true else {
            throw Refusal(.unknown, 404, "no webhook is called \(name.prefix(200)): see docker registry webhooks")
        }
        return try RegistryAPI.json(200, Redelivered(count: try await store.redeliver(to: name)))
    }

    private func retention() throws -> Retention {
        guard let upkeep = api.upkeep, !upkeep.rules.retention.isEmpty else {
            throw Refusal(.unknown, 404, "the registry has no rules of retention: see --config")
        }
        return upkeep.retention
    }

    /// What would go, a line of JSON (``Retention/Line``) each.
    func previewRetention() throws -> Response {
        let retention = try retention()
        return Response(
            headers: ["Content-Type": "application/x-ndjson"],
            body: .stream { writer in
                let encoder = JSONEncoder()
                encoder.outputFormatting = .withoutEscapingSlashes
                try await retention.preview { line in
                    try await writer.write(ByteBuffer(bytes: Array(try encoder.encode(line)) + [0x0a]))
                }
            })
    }

    func applyRetention(_ call: Call) async throws -> Response {
        call.done.deed = .init("retention")
        return try RegistryAPI.json(200, try await retention().apply())
    }

    // MARK: Copies

    /// Of `GET /replication`.
    package struct Replication: Codable, Sendable {
        package let items: [CopyStatus]
    }

    func replication() async throws -> Response {
        var items: [CopyStatus] = []
        for rule in api.upkeep?.rules.replication ?? [] { items.append(try await store.copyStatus(rule.name)) }
        return try RegistryAPI.json(200, Replication(items: items))
    }

    /// Queues all that is here already for a rule; the body is as that of ``redeliver(_:)``, the answer, too.
    func queueReplication(_ call: Call) async throws -> Response {
        let name = try await call.body(Redelivery.self).name
        call.done.deed = .init("replication-queue", target: name)
        guard let rule = api.upkeep?.replicators.first(where: { $0.name == name }) else {
            throw Refusal(
                .unknown, 404, "no replication is called \(name.prefix(200)): see docker registry replication")
        }
        return try RegistryAPI.json(200, Redelivered(count: try await rule.queueAll()))
    }

    // MARK: Damage

    /// Blobs that are listed at most.
    private static let quarantinedMax = 1000

    /// Of `GET /scrub`.
    package struct Scrub: Codable, Sendable {
        package let status: ScrubStatus
        package let quarantined: [Quarantined]
    }

    private func scrubber() throws -> Scrubber {
        guard let upkeep = api.upkeep else { throw Refusal(.unsupported, 405, "this registry does nothing by itself") }
        return upkeep.scrubber
    }

    func scrubStatus() async throws -> Response {
        try RegistryAPI.json(
            200,
            Scrub(
                status: try await scrubber().status(),
                quarantined: try await store.quarantined(countMax: Self.quarantinedMax)))
    }

    func beginScrub(_ call: Call) async throws -> Response {
        call.done.deed = .init("scrub")
        try await scrubber().begin()
        return Response(202)
    }
}
