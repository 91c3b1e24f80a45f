import Foundation
import OCI
import RegistryStore
import Synchronization
import TestServers
import Testing

/// A mirror of a registry that lies, and of one that must not be told to everybody.
@Suite struct MirrorTrustTests {
    private static let layer = noise(1_500_000, 7)

    /// A blob, and one that differs in its last byte.
    private static func rightAndWrong(_ count: Int) -> (right: [UInt8], wrong: [UInt8]) {
        let right = Array(layer[..<count])
        return (right, right.dropLast() + [right[count - 1] ^ 1])
    }

    @Test(arguments: [1_500_000, 1000])
    func `wrong bytes reach nobody whole, and are not kept`(_ count: Int) throws {
        let origin = try Origin()
        let (right, lie) = Self.rightAndWrong(count)
        let blob = origin.blob(right)
        origin.replace { asked, answer in
            guard asked.method == "GET" else { return false }
            answer.reply(200, [], lie)
            return true
        }
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        for _ in 0..<2 {
            let got = try mirror.raw("up.example/team/app/blobs/\(blob)")
            let text = String(decoding: got.prefix(2000), as: UTF8.self)
            if count == 1000 {
                #expect(text.hasPrefix("HTTP/1.1 502") && text.contains("other bytes"), "\(text)")
            } else {
                #expect(text.hasPrefix("HTTP/1.1 200") && text.contains("Content-Length: \(count)"))
                #expect(got.count < count)
            }
            #expect(soon { mirror.partial == [] && mirror.registry.blobFiles == [] })
        }
        origin.replace(nil)
        #expect(try mirror.get("up.example/team/app/blobs/\(blob)").body == right)
    }

    @Test(arguments: ["short", "long", "silent about its length", "another range"])
    func `a length that is not true ends it`(_ lie: String) throws {
        let origin = try Origin()
        let blob = origin.blob(Self.layer)
        origin.replace { asked, answer in
            guard asked.method == "GET" else { return false }
            let more = Self.layer + [1, 2, 3]
            switch lie {
            case "short": answer.reply(200, [], Array(Self.layer.dropLast()))
            case "long": answer.reply(200, [], more)
            case "another range": answer.reply(206, ["Content-Range: bytes 1-1499999/1500000"], Self.layer)
            default:
                answer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                answer.send(Self.layer)
            }
            return true
        }
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        let got = try mirror.raw("up.example/team/app/blobs/\(blob)")
        let body = got[(got.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound ?? 0)...]
        let isCut = !body.elementsEqual(Self.layer) && body.count < Self.layer.count
        #expect(isCut)
        #expect(soon { mirror.partial == [] && mirror.registry.blobFiles == [] })
    }

    @Test func `a manifest is what its digest says, or nothing`() throws {
        let origin = try Origin()
        let digest = origin.image(Self.layer)
        let other = Array("{\"schemaVersion\":2}".utf8)
        origin.replace { asked, answer in
            guard asked.target.contains("/manifests/") else { return false }
            answer.reply(
                200, ["Content-Type: \(MediaType.ociManifest)", "Docker-Content-Digest: \(digest)"], other)
            return true
        }
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        for name in ["latest", digest.description] {
            let reply = try mirror.get("up.example/team/app/manifests/\(name)")
            #expect(reply.status == 502 && reply.text.contains("other bytes"), "\(reply.text)")
        }
        origin.replace { asked, answer in
            guard asked.target.contains("/manifests/") else { return false }
            answer.reply(200, ["Content-Type: \(MediaType.ociManifest)"], [UInt8](repeating: 0x20, count: 5 << 20))
            return true
        }
        #expect(try mirror.get("up.example/team/app/manifests/latest").status == 502)
        origin.replace { asked, answer in
            guard asked.target.contains("/manifests/") else { return false }
            answer.reply(200, ["Content-Type: \(MediaType.ociManifest)"], other)
            return true
        }
        #expect(try mirror.get("up.example/team/app/manifests/latest").code == "MANIFEST_INVALID")
        origin.replace(nil)
        #expect(try mirror.get("up.example/team/app/manifests/latest").status == 200)
    }

    @Test func `credentials go to the registry and its token server, and nowhere else`() throws {
        let elsewhere = try FaultyServer { asked, answer in answer.reply(200, [], Self.layer) }
        let origin = try Origin()
        let digest = origin.image(Self.layer)
        let blob = StreamHash.digest(of: Self.layer, .sha256)
        let basic = "Basic " + Data("robot:hunter2".utf8).base64EncodedString()
        let realm = "http://\(origin.server.authority)/token"
        origin.replace { asked, answer in
            if asked.target.hasPrefix("/token") {
                guard asked.headers["authorization"] == basic else {
                    answer.reply(401)
                    return true
                }
                answer.reply(200, [], Array("{\"token\":\"t0ken\",\"expires_in\":300}".utf8))
                return true
            }
            guard asked.headers["authorization"] == "Bearer t0ken" else {
                answer.reply(401, ["WWW-Authenticate: Bearer realm=\"\(realm)\",service=\"up\""])
                return true
            }
            guard asked.target.contains("/blobs/\(blob)") else { return false }
            answer.reply(307, ["Location: http://\(elsewhere.authority)/bytes"])
            return true
        }
        let mirror = try MirrorLab(
            "{\"up.example\":{\"url\":\"\(origin.url)\",\"username\":\"robot\",\"password\":\"hunter2\"}}")
        let manifest = try mirror.get(
            "up.example/team/app/manifests/latest", ["Authorization: Basic \(Data("a:b".utf8).base64EncodedString())"])
        #expect(manifest.headers["docker-content-digest"] == digest.description, "\(manifest.text)")
        #expect(try mirror.get("up.example/team/app/blobs/\(blob)").body == Self.layer)
        #expect(elsewhere.asked.count == 1 && elsewhere.asked.allSatisfy { $0.headers["authorization"] == nil })
        let sent = Set(origin.server.asked.compactMap { $0.headers["authorization"] })
        #expect(sent == [basic, "Bearer t0ken"])
        #expect(!mirror.registry.log.contains("hunter2"))
        let stranger = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        let refused = try stranger.get("up.example/team/app/manifests/latest")
        #expect(refused.status == 403 && refused.code == "DENIED", "\(refused.text)")
    }

    /// A registry that redirects to `elsewhere` once, though it is asked for its own bytes.
    private static func redirecting(_ blob: Digest, _ origin: Origin, to elsewhere: FaultyServer) {
        let target = "http://\(elsewhere.authority)/bytes?signature=hunter3"
        let isFirst = Mutex(true)
        origin.replace { asked, answer in
            guard asked.method == "GET", asked.target.hasSuffix("/blobs/\(blob)"),
                isFirst.withLock({ isFirst in
                    defer { isFirst = false }
                    return isFirst
                })
            else { return false }
            answer.reply(307, ["Location: \(target)"])
            return true
        }
    }

    @Test(arguments: [1_500_000, 1000])
    func `wrong bytes of a server that the registry redirects to come anew from the registry, and it is named`(
        _ count: Int
    ) throws {
        let origin = try Origin()
        let (right, lie) = Self.rightAndWrong(count)
        let blob = origin.blob(right)
        let elsewhere = try FaultyServer { _, answer in answer.reply(200, [], lie) }
        Self.redirecting(blob, origin, to: elsewhere)
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        if count == 1000 {
            #expect(try mirror.get("up.example/team/app/blobs/\(blob)").body == right)
        } else {
            // Who has some of the wrong bytes already gets no others.
            let got = try mirror.raw("up.example/team/app/blobs/\(blob)")
            let body = got[(got.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound ?? 0)...]
            #expect(body.count < count || body.elementsEqual(right))
        }
        #expect(soon { mirror.registry.blobFiles == [blob.hex] && mirror.partial == [] })
        #expect(try mirror.get("up.example/team/app/blobs/\(blob)").body == right)
        #expect(elsewhere.asked.count == 1)
        let log = mirror.registry.log
        #expect(log.contains("mirror http://\(elsewhere.authority) has sent bytes that do not match \(blob)"), "\(log)")
        #expect(!log.contains("hunter3"))
    }

    @Test func `how large a blob is says the registry, not who it redirects to`() throws {
        let origin = try Origin()
        let blob = origin.blob(Self.layer)
        let elsewhere = try FaultyServer { _, answer in answer.reply(200, [], Array(Self.layer[..<5])) }
        Self.redirecting(blob, origin, to: elsewhere)
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        #expect(try mirror.get("up.example/team/app/blobs/\(blob)").body == Self.layer)
        #expect(mirror.registry.log.contains("mirror http://\(elsewhere.authority) has answered with something else"))
    }

    @Test func `a blob is given by the repositories that have it alone`() throws {
        let origin = try Origin()
        let blob = origin.blob(Self.layer, of: "private/app")
        origin.blob(Self.layer, of: "other/app")
        let mirror = try MirrorLab("{\"up.example\":{\"url\":\"\(origin.url)\"}}")
        #expect(try mirror.get("up.example/private/app/blobs/\(blob)").body == Self.layer)
        #expect(try mirror.get("up.example/public/app/blobs/\(blob)").code == "BLOB_UNKNOWN")
        #expect(try mirror.get("up.example/other/app/blobs/\(blob)").body == Self.layer)
        #expect(origin.count("GET", "private/app/blobs/\(blob)") == 1)
        #expect(origin.count("GET", "other/app/blobs/\(blob)") == 0)
        #expect(mirror.registry.blobFiles == [blob.hex])
    }

    @Test(arguments: [0, 5])
    func `what a registry that lied has left is not passed off as another one's`(_ excess: Int) throws {
        let (liar, honest) = (try Origin(), try Origin())
        let blob = liar.blob(Self.layer)
        honest.blob(Self.layer)
        let gate = DispatchSemaphore(value: 0)
        liar.replace { asked, answer in
            guard asked.method == "GET" else { return false }
            guard asked.headers["range"] == nil else { return true }
            answer.send("HTTP/1.1 200 OK\r\nContent-Length: \(Self.layer.count + excess)\r\nConnection: close\r\n\r\n")
            answer.send(noise(1_000_000, 9))
            gate.wait()
            return true
        }
        let mirror = try MirrorLab(
            "{\"one.example\":{\"url\":\"\(liar.url)\"},\"two.example\":{\"url\":\"\(honest.url)\"}}")
        let clients = try ["one", "two"].map { name in
            let client = try Wire(mirror.registry.port)
            let path = "/v2/\(name).example/team/app/blobs/\(blob)"
            client.send(Array("GET \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".utf8))
            return (client, client.receive(atLeast: 500_000))
        }
        gate.signal()
        for (client, first) in clients {
            let all = first + client.receive()
            let body = all[(all.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound ?? 0)...]
            #expect(body.count < Self.layer.count)
        }
        #expect(try mirror.get("two.example/team/app/blobs/\(blob)").body == Self.layer)
        // All of it may be had while it is being made durable.
        #expect(soon { mirror.registry.blobFiles == [blob.hex] && mirror.partial == [] })
        #expect(honest.server.asked.last { $0.method == "GET" }?.headers["range"] == nil)
    }

    @Test func `the rights are those of any repository`() throws {
        let origin = try Origin()
        origin.image(Self.layer)
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let mirror = try MirrorLab(
            "{\"up.example\":{\"url\":\"\(origin.url)\"}}",
            ["--htpasswd", try AccessTests.passwordFile(folder), "--anonymous-pull", "up.example/team"])
        origin.image(Self.layer, of: "hidden/app")
        #expect(try mirror.get("up.example/team/app/manifests/latest").status == 200)
        #expect(try mirror.get("up.example/hidden/app/manifests/latest").status == 401)
        #expect(try mirror.get("hidden/app/manifests/latest?ns=up.example").status == 401)
        #expect(origin.count("GET", "hidden/app/manifests/latest") == 0)
        let user = [AccessTests.basic("user:secret")]
        #expect(try mirror.get("up.example/hidden/app/manifests/latest", user).status == 200)
        #expect(try mirror.registry.ask("PUT", "/v2/up.example/team/app/manifests/x").status == 401)
        #expect(try mirror.registry.ask("PUT", "/v2/up.example/team/app/manifests/x", user).status == 405)
    }
}
