import Foundation
import OCI
import RegistryStore
import Testing

@testable import RegistryServer

/// The web page: what a browser gets, and what it must never get.
@Suite struct PageTests {
    static let hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"

    /// Pushes an image whose configuration and annotations are given, as JSON.
    static func push(
        to lab: RegistryLab, _ name: String, _ tag: String, config: String, annotations: [String: String] = [:]
    ) throws -> (digest: String, layer: Digest) {
        let layer = Array("layer of \(name):\(tag)".utf8)
        let bytes = Array(config.utf8)
        let (configDigest, layerDigest) = (try lab.push(bytes, to: name), try lab.push(layer, to: name))
        let text = String(decoding: try JSONEncoder().encode(annotations), as: UTF8.self)
        let manifest = """
            {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","annotations":\(text),\
            "config":{"mediaType":"\(MediaType.ociConfig)","digest":"\(configDigest)","size":\(bytes.count)},\
            "layers":[{"mediaType":"\(MediaType.ociLayer)","digest":"\(layerDigest)","size":\(layer.count)}]}
            """
        let reply = try lab.put(Array(manifest.utf8), tag, in: name)
        guard reply.status == 201 else { throw LabFailure("push: \(reply.status) \(reply.text)") }
        return (reply.headers["docker-content-digest"] ?? "", layerDigest)
    }

    static let config = """
        {"os":"linux","architecture":"arm64","variant":"v8","created":"2024-05-06T07:08:09Z","config":{"User":"app",\
        "Env":["A=1"],"Entrypoint":["/bin/tini"],"Cmd":["a \\"b\\""],"WorkingDir":"/srv","ExposedPorts":{"80/tcp":{}},\
        "Volumes":{"/data":{}},"Labels":{"org.opencontainers.image.source":"https://git.example/x"}},\
        "rootfs":{"type":"layers","diff_ids":[]},\
        "history":[{"created_by":"RUN /bin/sh -c make # buildkit"},{"created_by":"/bin/sh -c #(nop) CMD [\\"a\\"]","empty_layer":true}]}
        """

    /// What is true of every page: nothing of it comes from elsewhere, and no text of an image is markup.
    static func check(_ reply: RegistryLab.Reply, _ what: String) {
        #expect(reply.headers["content-type"] == "text/html; charset=utf-8", "\(what)")
        #expect(reply.headers["x-content-type-options"] == "nosniff")
        #expect(reply.headers["referrer-policy"] == "no-referrer")
        #expect(reply.headers["set-cookie"] == nil)
        let policy = reply.headers["content-security-policy"] ?? ""
        #expect(policy.hasPrefix("default-src 'none'; style-src 'sha256-"), "\(what)")
        #expect(
            !policy.contains("unsafe") && policy.contains("frame-ancestors 'none'")
                && policy.contains("base-uri 'none'"))
        let text = reply.text
        #expect(text.hasPrefix("<!DOCTYPE html>") && text.hasSuffix("</html>\n"), "\(what)")
        for part in ["<html lang=\"en\">", "<main id=\"main\"", "<header", "<footer>", "<h1", "name=\"viewport\""] {
            #expect(text.contains(part), "\(what) has no \(part)")
        }
        #expect(text.components(separatedBy: "<h1").count == 2, "\(what): one heading")
        // One of each is ours; handlers and styles of elements do not run under the policy, and are not there at all.
        #expect(text.components(separatedBy: "<script").count == 2, "\(what)")
        #expect(text.components(separatedBy: "<style").count == 2, "\(what)")
        for part in ["<img", "<iframe", "<link rel=\"stylesheet", "src=\"", "style=\"", "<object", "onerror=alert(2)>"]
        {
            #expect(!text.contains(part), "\(what) has \(part)")
        }
        #expect(text.range(of: #"<[a-z]+[^<>"]*(?:"[^"]*"[^<>"]*)*\son[a-z]+="#, options: .regularExpression) == nil)
        #expect(!text.contains("href=\"javascript"), "\(what)")
    }

    @Test func `an image can be read on its page`() throws {
        let lab = try RegistryLab()
        let pushed = try Self.push(to: lab, "team/app", "1.0", config: Self.config)
        let page = try lab.ask("GET", "/r/team/app:1.0")
        #expect(page.status == 200)
        Self.check(page, "an image")
        for part in [
            "<h1>team/app:1.0</h1>", "docker pull \(lab.address)/team/app:1.0", pushed.digest, "linux/arm64/v8",
            "\(pushed.layer)".prefix(19) + "…", "[&quot;/bin/tini&quot;]", "[&quot;a \\&quot;b\\&quot;&quot;]", "A=1",
            "80/tcp",
            "/data", "<span class=\"kw\">RUN</span> make", "<span class=\"kw\">CMD</span> [&quot;a&quot;]",
            "<a href=\"https://git.example/x\" rel=\"nofollow noopener noreferrer ugc\">", "2024-05-06T07:08:09Z",
        ] { #expect(page.text.contains(part), "no \(part)") }
        let byDigest = try lab.ask("GET", "/r/team/app@\(pushed.digest)")
        #expect(byDigest.status == 200)
        #expect(byDigest.text.contains("docker pull \(lab.address)/team/app@\(pushed.digest)"))
        let head = try lab.ask("HEAD", "/r/team/app:1.0")
        #expect(head.status == 200 && head.body.isEmpty)
        let repository = try lab.ask("GET", "/r/team/app")
        Self.check(repository, "a repository")
        #expect(repository.text.contains("<a href=\"/r/team/app:1.0\">1.0</a>"))
        let list = try lab.ask("GET", "/repositories")
        Self.check(list, "the list")
        #expect(list.text.contains("<a class=\"name\" href=\"/r/team/app\">team/app</a>"))
    }

    @Test func `an index shows its platforms, and the layers of one`() throws {
        let lab = try RegistryLab()
        var members: [String] = []
        for architecture in ["arm64", "amd64"] {
            let pushed = try Self.push(
                to: lab, "x", architecture, config: Self.config.replacingOccurrences(of: "arm64", with: architecture))
            let size = try lab.ask("GET", "/v2/x/manifests/\(pushed.digest)").body.count
            members.append(
                """
                {"mediaType":"\(MediaType.ociManifest)","digest":"\(pushed.digest)","size":\(size),\
                "platform":{"os":"linux","architecture":"\(architecture)"}}
                """)
        }
        let index =
            "{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"manifests\":[\(members.joined(separator: ","))]}"
        #expect(try lab.put(Array(index.utf8), "all", in: "x", type: MediaType.ociIndex).status == 201)
        let page = try lab.ask("GET", "/r/x:all")
        Self.check(page, "an index")
        #expect(page.text.contains(">linux/arm64</a>") && page.text.contains("aria-current=\"true\">linux/amd64</a>"))
        let other = try #require(members.first?.components(separatedBy: "\"digest\":\"").last?.prefix(71))
        let second = try lab.ask("GET", "/r/x:all?digest=\(other)")
        #expect(second.text.contains("aria-current=\"true\">linux/arm64</a>"))
        #expect(second.text.contains("<dt>Platform</dt><dd>linux/arm64/v8</dd>"))
        let stranger = try lab.ask("GET", "/r/x:all?digest=sha256:\(String(repeating: "0", count: 64))")
        #expect(stranger.status == 404)
        Self.check(stranger, "a manifest of another index")
    }

    @Test func `signatures are listed, by subject and by tag`() throws {
        let lab = try RegistryLab()
        let image = try Self.push(to: lab, "x", "1", config: Self.config)
        let size = try lab.ask("GET", "/v2/x/manifests/1").body.count
        let subject =
            ",\"artifactType\":\"application/spdx+json\",\"subject\":{\"mediaType\":\"\(MediaType.ociManifest)\",\"digest\":\"\(image.digest)\",\"size\":\(size)}"
        let sbom = try lab.put(try lab.image("sbom", in: "x", extra: subject), "sbom", in: "x")
        #expect(sbom.status == 201)
        let tag = image.digest.replacingOccurrences(of: ":", with: "-") + ".sig"
        #expect(try lab.put(try lab.image("sig", in: "x"), tag, in: "x").status == 201)
        let page = try lab.ask("GET", "/r/x:1")
        Self.check(page, "a signed image")
        #expect(page.text.contains("SBOM (SPDX)") && page.text.contains("Cosign signature"))
        #expect(page.text.contains(sbom.headers["docker-content-digest"] ?? "none"))
    }

    @Test func `nothing that an image says is markup`() throws {
        let lab = try RegistryLab()
        let text = String(decoding: try JSONEncoder().encode(Self.hostile), as: UTF8.self)
        let config = """
            {"os":\(text),"architecture":\(text),"author":\(text),"created":\(text),"config":{"User":\(text),"Env":[\(text)],\
            "Cmd":[\(text)],"ExposedPorts":{\(text):{}},"Volumes":{\(text):{}},"Labels":{\(text):\(text)},"StopSignal":\(text)},\
            "history":[{"created_by":\(text),"comment":\(text)}]}
            """
        let keys = [
            "title", "description", "url", "source", "licenses", "vendor", "authors", "version", "documentation",
        ]
        var annotations = [Self.hostile: Self.hostile]
        for key in keys { annotations["org.opencontainers.image.\(key)"] = Self.hostile }
        annotations["org.opencontainers.image.url"] = "javascript:alert(3)"
        annotations["io.artifacthub.package.readme"] = "# \(Self.hostile)"
        let pushed = try Self.push(to: lab, "evil", "x", config: config, annotations: annotations)
        for path in [
            "/", "/repositories", "/r/evil", "/r/evil:x", "/r/evil@\(pushed.digest)", "/search?q=evil",
            "/r/evil?tags=all",
            "/search?q=%3Cscript%3Ealert(1)%3C/script%3E%22onfocus=%22alert(2)", "/r/%3Cscript%3E",
            "/r/evil:%22%3E%3Cimg%3E",
            "/r/evil?after=%22%3E%3Cscript%3E", "/%3Cscript%3E",
        ] {
            let reply = try lab.ask("GET", path, ["Accept: text/html"])
            Self.check(reply, path)
            #expect(!reply.text.contains(Self.hostile), "\(path)")
        }
        // A name in front of a repository comes from the client's own Host, and is none that could be markup.
        let connection = try Wire(lab.port)
        connection.send(Array("GET /r/evil:x HTTP/1.1\r\nHost: a\"><b>\r\nConnection: close\r\n\r\n".utf8))
        #expect(!String(decoding: connection.receive(), as: UTF8.self).contains("\"><b>"))
    }

    @Test func `a configuration that cannot be read leaves the rest of the page`() throws {
        let lab = try RegistryLab()
        let large = "{\"os\":\"linux\",\"x\":\"" + String(repeating: "x", count: 5 << 20) + "\"}"
        for (tag, config) in [("bad", "no JSON"), ("large", large), ("other", "{\"config\":7,\"history\":{}}")] {
            let pushed = try Self.push(to: lab, "x", tag, config: config)
            let page = try lab.ask("GET", "/r/x:\(tag)")
            #expect(page.status == 200)
            Self.check(page, tag)
            #expect(page.text.contains("\(pushed.layer)".prefix(19)), "\(tag)")
        }
    }

    @Test func `what is not there is a page for people and an error for programs`() throws {
        let lab = try RegistryLab()
        for path in ["/r/no/such", "/r/no:such", "/r/UPPER", "/r/x:", "/r/x@sha256:1", "/r/x@", "/r/x:y:z"] {
            let reply = try lab.ask("GET", path)
            #expect([400, 404].contains(reply.status), "\(path)")
            Self.check(reply, path)
        }
        #expect(try lab.ask("GET", "/nowhere").headers["content-type"] == "application/json")
        #expect(try lab.ask("GET", "/r/").headers["content-type"] == "application/json")
        let page = try lab.ask("GET", "/nowhere", ["Accept: text/html,*/*"])
        #expect(page.status == 404)
        Self.check(page, "nowhere")
        let manifest = try lab.ask("GET", "/v2/no/manifests/such", ["Accept: text/html"])
        #expect(manifest.code == "MANIFEST_UNKNOWN")
        #expect(try lab.ask("POST", "/repositories").status == 405)
        let empty = try lab.ask("GET", "/")
        #expect(empty.status == 200)
        Self.check(empty, "an empty registry")
    }

    @Test func `pages follow the rights of their repositories`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let lab = try RegistryLab(["--htpasswd", try AccessTests.passwordFile(folder), "--anonymous-pull", "public"])
        let user = AccessTests.basic("user:secret")
        for name in ["public/a", "secret/b"] {
            let blob = Array("{}".utf8)
            let digest = try #require(try lab.push(blob, as: user, to: name))
            let manifest = """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","config":{"mediaType":"\(MediaType.ociConfig)",\
                "digest":"\(digest)","size":2},"layers":[]}
                """
            let reply = try lab.ask(
                "PUT", "/v2/\(name)/manifests/1", [user, "Content-Type: \(MediaType.ociManifest)"], Array(manifest.utf8)
            )
            #expect(reply.status == 201)
        }
        for path in ["/", "/repositories", "/search?q=a", "/search?q=b"] {
            let reply = try lab.ask("GET", path)
            #expect(reply.status == 200)
            Self.check(reply, path)
            #expect(!reply.text.contains("secret/b"), "\(path)")
            #expect(reply.text.contains("<a href=\"/login\">Log in</a>"))
        }
        #expect(try lab.ask("GET", "/repositories").text.contains("public/a"))
        #expect(try lab.ask("GET", "/repositories", [user]).text.contains("secret/b"))
        #expect(try lab.ask("GET", "/r/public/a:1").status == 200)
        for path in ["/r/secret/b", "/r/secret/b:1", "/r/secret/none", "/login"] {
            let reply = try lab.ask("GET", path)
            #expect(reply.status == 401, "\(path)")
            #expect(reply.headers["www-authenticate"]?.hasPrefix("Basic") == true)
            Self.check(reply, path)
        }
        #expect(try lab.ask("GET", "/r/secret/b:1", [user]).text.contains("Logged in as user"))
        let entered = try lab.ask("GET", "/login", [user])
        #expect(entered.status == 303 && entered.headers["location"] == "/")
    }

    @Test func `a browser is asked for a password where programs get tokens`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try "{\"tokens\":{\"issue\":true}}".write(toFile: folder + "/config", atomically: true, encoding: .utf8)
        let lab = try RegistryLab(
            ["--htpasswd", try AccessTests.passwordFile(folder), "--config", folder + "/config"])
        #expect(try lab.ask("GET", "/v2/").headers["www-authenticate"]?.hasPrefix("Bearer") == true)
        for path in ["/", "/repositories", "/r/x", "/login"] {
            let reply = try lab.ask("GET", path)
            #expect(reply.status == 401)
            #expect(reply.headers["www-authenticate"] == "Basic realm=\"docker-registry\"", "\(path)")
        }
        #expect(try lab.ask("GET", "/", [AccessTests.basic("user:secret")]).status == 200)
    }

    @Test func `popular and recent ones come first, and searches find`() throws {
        let lab = try RegistryLab()
        for name in ["team/one", "team/two"] {
            _ = try Self.push(
                to: lab, name, "latest", config: Self.config,
                annotations: [
                    "org.opencontainers.image.description": "What \(name) is for", "io.example.x": "y",
                    "org.opencontainers.image.licenses": "MIT",
                ])
        }
        #expect(try lab.ask("GET", "/").text.contains("<h2>Recently pushed</h2>"))
        #expect(try lab.ask("GET", "/v2/team/two/manifests/latest").status == 200)
        // Pulls are counted a little later.
        #expect(try soon { try lab.ask("GET", "/").text.contains("<h2>Popular</h2>") })
        let repository = try lab.ask("GET", "/r/team/two")
        for part in [
            "<p class=\"lead\">What team/two is for</p>", "arm64/v8", "<dd>MIT</dd>",
            "docker pull \(lab.address)/team/two<",
        ] {
            #expect(repository.text.contains(part), "no \(part)")
        }
        let found = try lab.ask("GET", "/search?q=two")
        #expect(found.text.contains("href=\"/r/team/two\"") && !found.text.contains("href=\"/r/team/one\""))
        #expect(found.text.contains("value=\"two\""))
        for sort in ["name", "pulls", "pushed", "size", "nonsense"] {
            let list = try lab.ask("GET", "/repositories?sort=\(sort)")
            #expect(list.text.contains("href=\"/r/team/one\"") && list.text.contains("2 repositories"), "\(sort)")
        }
        #expect(try lab.ask("GET", "/search?q=\(String(repeating: "x", count: 300))").status == 400)
        #expect(try lab.ask("GET", "/repositories?cursor=nonsense").status == 400)
    }

    @Test func `a page of another site gets nothing`() throws {
        let lab = try RegistryLab()
        let own = "Origin: http://\(lab.address)"
        #expect(try lab.ask("GET", "/repositories", [own]).status == 200)
        for origin in ["http://evil.example", "null", "http://\(lab.address).evil.example", "", "http://127.0.0.1"] {
            #expect(try lab.ask("GET", "/repositories", ["Origin: \(origin)"]).status == 403, "\(origin)")
        }
        #expect(try lab.ask("GET", "/", [own, "Origin: http://evil.example"]).status == 403)
        #expect(try lab.ask("POST", "/v2/x/blobs/uploads/", [own]).status == 403)
    }

    @Test func `long lists have pages`() throws {
        let lab = try RegistryLab()
        let manifest = try lab.image("x", in: "many")
        let count = RegistryAPI.rowsMax + 3
        for number in 0..<count {
            #expect(try lab.put(manifest, String(format: "t%03d", number), in: "many").status == 201)
        }
        var (path, found) = ("/r/many?tags=all", Set<String>())
        for _ in 0..<3 {
            let page = try lab.ask("GET", path)
            Self.check(page, path)
            for part in page.text.components(separatedBy: "href=\"/r/many:").dropFirst() {
                found.insert(String(part.prefix { $0 != "\"" }))
            }
            guard let next = page.text.components(separatedBy: "<a rel=\"next\" href=\"").dropFirst().first else {
                break
            }
            path = next.prefix { $0 != "\"" }.replacingOccurrences(of: "&amp;", with: "&")
        }
        #expect(found.count == count)
    }
}

extension RegistryLab {
    /// Pushes a blob with an account.
    fileprivate func push(_ blob: [UInt8], as user: String, to name: String) throws -> Digest? {
        let digest = StreamHash.digest(of: blob, .sha256)
        let reply = try ask("POST", "/v2/\(name)/blobs/uploads/?digest=\(digest)", [user], blob)
        return reply.status == 201 ? digest : nil
    }
}
