import Foundation
import Testing

/// docker-py, which many programs talk to Docker by.
@Suite struct DockerPyTests {
    static let isInstalled = (try? Lab.run("/usr/bin/env", ["python3", "-c", "import docker"]).code == 0) ?? false

    @Test(.enabled(if: isInstalled, "the Python package docker is not installed: pip install docker"))
    func `docker-py finds everything as Docker has it`() throws {
        let lab = try Lab()
        try lab.makeImage()
        let script = Lab.root.path + "/Tests/Support/docker-py-client"
        // Python finds its packages by the caller's own environment.
        let environment = ProcessInfo.processInfo.environment.merging(lab.environment) { own, lab in
            own == lab ? own : lab
        }
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let ran = try Lab.run(
            "/usr/bin/env", ["PATH=\(path)", "python3", script, lab.registry + "/box"], environment: environment)
        #expect(ran.code == 0, "\(ran.err)")
        let steps = ran.out.split(separator: "\n").map { String($0.dropFirst("ok ".count)) }
        #expect(
            steps == [
                "ping", "version", "pull", "run_to_end", "run_detached", "execute", "attach", "archive", "life",
                "events", "volumes",
                "networks", "commit", "prune",
            ])
    }
}
