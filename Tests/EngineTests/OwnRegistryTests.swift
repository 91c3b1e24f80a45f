import Foundation
import Testing

/// Clients that nobody here wrote, and our own engine, push to our registry and pull from it.
@Suite struct OwnRegistryTests {
    private static let stock = "/usr/local/bin/docker"
    static let hasStockClient =
        FileManager.default.isExecutableFile(atPath: stock)
        && (try? Lab.run(stock, ["--version"]).text.hasPrefix("Docker version")) ?? false

    private func check(_ output: Lab.Output, _ what: Comment) throws {
        try #require(output.code == 0, "\(what): \(output.err)")
    }

    @Test func `our engine pushes, forgets and pulls again what it has pushed`() throws {
        let lab = try Lab(usesOwnRegistry: true)
        let image = try lab.pulledImage()
        let copies = ["\(lab.registry)/copy:1", "\(lab.registry)/deep/er/copy:1"]
        for copy in copies {
            try check(try lab.docker("tag", image, copy), "tag")
            try check(try lab.docker("push", copy), "push")
        }
        try check(try lab.docker("rmi", "-f", [image] + copies), "rmi")
        #expect(try lab.docker("images", "-q").text == "")
        for copy in copies {
            try check(try lab.docker("pull", copy), "pull")
            let ran = try lab.docker("run", "--rm", ["--network", "none", copy, "cat", "/seed/sub/file"])
            #expect(ran.text == "seeded", "\(ran.err)")
        }
        let missing = try lab.docker("pull", lab.registry + "/copy:none")
        #expect(missing.code != 0 && missing.err.contains("manifest unknown"), "\(missing.err)")
    }

    @Test(.enabled(if: hasStockClient, "Docker's own client is not installed"))
    func `Docker's own client pushes and pulls through our engine`() throws {
        let lab = try Lab(usesOwnRegistry: true)
        let image = try lab.pulledImage()
        func docker(_ words: String...) throws -> Lab.Output {
            try Lab.run(Self.stock, words, environment: lab.environment)
        }
        try check(try docker("tag", image, "\(lab.registry)/stock:1"), "tag")
        try check(try docker("push", "\(lab.registry)/stock:1"), "push")
        try check(try docker("rmi", "\(lab.registry)/stock:1"), "rmi")
        try check(try docker("pull", "\(lab.registry)/stock:1"), "pull")
    }

    /// skopeo(1) between registries without TLS.
    private func copy(_ source: String, _ target: String) throws {
        let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        try check(
            try Lab.run("/usr/bin/skopeo", ["copy", "-q"] + plain + ["docker://" + source, "docker://" + target]),
            "\(source) to \(target)")
    }

    @Test(.enabled(if: hasStockClient, "Docker's own client is not installed"))
    func `Docker's own client pulls what a registry has others send`() throws {
        let lab = try Lab(usesOwnRegistry: true)
        try lab.makeImage()
        let registry = try SecondRegistry(
            "{\"redirects\":[{\"to\":[\"http://\(lab.registry)\"]}]}", port: try Lab.freePort(), beside: lab)
        let image = registry.address + "/box"
        try copy(lab.registry + "/box", image)
        let pulled = try Lab.run(Self.stock, ["pull", image], environment: lab.environment)
        try check(pulled, "pull")
        #expect(try lab.docker("run", "--rm", ["--network", "none", image, "cat", "/seed/sub/file"]).text == "seeded")
        // Two layers and the configuration.
        #expect(try registry.count("docker_registry_blob_redirects_total{") == 3)
        #expect(try registry.count("docker_registry_blob_bytes_total ") == 0)
    }

    @Test(.enabled(if: hasStockClient, "Docker's own client is not installed"), arguments: [false, true])
    func `Docker's own client is told of a server that does not answer, and gets the bytes`(isAlone: Bool) throws {
        let lab = try Lab(usesOwnRegistry: true)
        try lab.makeImage()
        let servers = ["\"http://127.0.0.1:1\""] + (isAlone ? [] : ["\"http://\(lab.registry)\""])
        let registry = try SecondRegistry(
            "{\"redirects\":[{\"to\":[\(servers.joined(separator: ","))],\"advertise\":true}]}",
            port: try Lab.freePort(), beside: lab)
        let image = registry.address + "/box"
        try copy(lab.registry + "/box", image)
        let pulled = try Lab.run(Self.stock, ["pull", image], environment: lab.environment)
        try check(pulled, "pull")
        #expect(pulled.out.contains("mirror http://127.0.0.1:1 "), "\(pulled.out)")
        #expect(try lab.docker("run", "--rm", ["--network", "none", image, "cat", "/seed/sub/file"]).text == "seeded")
        #expect(try (registry.count("docker_registry_blob_bytes_total ") > 0) == isAlone)
    }

    @Test(.enabled(if: hasStockClient, "Docker's own client is not installed"))
    func `Docker's own client pulls by a mirror of Docker Hub`() throws {
        let port = try Lab.freePort()
        let lab = try Lab(
            configuration: "{\"registry-mirrors\":[\"http://127.0.0.1:\(port)\"]}", usesOwnRegistry: true)
        try lab.makeImage()
        try copy(lab.registry + "/box", lab.registry + "/library/box")
        let hub = "{\"url\":\"http://\(lab.registry)\",\"hosts\":[\"127.0.0.1\"]}"
        let mirror = try SecondRegistry("{\"mirrors\":{\"docker.io\":\(hub)}}", port: port, beside: lab)
        for _ in 0..<2 {
            try check(try Lab.run(Self.stock, ["pull", "box"], environment: lab.environment), "pull")
            let ran = try lab.docker("run", "--rm", ["--network", "none", "box", "cat", "/seed/sub/file"])
            #expect(ran.text == "seeded", "\(ran.err)")
            try check(try lab.docker("rmi", "-f", ["box"]), "rmi")
        }
        #expect(mirror.blobFiles.count == 3)
        #expect(try mirror.get("/v2/_catalog").out.contains("docker.io/library/box"))
    }

    @Test func `skopeo copies, lists and deletes, one image and a whole index`() throws {
        let lab = try Lab(usesOwnRegistry: true)
        try lab.makeImage()
        func skopeo(_ words: String...) throws -> Lab.Output { try Lab.run("/usr/bin/skopeo", words) }
        let (source, target) = ("docker://\(lab.registry)/box:latest", "docker://\(lab.registry)/other/box")
        let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        try check(try skopeo("copy", "-q", plain[0], plain[1], "--all", source, target + ":all"), "copy --all")
        // Another format is another manifest over the same blobs.
        try check(try skopeo("copy", "-q", plain[0], plain[1], "--format", "v2s2", source, target + ":docker"), "v2s2")
        let layout = "dir:\(lab.directory)/out"
        try check(try skopeo("copy", "-q", "--src-tls-verify=false", target + ":docker", layout), "copy out")
        let tags = try skopeo("list-tags", "--tls-verify=false", target)
        #expect(tags.out.contains("\"all\"") && tags.out.contains("\"docker\""), "\(tags.out) \(tags.err)")
        try check(try skopeo("delete", "--tls-verify=false", target + ":docker"), "delete")
        #expect(try skopeo("inspect", "--tls-verify=false", target + ":docker").code != 0)
        #expect(try skopeo("inspect", "--tls-verify=false", target + ":all").code == 0)
    }

    @Test(.enabled(if: DockerPyTests.has("docker"), "the Python package docker is not installed: make deps"))
    func `docker-py pushes and pulls`() throws {
        let lab = try Lab(usesOwnRegistry: true)
        _ = try lab.pulledImage()
        let script = """
            import docker, sys
            client = docker.from_env()
            image = client.images.get(sys.argv[1] + "/box")
            assert image.tag(sys.argv[1] + "/py", "1")
            said = [line for line in client.images.push(sys.argv[1] + "/py", "1", stream=True, decode=True)]
            assert not [line for line in said if "error" in line], said
            client.images.remove(sys.argv[1] + "/py:1")
            pulled = client.images.pull(sys.argv[1] + "/py", "1")
            assert pulled.id == image.id
            """
        let ran = try Lab.run(DockerPyTests.python, ["-c", script, lab.registry], environment: lab.environment)
        #expect(ran.code == 0, "\(ran.err)")
    }
}
