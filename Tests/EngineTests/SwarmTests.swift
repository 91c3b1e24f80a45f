@testable import EngineAPI
import Foundation
import HTTP
import Testing

/// What this engine leaves to others: clients are told as a Docker outside of a swarm tells them.
struct SwarmTests {
    private static let notManager =
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again."

    @Test func `every operation of a swarm is answered 503 in Docker's words`() throws {
        let lab = try Lab()
        var batch = RequestBatch()
        let rows = Endpoints.swarm.filter { !$0.pattern.hasPrefix("/swarm/") || $0.pattern.contains("{") }
        #expect(rows.count == 36)
        for row in rows {
            batch.add(row.method.description, row.pattern.replacing("{path:.*}", with: "x/update"), body: "{")
        }
        for (name, answer) in try batch.send(to: lab) {
            #expect(answer.status == 503, "\(name): \(answer.body)")
            #expect(answer.message == Self.notManager, "\(name): \(answer.body)")
        }
        for path in ["/swarm/init", "/swarm/join", "/plugins/pull", "/plugins/create"] {
            let answer = try lab.api("POST", path, "{}")
            #expect(answer.status == 501 && answer.message.contains("not supported by this engine"), "\(path)")
        }
        let left = try lab.api("POST", "/swarm/leave")
        #expect(left.status == 503 && left.message == "This node is not part of a swarm")
        let plugins = try lab.api("GET", "/plugins")
        #expect(plugins.status == 200 && plugins.body == "[]\n")
    }

    private static let stock = "/usr/local/bin/docker"

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: stock)))
    func `Docker's own client says what it says outside of a swarm`() throws {
        let lab = try Lab()
        for line in [
            "node ls", "service ls", "secret ls", "config ls", "stack ls", "service create box", "service ps x",
            "swarm ca", "node inspect self", "secret create x -", "service logs x", "stack rm x",
        ] {
            let words = line.split(separator: " ").map(String.init)
            let ran = try Lab.run(Self.stock, words, environment: lab.environment, input: "x")
            #expect(ran.code == 1, "\(line)")
            #expect(ran.err.contains("Error response from daemon: \(Self.notManager)"), "\(line): \(ran.err)")
        }
        let plugins = try Lab.run(Self.stock, ["plugin", "ls"], environment: lab.environment)
        #expect(plugins.code == 0 && plugins.text.hasPrefix("ID") && !plugins.text.contains("\n"), "\(plugins)")
        let unknown = try Lab.run(Self.stock, ["inspect", "nope"], environment: lab.environment)
        #expect(unknown.code == 1 && unknown.err.lowercased().contains("no such object: nope"), "\(unknown.err)")
    }
}
