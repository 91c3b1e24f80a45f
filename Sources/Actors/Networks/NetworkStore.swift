import Kernel
import Logging
import Netlink
import OCI

/// Owns the networks: which there are, who is on them, and what their containers call each other.
///
/// The kernel's side is `HostNetworks`, opened at first use; the names are answered by the embedded DNS server.
package actor NetworkStore {
    let configuration: EngineConfiguration
    let logger: Logger
    private let database: StateDatabase
    private let events: EventLog
    private var records: [String: NetworkRecord] = [:]
    /// Name → id.
    private var ids: [String: String] = [:]
    /// Names of the containers on each network, by the network's id.
    private var tables: [String: NetworkNames] = [:]
    /// Networks under way to be made or removed.
    private var changing: Set<String> = []
    /// Why a network of an earlier run is not there.
    var failures: [String: any Error] = [:]
    /// Endpoints of containers that run since before this daemon did.
    var survivors: [AdoptedSandbox] = []
    var opening: Task<HostNetworks, any Error>?
    /// What containers of `--network none` get.
    nonisolated let empty: EmptyNamespaces
    nonisolated let names: NameService

    init(
        _ configuration: EngineConfiguration, _ database: StateDatabase, _ events: EventLog, logger: Logger
    ) async throws {
        empty = try EmptyNamespaces()
        self.configuration = configuration
        self.logger = logger
        self.database = database
        self.events = events
        names = NameService(logger: logger)
        let created = Timestamp.now().text
        // Ids of those that are always there are stable: derived from the data root, not kept.
        for name in NetworkRecord.predefined where name != "bridge" || configuration.bridgeEnabled {
            let id = SHA256Bytes.digest(Array("\(configuration.dataRoot)/\(name)".utf8)).hex
            enter(NetworkRecord(predefined: name, id: id, created: created))
        }
        let stored = try await database.read { transaction in
            try transaction.all(.networks, as: NetworkRecord.self) {
                logger.error("network record cannot be read", metadata: ["network": "\($0)"])
            }
        }
        for record in stored { enter(record) }
    }

    // MARK: Look-up

    /// Every network, by name.
    package func list() async -> [NetworkRecord] {
        // What is wrong with the default bridge shows when a container asks for it.
        if configuration.bridgeEnabled { _ = try? await kernel() }
        return records.values.sorted { ($0.name, $0.id) < ($1.name, $1.id) }
    }

    /// The network of a name, id, or unique start of an id.
    ///
    /// - Throws: ``EngineError`` `.notFound`, or `.invalidParameter` when several begin so.
    package func network(_ reference: String) throws -> NetworkRecord {
        if let id = ids[reference] ?? (records[reference] == nil ? nil : reference), let record = records[id] {
            return record
        }
        let found = reference.isEmpty ? [] : records.values.filter { $0.id.hasPrefix(reference) }
        guard found.count <= 1 else {
            throw EngineError.invalid(
                "network \(reference.printable) is ambiguous (\(found.count) matches found based on ID prefix)")
        }
        guard let only = found.first else { throw EngineError.noSuchNetwork(reference) }
        return only
    }

    /// nil where the daemon runs without one.
    var defaultBridge: NetworkRecord? { ids["bridge"].flatMap { records[$0] } }

    /// The same with the default bridge's addresses, which are chosen when it is made.
    package func inspect(_ reference: String) async throws -> NetworkRecord {
        if configuration.bridgeEnabled { _ = try? await kernel() }
        return try network(reference)
    }

    /// Ids by name, for clients that know networks by either.
    package func identifiers() -> [String: String] { ids }

    /// The containers on a network now, id → name.
    package func members(of id: String) -> [String: String] { tables[id]?.members ?? [:] }

    func table(of id: String) -> NetworkNames? { tables[id] }

    // MARK: Changes

    /// Makes a network; durable when this returns.
    ///
    /// - Returns: its id.
    /// - Throws: ``EngineError`` in Docker's words; nothing is left then.
    package func create(_ asked: NetworkCreateRequest) async throws -> String {
        let template = try (asked.configFrom?.network).flatMap { $0.isEmpty ? nil : try network($0) }
        var creation = try NetworkCreation(
            asked, id: Identifier.random(), created: Timestamp.now().text, template: template,
            mtu: configuration.network.mtu, bindAddress: configuration.network.bindAddress)
        let (name, id) = (creation.record.name, creation.record.id)
        guard ids[name] == nil, changing.insert(name).inserted else {
            throw EngineError(.conflict, "network with name \(name) already exists")
        }
        defer { changing.remove(name) }
        if let request = creation.request {
            let kernel = try await kernel()
            do throws(NetworkError) { creation.record.take(try await kernel.create(request)) } catch {
                throw EngineError.network(error)
            }
        }
        let record = creation.record
        do { try await database.write { try $0.put(.networks, id, record) } } catch {
            if record.plan != nil { try? await opening?.value.remove(id) }
            throw error
        }
        enter(record)
        await publish("create", record)
        return id
    }

    /// Removes a network of a user's.
    ///
    /// - Throws: ``EngineError`` `.forbidden` for those that are always there and while containers are on it.
    package func remove(_ reference: String) async throws {
        let record = try network(reference)
        guard !record.isPredefined else {
            throw EngineError(.forbidden, "\(record.name) is a pre-defined network and cannot be removed")
        }
        if let dependent = records.values.first(where: { record.isConfigOnly && $0.configFrom == record.name }) {
            throw EngineError(
                .forbidden, "configuration network \"\(record.name)\" is in use by network \"\(dependent.name)\"")
        }
        let active = members(of: record.id)
        guard active.isEmpty else { throw Self.inUse(record, active) }
        guard changing.insert(record.name).inserted else { throw EngineError.noSuchNetwork(reference) }
        defer { changing.remove(record.name) }
        if record.plan != nil, failures[record.id] == nil {
            let kernel = try await kernel()
            do throws(NetworkError) { try await kernel.remove(record.id) } catch { throw EngineError.network(error) }
        }
        let id = record.id
        try await database.write(makesRoom: true) { try $0.remove(.networks, id) }
        records[id] = nil
        ids[record.name] = nil
        tables[id] = nil
        failures[id] = nil
        await publish("destroy", record)
    }

    /// Removes every network of users' that no running container is on.
    ///
    /// - Returns: their names.
    package func prune(filters: [String: [String]]) async throws -> [String] {
        let filter = try PruneFilter(filters, known: ["until", "label", "label!"])
        var removed: [String] = []
        for record in records.values.sorted(by: { $0.name < $1.name }) where !record.isPredefined {
            guard filter.allows(labels: record.labels, created: record.created) else { continue }
            // One that came into use meanwhile stays.
            guard (try? await remove(record.id)) != nil else { continue }
            removed.append(record.name)
        }
        if !removed.isEmpty || filters.isEmpty { await events.publish(.network, "prune", "", ["reclaimed": "0"]) }
        return removed
    }

    private static func inUse(_ record: NetworkRecord, _ members: [String: String]) -> EngineError {
        let names = members.sorted { $0.value < $1.value }.map { "name:\"\($1)\" id:\"\($0.prefix(12))\"" }
        return EngineError(
            .forbidden,
            "error while removing network: network \(record.name) has active endpoints (\(names.joined(separator: ", ")))"
        )
    }

    func publish(_ action: String, _ record: NetworkRecord, container: String? = nil) async {
        var attributes = ["name": record.name, "type": record.driver]
        attributes["container"] = container
        await events.publish(.network, action, record.id, attributes)
    }

    // MARK: Table

    private func enter(_ record: NetworkRecord) {
        records[record.id] = record
        ids[record.name] = record.id
        tables[record.id] = NetworkNames(network: record.name)
    }

    /// Enters what was chosen for the default bridge.
    func took(_ plan: NetworkPlan, options: [String: String]) {
        records[plan.id]?.take(plan)
        records[plan.id]?.enableIPv6 = plan.ipv6 != nil
        records[plan.id]?.options = options
    }

    /// The networks of earlier runs, oldest first.
    func plans() -> [NetworkPlan] {
        records.values.filter { !$0.isPredefined }.sorted { ($0.created, $0.id) < ($1.created, $1.id) }
            .compactMap(\.plan)
    }

    func shutdown() async {
        await empty.close()
        await names.close()
        // One that never opened has nothing to close.
        await (try? opening?.value)?.close()
    }
}

extension EngineError {
    package static func noSuchNetwork(_ name: String) -> Self {
        .init(.notFound, "network \(name.printable) not found")
    }

    /// What the kernel's side refused, with the status that Docker gives it.
    static func network(_ error: NetworkError) -> EngineError {
        let code: Code =
            switch error.code {
            case .invalid, .poolOverlap, .addressOutside: .invalidParameter
            case .inUse, .notOnNetwork, .addressTaken: .forbidden
            case .unknownNetwork: .notFound
            default: .system
            }
        return EngineError(code, "\(error)")
    }
}
