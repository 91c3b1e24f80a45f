import Foundation
import Testing

/// `docker search` of our registry, by Docker's own client and by ours.
@Suite struct RegistrySearchTests {
    private static let stock = "/usr/local/bin/docker"

    private func push(_ lab: Lab, _ name: String, _ tag: String, _ description: String) throws {
        let type = "application/vnd.oci.image.index.v1+json"
        let manifest =
            "{\"schemaVersion\":2,\"mediaType\":\"\(type)\",\"manifests\":[],"
            + "\"annotations\":{\"org.opencontainers.image.description\":\"\(description)\"}}"
        let pushed = try Lab.run(
            "/usr/bin/curl",
            [
                "-fsS", "--retry", "20", "--retry-connrefused", "--retry-delay", "1", "-X", "PUT", "-H",
                "Content-Type: \(type)", "-d", manifest, "http://\(lab.registry)/v2/\(name)/manifests/\(tag)",
            ])
        try #require(pushed.code == 0, "\(pushed.err)")
    }

    @Test(.enabled(if: OwnRegistryTests.hasStockClient, "Docker's own client is not installed"))
    func `both clients find, filter and bound, ours lists tags`() throws {
        let lab = try Lab(usesOwnRegistry: true)
        try push(lab, "library/redis", "7", "In-memory store")
        try push(lab, "library/redis", "7-alpine", "In-memory store")
        try push(lab, "team/redis-tools", "1", "Tools for a store")
        for client in [Self.stock, Lab.binaries + "/docker"] {
            func search(_ words: String...) throws -> [String] {
                let found = try Lab.run(client, ["search"] + words, environment: lab.environment)
                try #require(found.code == 0, "\(client): \(found.err)")
                return found.text.split(separator: "\n").map(String.init)
            }
            let template = ["--format", "{{.Name}} {{.Description}} {{.StarCount}} {{.IsOfficial}}"]
            #expect(
                try search("\(lab.registry)/redis", template[0], template[1]) == [
                    "library/redis In-memory store 0 [OK]", "team/redis-tools Tools for a store 0",
                ], "\(client)")
            #expect(
                try search("--filter", "is-official=true", "\(lab.registry)/redis", "--format", "{{.Name}}") == [
                    "library/redis"
                ])
            #expect(try search("--filter", "stars=1", "\(lab.registry)/redis", "--format", "{{.Name}}").isEmpty)
            #expect(try search("--limit", "1", "\(lab.registry)/store", "--format", "{{.Name}}").count == 1)
            #expect(try search("\(lab.registry)/nothing", "--format", "{{.Name}}").isEmpty)
            #expect(try search("\(lab.registry)/redis").count == 3)
        }
        let tags = try lab.docker("search", "--tags", ["\(lab.registry)/redis", "--format", "{{.Name}}:{{.Tag}}"])
        #expect(
            Set(tags.text.split(separator: "\n").map(String.init)) == [
                "library/redis:7", "library/redis:7-alpine", "team/redis-tools:1",
            ], "\(tags.err)")
        let table = try lab.docker("search", "--tags", ["\(lab.registry)/redis"]).text.split(separator: "\n")
        #expect(table.count == 4 && table[0].split(separator: " ") == ["NAME", "TAG"])
    }
}
