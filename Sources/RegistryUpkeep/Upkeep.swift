import AsyncHTTPClient
package import Logging
import NIOCore
package import OCI
package import RegistryStore

/// What a registry does by itself, beside its answers: it tells others of changes, copies what is pushed,
/// removes what no rule keeps, and reads blobs against their digests.
package struct Upkeep: Sendable {
    /// What the configuration says of it.
    package struct Rules: Sendable {
        package var webhooks: [WebhookRule] = []
        package var replication: [ReplicationRule] = []
        package var retention: [RetentionRule] = []
        /// nil where blobs are read only when the operator asks.
        package var scrub: ScrubRule?

        package static let keys: Set<String> = ["webhooks", "replication", "retention", "scrub"]
        /// Receivers: each is a task and a connection.
        private static let webhooksMax = 64
        /// Registries that are copied to.
        private static let replicationMax = 32

        package init() {}

        /// - Parameter members: of a configuration file.
        /// - Throws: `DecodingError`.
        package init(_ members: KeyedDecodingContainer<NamedKey>) throws {
            webhooks = try members.decodeIfPresent([WebhookRule].self, forKey: "webhooks") ?? []
            retention = try members.decodeIfPresent([RetentionRule].self, forKey: "retention") ?? []
            scrub = try members.decodeIfPresent(ScrubRule.self, forKey: "scrub")
            replication = try members.decodeIfPresent([ReplicationRule].self, forKey: "replication") ?? []
            guard replication.count <= Self.replicationMax, Set(replication.map(\.name)).count == replication.count
            else {
                throw DecodingError.dataCorruptedError(
                    forKey: "replication", in: members,
                    debugDescription: "want at most \(Self.replicationMax), each with a name of its own")
            }
            guard webhooks.count <= Self.webhooksMax, Set(webhooks.map(\.name)).count == webhooks.count else {
                throw DecodingError.dataCorruptedError(
                    forKey: "webhooks", in: members,
                    debugDescription: "want at most \(Self.webhooksMax), each with a name or URL of its own")
            }
        }

        /// What the store has to know of it.
        package var watches: Watches { Watches(hooks: webhooks.map(\.watch), copies: replication.map(\.watch)) }
    }

    private static let clearingInterval = Duration.seconds(2)
    private static let connectTimeout = TimeAmount.seconds(10)

    package let store: RegistryStore
    package let rules: Rules
    package let scrubber: Scrubber
    private let removed: @Sendable ([Removal]) async -> Void
    let figures: Figures
    let logger: Logger

    /// - Parameter removed: is told what rules of retention have removed.
    package init(
        _ store: RegistryStore, _ rules: Rules, logger: Logger,
        removed: @escaping @Sendable ([Removal]) async -> Void = { _ in }
    ) {
        self.removed = removed
        self.store = store
        self.rules = rules
        scrubber = Scrubber(store, rules.scrub, logger)
        figures = Figures(store, rules)
        self.logger = logger
    }

    package var retention: Retention {
        Retention(store: store, rules: rules.retention, removed: removed, logger: logger)
    }

    package var replicators: [Replicator] {
        rules.replication.map { Replicator(rule: $0, store: store, logger: logger) }
    }

    /// Runs until it is cancelled.
    package func run() async {
        var options = HTTPClient.Configuration(
            redirectConfiguration: .disallow, timeout: .init(connect: Self.connectTimeout))
        options.connectionPool.retryConnectionEstablishment = false
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: options)
        await withDiscardingTaskGroup { group in
            group.addTask { await clearing() }
            group.addTask { await scrubber.run() }
            if !rules.retention.isEmpty { group.addTask { await retention.run() } }
            for replicator in replicators { group.addTask { await replicator.run() } }
            for rule in rules.webhooks {
                group.addTask { await WebhookDelivery(rule: rule, store: store, client: client, logger: logger).run() }
            }
        }
        // Nobody uses it any more.
        try? await client.shutdown()
    }

    /// Removes what deleted repositories have left, and the last run.
    private func clearing() async {
        await tried("the end of webhooks that are not configured any more") {
            try await store.keepHooks(rules.webhooks.map(\.name))
        }
        await tried("the end of replications that are not configured any more") {
            try await store.keepCopies(rules.replication.map(\.name))
        }
        repeat {
            await tried("the end of deleted repositories") { try await store.clearDeparted() }
        } while (try? await Task.sleep(for: Self.clearingInterval)) != nil
    }

    /// Runs `body`; what fails is told, and tried again another time.
    func tried(_ what: String, _ body: () async throws -> Void) async {
        do { try await body() } catch { logger.error("\(what) failed: \(error)") }
    }
}
