import ArgumentParser
import NIOHTTP1
import RegistryServer

struct CollectGarbage: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc", abstract: "Remove now what nothing names for longer than --gc-grace.")

    @OptionGroup var admin: AdminOptions

    func run() async throws {
        try await admin.run { client in
            let found = try await client.ask(.POST, "/gc", as: AdminAPI.Collected.self)
            print("Removed \(found.blobs) blobs (\(found.bytes) bytes), ended \(found.uploads) uploads")
        }
    }
}
