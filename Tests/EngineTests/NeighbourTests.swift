import Foundation
import Testing

/// A registry that serves the images of an engine (`docker registry serve --from-engine`) to its neighbours.
@Suite struct NeighbourTests {
    /// The registry in front of a lab's daemon; ends with the value.
    final class Neighbour: Sendable {
        let address: String
        private let process = Process()

        init(_ lab: Lab, _ options: [String] = []) throws {
            address = "127.0.0.1:\(try Lab.freePort())"
            process.executableURL = URL(filePath: Lab.binaries + "/docker-registry")
            process.arguments =
                ["serve", "--from-engine", "--addr", address, "--data", lab.directory + "/neighbour"] + options
            process.environment = lab.environment
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            for _ in 0..<600 {
                if try get("/healthz").status != 0 { return }
                usleep(50_000)
            }
            throw LabFailure("the registry in front of the engine does not answer")
        }

        deinit {
            process.terminate()
            process.waitUntilExit()
        }

        /// - Returns: status 0 while nobody answers.
        func get(_ path: String, _ options: String...) throws -> (status: Int, head: String, body: String) {
            let said = try Lab.run(
                "/usr/bin/curl", ["-s", "-i", "--max-time", "60", "http://\(address)\(path)"] + options)
            let parts = said.out.components(separatedBy: "\r\n\r\n")
            let status = Int(parts[0].split(separator: " ").dropFirst().first ?? "0") ?? 0
            return (status, parts[0].lowercased(), parts.dropFirst().joined(separator: "\r\n\r\n"))
        }
    }

    private struct Manifest: Decodable {
        struct Descriptor: Decodable {
            let digest: String
            let size: Int
        }
        let config: Descriptor
        let layers: [Descriptor]
    }

    /// What a registry has under a name, byte by byte.
    private static func raw(_ registry: String, _ name: String) throws -> String {
        try Lab.run("/usr/bin/skopeo", ["inspect", "--raw", "--tls-verify=false", "docker://\(registry)/\(name)"]).out
    }

    @Test func `an engine pulls from its neighbour what that has pulled`() throws {
        let first = try Lab()
        let image = try first.pulledImage()
        #expect(try first.docker("tag", image, "box:1").code == 0)
        let neighbour = try Neighbour(first)
        let second = try Lab(configuration: #"{"registry-mirrors": ["http://\#(neighbour.address)"]}"#)
        let pulled = try second.docker("pull", "box:1")
        #expect(pulled.code == 0, "\(pulled.err)")
        let ran = try second.docker("run", "--rm", ["--network", "none", "box:1", "cat", "/seed/sub/file"])
        #expect(ran.text == "seeded", "\(ran.err)")
        #expect(
            try first.docker("inspect", "-f", ["{{.Id}}", image]).text
                == second.docker("inspect", "-f", ["{{.Id}}", "box:1"]).text)
    }

    @Test func `documents and blobs are those of the registry that they came from, in their repositories alone`() throws
    {
        let lab = try Lab()
        let image = try lab.pulledImage()
        let neighbour = try Neighbour(lab)
        let (origin, name) = (lab.registry, "\(lab.registry)/box")
        let tagged = try neighbour.get("/v2/\(name)/manifests/latest")
        #expect(try tagged.status == 200 && tagged.body == Self.raw(origin, "box:latest"), "\(tagged)")
        // As containerd asks.
        #expect(try neighbour.get("/v2/box/manifests/latest?ns=\(origin)").body == tagged.body)
        let manifest = try JSONDecoder().decode(Manifest.self, from: Data(tagged.body.utf8))
        let config = try neighbour.get("/v2/\(name)/blobs/\(manifest.config.digest)")
        #expect(config.status == 200 && config.body.utf8.count == manifest.config.size)
        let layer = try #require(manifest.layers.first)
        let blob = "/v2/\(name)/blobs/\(layer.digest)"
        let head = try neighbour.get(blob, "--head")
        #expect(head.status == 200 && head.head.contains("content-length: \(layer.size)"), "\(head)")
        let part = try neighbour.get(blob, "-H", "Range: bytes=2-5")
        #expect(part.status == 206 && part.head.contains("content-range: bytes 2-5/\(layer.size)"), "\(part)")
        #expect(try neighbour.get("/v2/\(name)/tags/list").body.contains(#""tags":["latest"]"#))
        #expect(try neighbour.get("/v2/_catalog").body.contains(#""\#(name)""#))

        #expect(try neighbour.get("/v2/library/box/blobs/\(layer.digest)").status == 404, "of another repository")
        #expect(try neighbour.get("/v2/\(name)/manifests/none").status == 404)
        #expect(try neighbour.get("/v2/\(name)/manifests/sha256:\(String(repeating: "0", count: 64))").status == 404)
        #expect(try neighbour.get("/v2/UP/manifests/x").status == 400)
        #expect(try neighbour.get("/v2/\(name)/blobs/uploads/", "-X", "POST").status == 405)
        #expect(try neighbour.get("/v2/\(name)/manifests/latest", "-X", "DELETE").status == 405)

        for path in ["/", "/v1/search?q=box", "/api/v1/search?q=box"] {
            let answer = try neighbour.get(path)
            #expect(answer.status == 404 && answer.body.contains("without an index"), "\(path): \(answer)")
        }
        let searched = try lab.docker("search", "\(neighbour.address)/box")
        #expect(searched.code == 1 && searched.err.contains("without an index"), "\(searched.err)")

        try lab.docker("rmi", "-f", [image])
        #expect(try neighbour.get(blob).status == 404, "it is not here any more")
        #expect(lab.endDaemon() != nil)
        let silent = try neighbour.get("/v2/\(name)/manifests/latest")
        #expect(silent.status == 503 && silent.body.contains("does not answer"), "\(silent)")
    }

    @Test func `an index is served where a name means one, to skopeo too`() throws {
        let origin = try FaultyRegistry()
        let lab = try Lab()
        let name = "\(origin.authority)/library/hostile"
        #expect(try lab.docker("pull", "\(name):good-platform").code == 0)
        let neighbour = try Neighbour(lab)
        let index = try neighbour.get("/v2/\(name)/manifests/good-platform")
        #expect(index.status == 200 && index.head.contains("index"), "\(index)")
        let digest = try #require(
            index.head.split(separator: "\r\n").first { $0.hasPrefix("docker-content-digest: ") }?
                .dropFirst("docker-content-digest: ".count))
        #expect(try neighbour.get("/v2/\(name)/manifests/\(digest)").body == index.body)
        #expect(try lab.docker("tag", "\(name):good-platform", "hostile:1").code == 0)
        let copied = try Lab.run(
            "/usr/bin/skopeo",
            [
                "copy", "-q", "--src-tls-verify=false", "docker://\(neighbour.address)/library/hostile:1",
                "dir:\(lab.directory)/copy",
            ])
        #expect(copied.code == 0, "\(copied.err)")
    }

    @Test func `who may not pull gets nothing, and an engine elsewhere is refused`() throws {
        let lab = try Lab()
        let image = try lab.pulledImage()
        #expect(try lab.docker("tag", image, "box:1").code == 0)
        let neighbour = try Neighbour(lab, ["--accounts", "--anonymous-pull", "docker.io/library"])
        #expect(try neighbour.get("/v2/library/box/manifests/1").status == 200)
        #expect(try neighbour.get("/v2/\(lab.registry)/box/manifests/latest").status == 401)
        var environment = lab.environment
        environment["DOCKER_HOST"] = "tcp://192.0.2.1:2375"
        let refused = try Lab.run(
            Lab.binaries + "/docker-registry", ["serve", "--from-engine", "--data", lab.directory + "/none"],
            environment: environment)
        #expect(refused.code == 1 && refused.err.contains("has to be on this machine"), "\(refused.err)")
    }
}
