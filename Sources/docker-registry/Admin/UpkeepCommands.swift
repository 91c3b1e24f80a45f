import ArgumentParser
import FoundationEssentials
import NIOHTTP1
import RegistryServer
import RegistryStore
import RegistryUpkeep

/// Commands about what the registry does by itself.
enum UpkeepCommands {
    static let all: [any ParsableCommand.Type] = [
        RemoveRepository.self, Webhooks.self, RetentionCommand.self, Scrub.self,
        ReplicationCommand.self,
    ]
}

struct RemoveRepository: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Delete repositories with all their tags and manifests.")

    @Argument(help: "Names of repositories") var names: [String]
    @OptionGroup var admin: AdminOptions

    func run() async throws {
        try await admin.run { client in
            for text in names {
                // What is no name would be another path.
                let name = try RepositoryName(text)
                try await client.tell(.DELETE, "/repositories/\(name)")
                print(name)
            }
        }
    }
}

struct Webhooks: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "webhooks", abstract: "Show what waits for the receivers of events.")

    @Option(name: .customLong("redeliver"), help: "Send this receiver what it has refused once more")
    var redeliver: String?
    @OptionGroup var admin: AdminOptions

    func run() async throws {
        try await admin.run { client in
            if let redeliver {
                let done = try await client.ask(
                    .POST, "/webhooks/redeliver", AdminAPI.Redelivery(name: redeliver), as: AdminAPI.Redelivered.self)
                return print("\(done.count) events wait again for \(redeliver)")
            }
            var table = TextTable(["WEBHOOK", "WAITING", "OLDEST", "REFUSED", "DELIVERED", "DROPPED"])
            for hook in try await client.ask(.GET, "/webhooks", as: AdminAPI.Webhooks.self).items {
                table.add([
                    hook.name, "\(hook.waiting)", Age.text(since: hook.oldest), "\(hook.parked)", "\(hook.delivered)",
                    "\(hook.dropped)",
                ])
            }
            print(table.text)
        }
    }
}

struct RetentionCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retention", abstract: "Remove now what no rule keeps; by itself it goes once an hour.")

    @Flag(name: .customLong("dry-run"), help: "Show what would go and why, and remove nothing")
    var isDryRun = false
    @OptionGroup var admin: AdminOptions

    func run() async throws {
        try await admin.run { client in
            guard isDryRun else {
                let done = try await client.ask(.POST, "/retention", as: Retired.self)
                return print("Removed \(done.tags) tags and \(done.manifests) manifests")
            }
            var table = TextTable(["REPOSITORY", "TAG", "DIGEST", "REASON"])
            try await client.lines(.GET, "/retention", as: Retention.Line.self) { line in
                table.add([line.repository, line.tag ?? "<none>", String(line.digest.prefix(19)), line.reason])
            }
            print(table.text)
        }
    }
}

struct Scrub: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scrub", abstract: "Show how far blobs were read against their digests, and which are damaged.")

    @Flag(name: .customLong("now"), help: "Begin to read all of them")
    var isNow = false
    @Flag(name: .customLong("status"), help: "Show how far it is; what is done without any flag, too")
    var isStatus = false
    @OptionGroup var admin: AdminOptions

    func run() async throws {
        try await admin.run { client in
            if isNow { try await client.tell(.POST, "/scrub") }
            guard isStatus || !isNow else { return print("It begins: see docker registry scrub --status") }
            let found = try await client.ask(.GET, "/scrub", as: AdminAPI.Scrub.self)
            print(Self.text(found.status))
            guard !found.quarantined.isEmpty else { return }
            var table = TextTable(["DAMAGED", "SIZE", "FOUND"])
            for blob in found.quarantined { table.add([blob.digest, "\(blob.size)", Age.text(since: blob.found)]) }
            print(table.text)
        }
    }

    private static func text(_ status: ScrubStatus) -> String {
        guard let began = status.began else { return "No blob was read yet" }
        let counts = "\(status.blobs) blobs (\(status.bytes) bytes) read, \(status.damaged) damaged"
        guard let ended = status.ended else { return "Under way for \(Age.text(since: began)): \(counts)" }
        return "Ended \(Age.text(since: ended)) ago: \(counts)"
    }
}

struct ReplicationCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replication", abstract: "Show what waits to be copied to other registries.")

    @Option(name: .customLong("all"), help: "Queue all tags that are here already for this one")
    var all: String?
    @OptionGroup var admin: AdminOptions

    func run() async throws {
        try await admin.run { client in
            if let all {
                let done = try await client.ask(
                    .POST, "/replication", AdminAPI.Redelivery(name: all), as: AdminAPI.Redelivered.self)
                return print("\(done.count) tags wait to be copied to \(all)")
            }
            var table = TextTable(["REPLICATION", "WAITING", "LAG", "FAILING", "LAST FAILURE"])
            for rule in try await client.ask(.GET, "/replication", as: AdminAPI.Replication.self).items {
                table.add([
                    rule.name, "\(rule.waiting)", Age.text(since: rule.oldest), "\(rule.failing)", rule.failure ?? "-",
                ])
            }
            print(table.text)
        }
    }
}

/// How long ago something was, in its largest unit.
enum Age {
    private static let units: [(seconds: Int64, name: String)] = [(86400, "d"), (3600, "h"), (60, "m"), (1, "s")]

    /// - Parameter time: seconds since 1970; nil for never.
    static func text(since time: Int64?) -> String {
        guard let time else { return "-" }
        let age = max(0, RegistryStore.now - time)
        let unit = units.first { age >= $0.seconds } ?? (1, "s")
        return "\(age / unit.seconds)\(unit.name)"
    }
}
