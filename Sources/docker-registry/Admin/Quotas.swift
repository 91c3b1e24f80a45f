import ArgumentParser
import NIOHTTP1
import OCI
import RegistryServer

struct QuotaCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quota", abstract: "List the quotas, and how much of them is used.",
        discussion: "A repository counts with all its blobs, each once, and its manifests; uploads count when they end."
    )

    @Flag(name: .customLong("recount"), help: "Count all from the beginning")
    var recounts = false
    @OptionGroup var admin: AdminOptions

    func run() async throws {
        try await admin.run { client in
            let items =
                recounts
                ? try await client.ask(.POST, "/quotas/count", as: [AdminAPI.QuotaItem].self)
                : try await client.ask(.GET, "/quotas", as: [AdminAPI.QuotaItem].self)
            let rows = items.map { [$0.pattern, ByteCount.text($0.used), ByteCount.text($0.limit), "\($0.used)"] }
            print(AccountCommand.table(["REPOSITORIES", "USED", "LIMIT", "BYTES"], rows))
        }
    }
}
