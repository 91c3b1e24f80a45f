import ArgumentParser
import NIOHTTP1
import RegistryServer
import RegistryStore
import ServerProcess

/// Moves what a running registry keeps, while it goes on.
struct MoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "move",
        abstract: "Move the index of the running registry to a database, or its blobs to a bucket.",
        discussion: """
            The registry goes on. Until the end its index is the one of before, whatever ends the move; a password that the \
            command line should not tell may be in the registry's own ~/.pgpass. New blobs go to the bucket from the begin \
            of their move on; one that was ended goes on when the command is given again.
            """)

    @Option(name: .customLong("database"), help: "postgres://user@host:port/database, without an index of its own")
    var database: String?
    @Option(
        name: .customLong("storage"),
        help:
            "File with what \"storage\" of the configuration says of a bucket: {\"s3\": {…}} (JSON); \"files\": back from it"
    )
    var storage: String?
    @OptionGroup var admin: AdminOptions

    func validate() throws {
        guard (database == nil) != (storage == nil) else {
            throw ValidationError("want --database or --storage, one of them")
        }
    }

    func run() async throws {
        try await admin.run { client in
            if let database { try await moveIndex(to: database, client) }
            if let storage { try await moveBlobs(storage, client) }
        }
    }

    private func moveIndex(to database: String, _ client: AdminClient) async throws {
        var last: AdminAPI.MoveLine?
        try await client.lines(
            .POST, "/move/database", AdminAPI.DatabaseTarget(url: database), as: AdminAPI.MoveLine.self
        ) { line in
            if let progress = line.progress { StandardError.write("\(progress.table): \(progress.rows) rows\n") }
            last = line
        }
        try Self.check(last, "not moved")
        print(
            """
            Moved. Start the registry with DOCKER_REGISTRY_DATABASE_URL, or "database" in its configuration, from now on; \
            index.db in its folder is of no use any more.
            """)
    }

    private func moveBlobs(_ file: String, _ client: AdminClient) async throws {
        let isBack = file == "files"
        let target = isBack ? nil : try Configuration.read(file, as: StorageConfiguration.self)
        var last: AdminAPI.MoveLine?
        var view = MoveView()
        try await client.lines(
            .POST, isBack ? "/move/files" : "/move/storage", target, as: AdminAPI.MoveLine.self
        ) { line in
            if !isBack, last == nil, line.blobs != nil {
                StandardError.write(
                    "Begun: write what is in \(file) into the file of the registry's --config now, as \"storage\". "
                        + "Without it there the registry does not start any more.\n")
            }
            try view.show(line)
            last = line
        }
        try Self.check(last, "not all is moved, and goes on when the command is given again")
        StandardError.write(
            isBack
                ? "Moved. Take \"storage\" out of the registry's configuration; with it, new blobs go to the bucket again.\n"
                : "Moved. Start the registry with \"storage\": … in its configuration, as \(file) has it, from now on.\n"
        )
    }

    private static func check(_ last: AdminAPI.MoveLine?, _ failure: String) throws {
        guard last?.isMoved == true else {
            throw AdminClient.Failure(description: "\(failure): \(last?.error ?? "the registry has ended")")
        }
    }
}
