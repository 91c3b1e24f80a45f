import Foundation
import OCI
import RegistryStore
import Testing

@testable import RegistryUpkeep

/// Others are told of every change, in its order, whatever happens in between.
@Suite struct WebhookTests {
    @Test(arguments: [
        ("*", "a/b", true), ("team/*", "team/a/b", true), ("team/*", "team", false), ("team/*", "teams/a", false),
        ("*/app", "team/app", true), ("a?c", "abc", true), ("a?c", "ac", false), ("", "", true), ("", "a", false),
        ("pr-*", "pr-", true), ("*a*b*c", "xaxbxc", true), ("*a*b*c", "xaxbxcx", false), ("v1", "v1", true),
        (String(repeating: "*a", count: 200) + "*b", String(repeating: "a", count: 250), false),
    ])
    func patterns(_ pattern: String, _ name: String, _ matches: Bool) {
        #expect(NamePattern(pattern).matches(name) == matches)
    }

    @Test func `a receiver that fails is left alone longer each time, one that refuses is asked for each event`() {
        var pace = DeliveryPace()
        for wanted in [1.0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            #expect(pace.event(.failed, count: 3, refusals: 0, random: 1) == .wait(seconds: wanted))
        }
        #expect(pace.event(.failed, count: 3, refusals: 0, random: 0) == .wait(seconds: 150))
        #expect(pace.event(.taken, count: 3, refusals: 0, random: 1) == .goOn)
        #expect(pace.batch == DeliveryPace.batchMax)
        #expect(pace.event(.refused, count: 3, refusals: 0, random: 1) == .single && pace.batch == 1)
        #expect(pace.event(.taken, count: 1, refusals: 0, random: 1) == .goOn && pace.batch == 1)
        #expect(pace.event(.refused, count: 1, refusals: 0, random: 1) == .wait(seconds: 1))
        #expect(pace.event(.refused, count: 1, refusals: 7, random: 1) == .park && pace.batch == 1)
        #expect(pace.event(.taken, count: 1, refusals: 0, random: 1) == .goOn && pace.batch == DeliveryPace.batchMax)
    }

    @Test func `bodies are signed as others sign them`() {
        // The example of GitHub's documentation.
        #expect(
            WebhookMessage.signature(Array("Hello, World!".utf8), "It's a Secret to Everybody")
                == "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
    }

    @Test(arguments: [
        (#"{"url":"ftp://x"}"#, "https://"), (#"{"url":"http://x","timeout":"0s"}"#, "1s to 300s"),
        (#"{"url":"http://x","evnts":[]}"#, "unknown key"), (#"{"url":"http://x","events":["x"]}"#, "events"),
        (#"{"url":"http://x?token=1"}"#, "give it one"),
        (#"{"url":"http://x"},{"url":"http://x"}"#, "of its own"),
    ])
    func `what is no receiver is refused`(_ text: String, _ words: String) throws {
        let (code, error) = try Self.refusedStart(#"{"webhooks":[\#(text)]}"#)
        #expect(code == 1 && error.contains(words), "\(error)")
    }

    /// Starts a registry with a configuration that it does not take.
    static func refusedStart(_ configuration: String) throws -> (code: Int32, error: String) {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try configuration.write(toFile: folder + "/config", atomically: true, encoding: .utf8)
        let process = Process()
        process.executableURL = URL(filePath: RegistryLab.binaries + "/docker")
        process.arguments = [
            "registry", "serve", "--addr", "127.0.0.1:0", "--data", folder + "/data", "--config", folder + "/config",
        ]
        let pipe = Pipe()
        process.standardError = pipe
        try process.run()
        let error = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: error, as: UTF8.self))
    }

    /// A registry that is configured so.
    static func lab(_ configuration: String, in folder: String) throws -> RegistryLab {
        try configuration.write(toFile: folder + "/config", atomically: true, encoding: .utf8)
        return try RegistryLab(["--config", folder + "/config"])
    }

    @Test func `a receiver that was away is told of everything, in order, after a crash, too`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let receiver = try Receiver()
        try receiver.answer(503)
        let lab = try Self.lab(
            """
            {"webhooks":[{"name":"ci","url":"\(receiver.url)","secret":"secret","repositories":["team/*"],
            "headers":{"Authorization":"Bearer x"},"events":["push","tag","delete","mount","pull"]}]}
            """, in: folder)
        let manifest = try lab.image("1", in: "team/app")
        let digest = StreamHash.digest(of: manifest, .sha256)
        #expect(try lab.put(manifest, "v1", in: "team/app").status == 201)
        #expect(try lab.put(try lab.image("2", in: "other"), "v1", in: "other").status == 201)
        #expect(soon(60) { !receiver.deliveries(503).isEmpty })
        lab.crash()
        try lab.start()
        let layer = StreamHash.digest(of: Array("layer 1".utf8), .sha256)
        #expect(
            try lab.ask("POST", "/v2/team/b/blobs/uploads/?mount=\(layer)&from=team/app").status == 201)
        #expect(try lab.ask("DELETE", "/v2/team/app/manifests/v1").status == 202)
        #expect(try lab.ask("DELETE", "/v2/team/app/manifests/\(digest)").status == 202)
        #expect(try lab.ask("DELETE", "/api/v1/repositories/team/app").status == 202)
        try receiver.answer(200)
        #expect(soon(90) { receiver.deliveries().flatMap(\.actions).count >= 6 })
        let all = receiver.deliveries()
        #expect(all.flatMap(\.actions) == ["tag", "push", "mount", "delete", "delete", "delete"])
        let events = all.flatMap(\.events)
        #expect(all.allSatisfy { $0.isSigned && $0.headers["authorization"] == "Bearer x" })
        #expect(
            all.allSatisfy { $0.headers["content-type"] == "application/vnd.docker.distribution.events.v2+json" })
        #expect(events.allSatisfy { $0["target.repository"]?.hasPrefix("team/") == true })
        #expect(events[1]["target.tag"] == "v1" && events[1]["target.digest"] == digest.description)
        #expect(events[1]["target.url"] == "http://\(lab.address)/v2/team/app/manifests/\(digest)")
        #expect(events[1]["target.size"] == "\(manifest.count)" && events[1]["request.method"] == "PUT")
        #expect(events[2]["target.fromRepository"] == "team/app")
        #expect(events[5]["target.digest"] == nil)
        // What was taken is not sent again.
        #expect(try lab.put(try lab.image("3", in: "team/c"), "v1", in: "team/c").status == 201)
        #expect(try lab.ask("GET", "/v2/team/c/manifests/v1").status == 200)
        #expect(soon(60) { receiver.deliveries().flatMap(\.actions).count >= 9 })
        #expect(receiver.deliveries().flatMap(\.actions).suffix(3) == ["tag", "push", "pull"])
        // Tags that come together are told of one by one.
        #expect(try lab.put(manifest, "\(digest)?tag=v2&tag=v3", in: "team/b").code == "MANIFEST_BLOB_UNKNOWN")
        let other = try lab.image("4", in: "team/d")
        let name = StreamHash.digest(of: other, .sha256)
        #expect(try lab.put(other, "\(name)?tag=v2&tag=v3", in: "team/d").status == 201)
        #expect(soon(60) { receiver.deliveries().flatMap(\.actions).count >= 13 })
        let last = receiver.deliveries().flatMap(\.events).suffix(4)
        #expect(last.map { $0["action"] } == ["tag", "push", "tag", "push"])
        #expect(last.map { $0["target.tag"] } == ["v2", "v2", "v3", "v3"])
    }

    @Test func `a redirect is not followed`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let receiver = try Receiver()
        try receiver.answer(302)
        let lab = try Self.lab(#"{"webhooks":[{"url":"\#(receiver.url)","secret":"secret"}]}"#, in: folder)
        #expect(try lab.put(try lab.image("1", in: "a"), "v1", in: "a").status == 201)
        #expect(soon(60) { receiver.deliveries(302).count >= 2 })
        #expect(receiver.deliveries(302).allSatisfy { $0.actions == ["push"] })
        #expect(lab.log.contains("it answers 302"))
    }

    @Test func `an outbox keeps its order, sets aside what was refused, and drops the oldest`() async throws {
        let place = try GarbageTests.Place {
            $0.watches.hooks = [Watches.Hook(name: "h", kinds: [.push], repositories: [NamePattern("*")])]
        }
        let store = place.store
        let name = try RepositoryName("a")
        let config = try await place.push([1], to: name)
        for count in 0..<7 {
            let body = try GarbageTests.manifest(config, Array(repeating: config, count: count))
            _ = try await store.putManifest(body, contentType: nil, as: .tag("t\(count)"), in: name)
        }
        let all = try await store.outbox(of: "h", countMax: 100)
        #expect(all.count == 7 && all.map(\.id) == all.map(\.id).sorted())
        #expect(all.enumerated().allSatisfy { $1.event.contains("\"tag\":\"t\($0)\"") })
        try await store.refused(all[0], parks: false)
        #expect(try await store.outbox(of: "h", countMax: 1).first?.refusals == 1)
        try await store.refused(all[0], parks: true)
        try await store.delivered([all[1]], to: "h")
        #expect(try await store.outbox(of: "h", countMax: 100).map(\.id) == all[2...].map(\.id))
        #expect(try await store.redeliver(to: "h") == 1)
        #expect(try await store.trimOutbox(of: "h", countMax: 4) == 2)
        #expect(try await store.outbox(of: "h", countMax: 100).map(\.id) == all[3...].map(\.id))
        let status = try await store.hookStatus("h")
        #expect(status.waiting == 4 && status.delivered == 1 && status.dropped == 2 && status.parked == 0)
        try await store.keepHooks([])
        #expect(try await store.outbox(of: "h", countMax: 100) == [])
    }
}
