import Foundation
import Testing

/// What sizes the engine tells, and what removals give back.
@Suite(.serialized)
final class AccountingTests {
    let lab: Lab
    let image: String

    init() throws {
        lab = try Lab()
        image = try lab.pulledImage()
    }

    /// An answer of the API.
    private func ask(_ path: String, method: String = "GET") throws -> [String: Any] {
        let ran = try Lab.run(
            "/usr/bin/curl", ["-s", "-X", method, "--unix-socket", lab.directory + "/docker.sock", "http://x" + path])
        return try #require(try JSONSerialization.jsonObject(with: Data(ran.out.utf8)) as? [String: Any])
    }

    /// A container that has run `command` to its end.
    private func ended(_ name: String, _ command: String) throws {
        let ran = try lab.docker("run", "--name", [name, "--network", "none", image, "sh", "-c", command])
        guard ran.code == 0 else { throw LabFailure(ran.err) }
    }

    private func sizes(_ name: String) throws -> String {
        try lab.docker("inspect", "-s", ["-f", "{{.SizeRw}} {{.SizeRootFs}}", name]).text
    }

    @Test func `the size of a container is exact after everything that can change it`() throws {
        let base = try #require(Int(try lab.docker("image", "inspect", ["-f", "{{.Size}}", image]).text))
        try ended("writer", "head -c 12345 /dev/zero > /file; echo x >> /grown; ln /file /link")
        #expect(try sizes("writer") == "12347 \(base + 12347)")
        #expect(try sizes("writer") == "12347 \(base + 12347)")
        try Data(count: 1000).write(to: URL(filePath: lab.directory + "/more"))
        try lab.docker("cp", lab.directory + "/more", ["writer:/more"])
        #expect(try sizes("writer") == "13347 \(base + 13347)")
        try lab.docker("start", "-a", ["writer"])
        #expect(try sizes("writer") == "13349 \(base + 13349)")
        try lab.docker(
            "run", "-d", ["--name", "runs", "--network", "none", image, "sh", "-c", "echo yes > /a; sleep 600"])
        #expect(try lab.docker("exec", "runs", ["sh", "-c", "head -c 100 /dev/zero > /b"]).code == 0)
        #expect(try sizes("runs") == "104 \(base + 104)")
        let listed = try lab.docker("ps", "-as", ["--format", "{{.Names}} {{.Size}}"]).out
        #expect(listed.contains("runs 104B (virtual "))
        try lab.docker("rm", "-f", ["runs"])
        let pruned = try ask("/containers/prune", method: "POST")
        #expect(pruned["SpaceReclaimed"] as? Int == 13349)
    }

    @Test func `layers count once, and a prune gives back what the usage falls by`() throws {
        let base = try #require(Int(try lab.docker("image", "inspect", ["-f", "{{.Size}}", image]).text))
        for name in ["one", "two"] {
            try ended(name, "head -c 50000 /dev/zero > /\(name)")
            #expect(try lab.docker("commit", name, "made:\(name)").code == 0)
            #expect(try lab.docker("rm", name).code == 0)
        }
        func usage() throws -> (layers: Int, images: [[String: Any]]) {
            let answer = try ask("/system/df")
            return (
                try #require(answer["LayersSize"] as? Int), try #require(answer["Images"] as? [[String: Any]])
            )
        }
        let before = try usage()
        let own = before.images.compactMap { ($0["Size"] as? Int ?? 0) - ($0["SharedSize"] as? Int ?? 0) }.sorted()
        #expect(before.images.allSatisfy { $0["SharedSize"] as? Int == base })
        #expect(own.first == 0 && before.layers == base + own.reduce(0, +))
        for name in ["one", "two"] { #expect(try lab.docker("image", "rm", ["made:\(name)"]).code == 0) }
        let after = try usage()
        #expect(after.layers == base)
        try ended("three", "head -c 50000 /dev/zero > /three")
        try lab.docker("commit", "three", "made:three")
        try lab.docker("rm", "three")
        let full = try usage().layers
        let pruned = try ask("/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D", method: "POST")
        #expect(try usage().layers == 0)
        #expect(pruned["SpaceReclaimed"] as? Int == full)
    }

    @Test func `events of the past are told whole and those of the future until the moment asked for`() throws {
        for name in ["aa", "bb", "cc"] { try ended(name, "true") }
        let script = """
            set -e
            now=$(date +%s.%N)
            D=$1
            test "$($D events --since 0 --until $now --filter event=create --format '{{.Actor.Attributes.name}}' | tr '\\n' ' ')" = "aa bb cc "
            test "$($D events --since 0 --until $now --filter event=create --filter container=bb --format '{{.Action}}')" = create
            test -z "$($D events --since $now --until $now --filter event=create)"
            """
        let ran = try Lab.run(
            "/bin/sh", ["-c", script, "sh", Lab.binaries + "/docker"], environment: lab.environment)
        #expect(ran.code == 0, "\(ran.out)\(ran.err)")
    }
}
