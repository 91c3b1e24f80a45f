import Foundation
import OCI
import RegistryStore
import Testing

@testable import RegistryUpkeep

/// What goes by rule, and what stays whatever a rule says.
@Suite(.onBothIndexes) struct RetentionTests {
    private static let day: Int64 = 86400
    private static let now: Int64 = 1_000 * day

    private static func digest(_ text: String) -> Digest { StreamHash.digest(of: Array(text.utf8), .sha256) }

    private static func rules(_ text: String) throws -> [RetentionRule] {
        try JSONDecoder().decode([RetentionRule].self, from: Data(text.utf8))
    }

    /// A manifest `text`, pushed `age` days ago.
    private static func manifest(
        _ text: String, age: Int64, pulled: Int64? = nil, of subject: String? = nil, members: [String] = []
    ) -> RepositoryContents.Manifest {
        RepositoryContents.Manifest(
            digest: digest(text), pushed: now - age * day, pulled: pulled.map { now - $0 * day },
            subject: subject.map(digest), members: members.map(digest))
    }

    private static func tag(_ name: String, _ text: String, age: Int64) -> RepositoryContents.Tag {
        RepositoryContents.Tag(name: name, digest: digest(text), pushed: now - age * day)
    }

    private struct Gone: Equatable {
        let tags: [String]
        /// Each group's, in the order of their names.
        let manifests: Set<[String]>
    }

    private static func gone(
        _ tags: [RepositoryContents.Tag], _ manifests: [RepositoryContents.Manifest], _ rules: String,
        names: [String]
    ) throws -> Gone {
        let plan = RetentionPlan(
            RepositoryContents(tags: tags, manifests: manifests), try Self.rules(rules), now: now)
        let known = Dictionary(uniqueKeysWithValues: names.map { (digest($0), $0) })
        return Gone(
            tags: plan.tags.map(\.tag.name).sorted(),
            manifests: Set(plan.groups.map { $0.compactMap { known[$0.digest] }.sorted() }))
    }

    @Test(arguments: [
        (#"[{"tags":"pr-*","keepLast":2}]"#, ["pr-1", "pr-2"]),
        (#"[{"tags":"pr-*","keepLast":1,"keepPulledWithin":"25d"}]"#, ["pr-2"]),
        (#"[{"tags":"pr-*","keepPushedWithin":"25d"}]"#, ["pr-1", "pr-2"]),
        (#"[{"tags":"pr-*","keepLast":1,"protected":"pr-1"}]"#, ["pr-2", "pr-3"]),
        (#"[{"keepLast":1}]"#, ["pr-1", "pr-2", "pr-3", "v1"]),
        // Any rule that keeps a tag, keeps it.
        (#"[{"tags":"pr-*","keepLast":1},{"keepPulledWithin":"15d"}]"#, ["pr-2", "pr-3", "v1"]),
        (#"[{"tags":"pr-*","keepLast":1},{"tags":"v*","protected":["pr-2"],"keepLast":1}]"#, ["pr-1", "pr-3"]),
        (#"[{"untagged":"1d"}]"#, []),
        (#"[{"tags":"nothing","keepLast":1}]"#, []),
    ])
    func tags(_ rules: String, _ wanted: [String]) throws {
        let names = ["1", "2", "3", "4", "v"]
        let tags = [
            Self.tag("pr-1", "1", age: 40), Self.tag("pr-2", "2", age: 30), Self.tag("pr-3", "3", age: 20),
            Self.tag("pr-4", "4", age: 10), Self.tag("v1", "v", age: 500),
        ]
        let manifests = [
            Self.manifest("1", age: 40, pulled: 1), Self.manifest("2", age: 30, pulled: 31),
            Self.manifest("3", age: 20), Self.manifest("4", age: 10), Self.manifest("v", age: 500),
        ]
        #expect(try Self.gone(tags, manifests, rules, names: names).tags == wanted)
    }

    @Test func `a manifest goes with its last tag, and with it what only it has`() throws {
        let names = ["old", "index", "amd64", "arm64", "shared", "signature", "cosign", "kept", "sbom"]
        let manifests = [
            Self.manifest("old", age: 90), Self.manifest("kept", age: 1),
            Self.manifest("index", age: 90, members: ["amd64", "arm64", "shared"]),
            Self.manifest("index2", age: 1, members: ["shared"]),
            Self.manifest("amd64", age: 90), Self.manifest("arm64", age: 90), Self.manifest("shared", age: 90),
            Self.manifest("signature", age: 90, of: "index"), Self.manifest("sbom", age: 90, of: "signature"),
            Self.manifest("cosign", age: 90),
        ]
        let tags = [
            Self.tag("pr-1", "old", age: 90), Self.tag("stable", "old", age: 90),
            Self.tag("pr-2", "index", age: 90), Self.tag("index2", "index2", age: 1), Self.tag("pr-3", "kept", age: 1),
            Self.tag("sha256-\(Self.digest("index").hex).sig", "cosign", age: 90),
        ]
        let gone = try Self.gone(tags, manifests, #"[{"tags":["pr-*","sha256-*"],"keepLast":1}]"#, names: names)
        #expect(gone.tags == ["pr-1", "pr-2", tags[5].name])
        #expect(gone.manifests == [["amd64", "arm64", "cosign", "index", "sbom", "signature"]])
    }

    @Test func `what has no tag stays until its time, and as long as something has it`() throws {
        let names = ["young", "old", "pulled", "member", "signature", "orphan", "index"]
        let manifests = [
            Self.manifest("young", age: 6), Self.manifest("old", age: 8), Self.manifest("pulled", age: 8, pulled: 1),
            Self.manifest("index", age: 9, members: ["member"]), Self.manifest("member", age: 9),
            Self.manifest("signature", age: 9, of: "index"), Self.manifest("orphan", age: 9, of: "nothing"),
        ]
        let tags = [Self.tag("latest", "index", age: 9)]
        let rules = #"[{"tags":"x","keepLast":1,"untagged":"7d"}]"#
        #expect(
            try Self.gone(tags, manifests, rules, names: names)
                == Gone(tags: [], manifests: [["old"], ["orphan"]]))
        #expect(
            try Self.gone([], manifests, rules, names: names).manifests
                == [["old"], ["orphan"], ["index", "member", "signature"]])
        // Without that rule, nothing that has no tag goes.
        #expect(try Self.gone([], manifests, #"[{"keepLast":1}]"#, names: names).manifests == [])
    }

    @Test(arguments: [
        (#"{"tags":"x"}"#, "keeps nothing"), (#"{"keepLast":0}"#, "never empties"),
        (#"{"keepPushedWithin":"soon"}"#, "invalid time soon"), (#"{"keep":1}"#, "unknown key"),
    ])
    func `a rule that cannot be meant is refused`(_ rule: String, _ words: String) throws {
        let (code, error) = try WebhookTests.refusedStart(#"{"retention":[\#(rule)]}"#)
        #expect(code == 1 && error.contains(words), "\(error)")
    }

    @Test func `what a push has touched since it was looked at stays`() async throws {
        let place = try GarbageTests.Place()
        let store = place.store
        let name = try RepositoryName("a")
        let config = try await place.push([1], to: name)
        let body = try GarbageTests.manifest(config, [])
        let other = try GarbageTests.manifest(config, [config])
        for (tag, body) in [("one", body), ("two", other)] {
            _ = try await store.putManifest(body, contentType: nil, as: .tag(tag), in: name)
        }
        let contents = try #require(try await store.contents(of: name))
        let manifest = try #require(contents.manifests.first { $0.digest == StreamHash.digest(of: body, .sha256) })
        // Another tag, which the plan does not know.
        _ = try await store.putManifest(body, contentType: nil, as: .tag("three"), in: name)
        #expect(try await store.retire([manifest], tags: Set(contents.tags), in: name) == [])
        #expect(try await store.tags(in: name, after: nil, countMax: 9).items == ["one", "three", "two"])
        let now = try #require(try await store.contents(of: name))
        let fresh = try #require(now.manifests.first { $0.digest == manifest.digest })
        let retired = try await store.retire([fresh], tags: Set(now.tags), in: name)
        #expect(retired.map(\.tag) == ["one", "three", nil] && Set(retired.map(\.digest)) == [manifest.digest])
        #expect(try await store.tags(in: name, after: nil, countMax: 9).items == ["two"])
    }

    @Test func `what is pushed again within the same second stays, with what it relies on`() async throws {
        let place = try GarbageTests.Place()
        let (store, name) = (place.store, try RepositoryName("a"))
        let config = try await place.push([1], to: name)
        let body = try GarbageTests.manifest(config, [])
        let digest = StreamHash.digest(of: body, .sha256)
        for tag in ["one", "two"] {
            _ = try await store.putManifest(body, contentType: nil, as: .tag(tag), in: name)
        }
        let before = try #require(try await store.contents(of: name))
        _ = try await store.putManifest(body, contentType: nil, as: .digest(digest), in: name)
        #expect(try await store.retire(before.manifests, tags: Set(before.tags), in: name).isEmpty)
        let relied = try #require(try await store.contents(of: name))
        // An index that names it.
        let index = Array(
            """
            {"schemaVersion":2,"mediaType":"\(MediaType.ociIndex)","manifests":[
            {"mediaType":"\(MediaType.ociManifest)","digest":"\(digest)","size":\(body.count)}]}
            """.utf8)
        _ = try await store.putManifest(index, contentType: nil, as: .tag("index"), in: name)
        #expect(try await store.retire(relied.manifests, tags: Set(relied.tags), in: name).isEmpty)
        let one = before.tags.filter { $0.name == "one" }
        _ = try await store.putManifest(body, contentType: nil, as: .tag("one"), in: name)
        #expect(try await store.retire(tags: one, in: name).isEmpty)
        #expect(try await store.retire(tags: before.tags.filter { $0.name == "two" }, in: name).count == 1)
        #expect(try await store.tags(in: name, after: nil, countMax: 9).items == ["index", "one"])
    }

    @Test func `the operator sees what would go, and removes it`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let receiver = try Receiver()
        let lab = try WebhookTests.lab(
            """
            {"retention":[{"repositories":"team/*","tags":"pr-*","keepLast":1}],
            "webhooks":[{"url":"\(receiver.url)","secret":"secret","events":["retention"]}]}
            """, in: folder)
        // The first run finds nothing.
        for name in ["team/app", "other"] {
            for tag in ["pr-1", "v1"] {
                #expect(try lab.put(try lab.image(tag, in: name), tag, in: name).status == 201)
            }
        }
        sleep(1)
        for name in ["team/app", "other"] {
            #expect(try lab.put(try lab.image("pr-2", in: name), "pr-2", in: name).status == 201)
        }
        let shown = try lab.operate(["retention", "--dry-run"])
        let lines = shown.out.split(separator: "\n")
        #expect(lines.count == 2 && lines[1].hasPrefix("team/app     pr-1   sha256:"), "\(shown)")
        #expect(lines.last?.hasSuffix("not of the last 1") == true)
        #expect(try lab.ask("GET", "/v2/team/app/manifests/pr-1").status == 200)
        #expect(try lab.operate(["retention"]).out == "Removed 1 tags and 1 manifests\n")
        #expect(try lab.ask("GET", "/v2/team/app/manifests/pr-1").status == 404)
        #expect(try lab.ask("GET", "/v2/other/manifests/pr-1").status == 200)
        #expect(soon(60) { receiver.deliveries().flatMap(\.actions).count >= 2 })
        let events = receiver.deliveries().flatMap(\.events)
        #expect(events.allSatisfy { $0["action"] == "delete" && $0["actor.name"] == "retention" })
        #expect(events.first?["target.tag"] == "pr-1")
    }
}
