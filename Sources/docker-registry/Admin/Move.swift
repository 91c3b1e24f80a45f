import ArgumentParser
import NIOHTTP1
import RegistryServer
import RegistryStore
import ServerProcess

/// Moves what a running registry keeps, while it goes on.
struct MoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "move", abstract: "Move the index of the running registry to a database.",
        discussion: """
            The registry goes on; until the end its index is the one of before, whatever ends the move. A password that the \
            command line should not tell may be in the registry's own ~/.pgpass.
            """)

    @Option(name: .customLong("database"), help: "postgres://user@host:port/database, without an index of its own")
    var database: String
    @OptionGroup var admin: AdminOptions

    func run() async throws {
        try await admin.run { client in
            var last: AdminAPI.MoveLine?
            try await client.lines(
                .POST, "/move/database", AdminAPI.DatabaseTarget(url: database), as: AdminAPI.MoveLine.self
            ) { line in
                if let progress = line.progress { StandardError.write("\(progress.table): \(progress.rows) rows\n") }
                last = line
            }
            guard last?.isMoved == true else {
                throw AdminClient.Failure(description: "not moved: \(last?.error ?? "the registry has ended")")
            }
            print(
                """
                Moved. Start the registry with DOCKER_REGISTRY_DATABASE_URL, or "database" in its configuration, from now on; \
                index.db in its folder is of no use any more.
                """)
        }
    }
}
