import Foundation
import OCI
import RegistryStore
import Testing

/// What a registry tells of itself.
@Suite struct FigureTests {
    @Test func `counts of the store, of hooks and of copies are told, and what is wrong`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        // Nobody listens there.
        let lab = try WebhookTests.lab(
            """
            {"webhooks":[{"name":"a \\"b\\"","url":"http://127.0.0.1:9/"}],
            "replication":[{"name":"copy","to":"http://127.0.0.1:9"}]}
            """, in: folder)
        #expect(try lab.put(try lab.image("1", in: "a"), "v1", in: "a").status == 201)
        #expect(try soon(90) { try lab.operate(["replication"]).out.contains(" 1         ") })
        // Counted anew.
        lab.crash()
        try lab.start()
        let text = try lab.ask("GET", "/metrics").text
        for line in [
            "docker_registry_repositories 1", "docker_registry_manifests 1", "docker_registry_tags 1",
            "docker_registry_blobs 2", "docker_registry_blob_stored_bytes 19", "docker_registry_damaged_blobs 0",
            "docker_registry_webhook_waiting{webhook=\"a \\\"b\\\"\"} 1",
            "docker_registry_webhook_dropped_total{webhook=\"a \\\"b\\\"\"} 0",
            "docker_registry_replication_waiting{replication=\"copy\"} 1", "docker_registry_garbage_blobs_total 0",
        ] { #expect(text.contains(line + "\n"), "\(line): \(text)") }
        #expect(soon(90) { ((try? lab.operate(["replication"]).out.contains("refused")) ?? false) })
        lab.crash()
        try lab.start()
        func problems() throws -> [String] { try lab.ask("GET", "/healthz").json["problems"] as? [String] ?? [] }
        #expect(try soon(60) { try problems().contains { $0.hasPrefix("1 copies fail") } })
        #expect(try lab.ask("GET", "/healthz").status == 200)
    }
}
