import Foundation
import Testing

/// Clients from PyPI that nobody here wrote: docker-py, which many programs talk to Docker by, and testcontainers.
@Suite struct DockerPyTests {
    /// Where `make deps` has put clients.
    static let python =
        [Lab.root.path + "/.build/python/bin/python3", "/usr/bin/python3"]
        .first { FileManager.default.isExecutableFile(atPath: $0) } ?? "python3"

    static func has(_ package: String) -> Bool {
        (try? Lab.run(python, ["-c", "import \(package)"]).code == 0) ?? false
    }

    private func run(_ script: String) throws -> Lab.Output {
        let lab = try Lab()
        try lab.makeImage()
        if script != "docker-py-client" { try lab.docker("pull", lab.registry + "/box") }
        return try Lab.run(
            Self.python, [Lab.root.path + "/Tests/Support/" + script, lab.registry + "/box"],
            environment: lab.environment)
    }

    @Test(.enabled(if: has("testcontainers"), "the Python package testcontainers is not installed: make deps"))
    func `testcontainers starts a container, waits for its words, executes and removes it`() throws {
        let ran = try run("testcontainers-client")
        #expect(ran.code == 0, "\(ran.err)")
    }

    @Test(.enabled(if: has("docker"), "the Python package docker is not installed: make deps"))
    func `docker-py finds everything as Docker has it`() throws {
        let ran = try run("docker-py-client")
        #expect(ran.code == 0, "\(ran.err)")
        let steps = ran.out.split(separator: "\n").map { String($0.dropFirst("ok ".count)) }
        #expect(
            steps == [
                "ping", "version", "pull", "run_to_end", "run_detached", "execute", "attach", "archive", "life",
                "events", "volumes",
                "networks", "commit", "low_level", "push", "prune",
            ])
    }
}
