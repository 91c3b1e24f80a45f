import Foundation
import OCI
import RegistryStore
import Testing

/// The first version of the protocol, for images that were pushed by the second.
@Suite struct LegacyTests {
    /// Pushes an image of some layers.
    ///
    /// - Returns: digests of the configuration and of the layers' content.
    private func push(_ lab: RegistryLab, _ name: String, _ tag: String, layers: Int) throws -> (
        config: Digest, contents: [Digest], blobs: [[UInt8]]
    ) {
        let blobs = (0..<layers).map { Array("compressed layer \($0) of \(name)".utf8) }
        let contents = (0..<layers).map { StreamHash.digest(of: Array("layer \($0)".utf8), .sha256) }
        let config = try JSONSerialization.data(withJSONObject: [
            "architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05Z",
            "config": ["Cmd": ["sh"], "Labels": ["x": "y"]], "size": 12_345_678_901, "ratio": 0.5,
            "rootfs": ["type": "layers", "diff_ids": contents.map(\.description)],
            "history": [["created_by": "x"]],
        ])
        let digest = try lab.push(Array(config), to: name)
        let items = try blobs.map { blob in
            [
                "mediaType": MediaType.ociLayerGzip, "digest": "\(try lab.push(blob, to: name))",
                "size": blob.count,
            ] as [String: Any]
        }
        let manifest = try JSONSerialization.data(withJSONObject: [
            "schemaVersion": 2, "mediaType": MediaType.ociManifest,
            "config": ["mediaType": MediaType.ociConfig, "digest": "\(digest)", "size": config.count],
            "layers": items,
        ])
        let reply = try lab.put(Array(manifest), tag, in: name)
        guard reply.status == 201 else { throw LabFailure("push: \(reply.status) \(reply.text)") }
        return (digest, contents, blobs)
    }

    private func array(_ reply: RegistryLab.Reply) -> [Any] {
        (try? JSONSerialization.jsonObject(with: Data(reply.body), options: .fragmentsAllowed)) as? [Any] ?? []
    }

    @Test func `an image has the ids that Docker gave it, its ancestry, its JSON and its layers`() throws {
        let lab = try RegistryLab()
        let image = try push(lab, "team/app", "1.0", layers: 3)
        let second = StreamHash.digest(of: Array("\(image.contents[0]) \(image.contents[1])".utf8), .sha256)
        let ids = [image.contents[0].hex, second.hex, image.config.hex]
        let images = try lab.ask("GET", "/v1/repositories/team/app/images", ["X-Docker-Token: true"])
        #expect(images.status == 200)
        #expect(array(images).compactMap { ($0 as? [String: String])?["id"] } == ids)
        #expect(images.headers["x-docker-endpoints"] == lab.address)
        #expect(images.headers["x-docker-token"]?.contains("repository=\"team/app\",access=read") == true)
        #expect(try lab.ask("GET", "/v1/repositories/team/app/tags").json as? [String: String] == ["1.0": ids[2]])
        #expect(try lab.ask("GET", "/v1/repositories/team/app/tags/1.0").text == "\"\(ids[2])\"")
        #expect(try lab.ask("GET", "/v1/repositories/team/app/tags/2.0").code == "MANIFEST_UNKNOWN")
        #expect(try lab.ask("GET", "/v1/repositories/team/none/images").code == "NAME_UNKNOWN")
        for (place, id) in ids.enumerated() {
            let ancestry = try lab.ask("GET", "/v1/images/\(id)/ancestry")
            #expect(array(ancestry) as? [String] == ids[...place].reversed())
            let json = try lab.ask("GET", "/v1/images/\(id)/json")
            #expect(json.json["id"] as? String == id)
            #expect(json.json["parent"] as? String == (place == 0 ? nil : ids[place - 1]))
            #expect(json.headers["x-docker-size"] == "\(image.blobs[place].count)")
            let layer = try lab.ask("GET", "/v1/images/\(id)/layer")
            #expect(layer.body == image.blobs[place])
            let checksum = StreamHash.digest(of: image.blobs[place], .sha256)
            #expect(layer.headers["x-docker-checksum"] == "\(checksum)")
            #expect(try lab.ask("HEAD", "/v1/images/\(id)/layer").status == 200)
        }
        let top = try lab.ask("GET", "/v1/images/\(ids[2])/json").json
        #expect((top["config"] as? [String: Any])?["Cmd"] as? [String] == ["sh"])
        #expect(top["size"] as? Int == 12_345_678_901)
        #expect(top["rootfs"] == nil && top["history"] == nil)
    }

    @Test func `what is no image has no id, and nobody gets one of a repository that is not theirs`() throws {
        let lab = try RegistryLab()
        let index = Array("{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"manifests\":[]}".utf8)
        #expect(try lab.put(index, "empty", in: "app", type: MediaType.ociIndex).status == 201)
        #expect(try lab.put(try lab.image("x", in: "app"), "artifact", in: "app").status == 201)
        #expect(array(try lab.ask("GET", "/v1/repositories/app/images")).isEmpty)
        for path in ["", "/x", "/x/json", "/\(String(repeating: "a", count: 64))/json", "/a/b/json", "/x/checksum"] {
            #expect(try lab.ask("GET", "/v1/images\(path)").status == 404, "\(path)")
        }
        #expect(try lab.ask("PUT", "/v1/repositories/app/images").status == 405)
        #expect(try lab.ask("PUT", "/v1/repositories/app/tags/x").status == 405)
    }

    @Test func `an id is for those who may pull it`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let options = ["--htpasswd", try AccessTests.passwordFile(folder), "--anonymous-pull", "public"]
        let open = try RegistryLab()
        let image = try push(open, "private", "1", layers: 2)
        _ = try push(open, "public", "1", layers: 3)
        open.crash()
        let lab = try RegistryLab(options)
        lab.crash()
        try FileManager.default.removeItem(atPath: lab.directory + "/data")
        try FileManager.default.moveItem(atPath: open.directory + "/data", toPath: lab.directory + "/data")
        try lab.start()
        let (path, user) = ("/v1/images/\(image.config.hex)/json", [AccessTests.basic("user:secret")])
        #expect(try lab.ask("GET", "/v1/repositories/private/images").status == 401)
        #expect(try lab.ask("GET", "/v1/repositories/public/images").status == 200)
        #expect(try lab.ask("GET", path, user).status == 404)
        let images = try lab.ask("GET", "/v1/repositories/private/images", user + ["X-Docker-Token: true"])
        #expect(images.status == 200 && images.headers["x-docker-token"] == nil)
        #expect(try lab.ask("GET", path, user).status == 200)
        #expect(try lab.ask("GET", path).status == 404)
        // The lowest layer is of both repositories.
        #expect(try lab.ask("GET", "/v1/images/\(image.contents[0].hex)/json").status == 200)
    }
}
