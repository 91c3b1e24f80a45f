import Foundation
import Testing

/// Volumes in a registry: exact both ways, only what is new is sent, and nothing is left of what fails.
@Suite(.serialized, .enabled(if: geteuid() == 0, "devices and owners need root"))
final class VolumeBackupTests {
    let lab: Lab
    private static let support = Lab.root.path + "/Tests/Support"
    private var reference: String { lab.registry + "/team/data" }

    init() throws { lab = try Lab() }

    private func data(_ name: String) -> String { "\(lab.dataRoot)/volumes/\(name)/_data" }

    @discardableResult
    private func python(_ script: String, _ arguments: String...) throws -> String {
        let ran = try Lab.run("/usr/bin/env", ["python3", "\(Self.support)/\(script)"] + arguments)
        guard ran.code == 0 else { throw LabFailure("\(script) \(arguments): \(ran.err)") }
        return ran.out
    }

    private func forge(_ kind: String, _ file: String...) throws {
        let words = [lab.registry, "team/data", "latest", kind] + file
        let ran = try Lab.run("/usr/bin/env", ["python3", Self.support + "/forge-backup"] + words)
        guard ran.code == 0 else { throw LabFailure("\(kind): \(ran.err)") }
    }

    @discardableResult
    private func sh(_ script: String) throws -> Lab.Output {
        var environment = lab.environment
        environment["DOCKER"] = Lab.binaries + "/docker"
        return try Lab.run("/bin/sh", ["-c", script], environment: environment)
    }

    @discardableResult
    private func volume(_ verb: String, _ arguments: String...) throws -> Lab.Output {
        try lab.docker("volume", verb, arguments)
    }

    /// A volume with so many megabytes of noise in files of one each.
    private func makeNoise(_ name: String, files: Int) throws {
        #expect(try volume("create", name).code == 0)
        let made = try sh("for n in $(seq \(files)); do head -c 1000000 /dev/urandom > \(data(name))/file$n; done")
        #expect(made.code == 0)
    }

    /// What is in the directory of volumes beside the volumes named.
    private func leftovers(_ known: String...) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: lab.dataRoot + "/volumes").filter { !known.contains($0) }
    }

    /// Bytes of all blobs in the registry.
    private func stored() throws -> Int {
        Int(try sh("cat \(lab.directory)/registry/docker/registry/v2/blobs/sha256/*/*/data | wc -c").text) ?? 0
    }

    /// What a backup says of its chunks: `NAME: 3 of 12 chunks are new: …`.
    private func counts(_ backup: Lab.Output) -> (new: Int, all: Int) {
        let line = backup.out.split(separator: "\n").first { $0.contains("chunks are new") } ?? ""
        let numbers = line.split(separator: " ").compactMap { Int($0) }
        return numbers.count >= 2 ? (numbers[0], numbers[1]) : (-1, -1)
    }

    // MARK: Both ways

    @Test func `a server of bytes that lies is named to who restores, and the registry gives them`() throws {
        let liar = try FaultyRegistry()
        try liar.obey([#"{"path": "/blobs/", "status": 200, "body": "something else"}"#])
        #expect(try volume("create", "data").code == 0)
        try python("volume-tree", "make", data("data"))
        #expect(try volume("backup", "-q", "data", reference).code == 0)
        let other = try Lab(configuration: #"{"layer-mirrors": {"\#(lab.registry)": ["http://\#(liar.authority)"]}}"#)
        let restored = try other.docker("volume", "restore", [reference, "back"])
        #expect(restored.code == 0 && restored.text == "back", "\(restored.err)")
        #expect(restored.err.contains("http://\(liar.authority)"), "\(restored.err)")
        let back = "\(other.dataRoot)/volumes/back/_data"
        #expect(try python("volume-tree", "show", back) == python("volume-tree", "show", data("data")))
    }

    @Test func `a volume comes back exactly, by tag and by digest, new or into an empty one`() throws {
        #expect(try volume("create", "--label", "team=red", "data").code == 0)
        try python("volume-tree", "make", data("data"))
        let want = try python("volume-tree", "show", data("data"))
        let sent = try volume("backup", "data", reference)
        #expect(sent.code == 0, "\(sent.err)")
        #expect(sent.out.contains("Using default tag: latest\n"))
        #expect(sent.out.split(separator: "\n").count { $0.contains("Backing up") } <= 1, "\(sent.out)")
        #expect(counts(sent).new == counts(sent).all && counts(sent).all > 1, "\(sent.out)")
        let digest = try #require(sent.out.firstRange(of: /sha256:[0-9a-f]{64}/).map { String(sent.out[$0]) })
        #expect(sent.out.contains("latest: digest: \(digest) size: "))
        let one = try volume("restore", reference, "one")
        #expect(one.code == 0 && one.text == "one", "\(one.err)")
        #expect(try volume("create", "two").code == 0)
        #expect(try volume("restore", "-q", "\(reference)@\(digest)", "two").code == 0)
        for name in ["one", "two"] { #expect(try python("volume-tree", "show", data(name)) == want, "\(name)") }
        #expect(try volume("inspect", "-f", "{{json .Labels}}", "one").text == #"{"team":"red"}"#)
        let quiet = try volume("backup", "-q", "one", reference + ":again")
        #expect(quiet.out.contains(/^\S+@sha256:[0-9a-f]{64}\n$/), "\(quiet.out)")
        #expect(try volume("restore", "-q", quiet.text, "three").code == 0)
        #expect(try python("volume-tree", "show", data("three")) == want)
        #expect(try leftovers("data", "one", "two", "three").isEmpty)
        let manifest = try sh(
            "curl -sf -H 'Accept: application/vnd.oci.image.manifest.v1+json' http://\(lab.registry)/v2/team/data/manifests/latest"
        )
        #expect(manifest.out.contains(#""artifactType":"application/vnd.docker-swift.volume.v1""#))
        #expect(manifest.out.contains(#""org.opencontainers.image.title":"data""#))
        // It is no image, and says so.
        #expect(try lab.docker("pull", reference).err.contains("unsupported media type"))
        // Other programs carry it like any artifact.
        let copied = try Lab.run(
            "/usr/bin/skopeo",
            ["copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", "docker://\(reference):latest"]
                + ["docker://\(lab.registry)/other:moved"])
        #expect(copied.code == 0, "\(copied.err)")
        #expect(try volume("restore", lab.registry + "/other:moved", "four").code == 0)
        #expect(try python("volume-tree", "show", data("four")) == want)
    }

    @Test func `a second backup sends what has changed`() throws {
        try makeNoise("data", files: 16)
        let first = counts(try volume("backup", "data", reference + ":1"))
        #expect(first.new == first.all && first.all >= 8, "\(first)")
        let before = try stored()
        let same = try volume("backup", "data", reference + ":1")
        #expect(counts(same).new == 0 && counts(same).all == first.all, "\(same.out)")
        // Times and names of some, content of one, and one more in front.
        try sh(
            """
            cd \(data("data")) && touch file3 && mv file14 file140
            printf changed | dd of=file12 bs=1 seek=500000 conv=notrunc status=none
            head -c 50000 /dev/urandom > early
            """)
        let changed = counts(try volume("backup", "data", reference + ":1"))
        #expect((1...7).contains(changed.new), "\(changed)")
        #expect(try stored() - before < 12_000_000)
        // Under another name of the same repository nothing is sent, though nothing is known of it.
        let other = counts(try volume("backup", "data", reference + ":2"))
        #expect(other.new == 0 && other.all == changed.all, "\(other)")
        #expect(try volume("restore", reference + ":2", "back").code == 0)
        #expect(try sh("diff -r \(data("data")) \(data("back"))").code == 0)
    }

    // MARK: Refused

    @Test func `what cannot be is refused in words`() throws {
        try makeNoise("data", files: 2)
        #expect(try volume("backup", "data", reference).code == 0)
        func refused(_ verb: String, _ first: String, _ second: String, _ words: String) throws {
            let ran = try volume(verb, first, second)
            #expect(ran.code == 1 && ran.err.contains(words), "\(verb) \(first) \(second): \(ran.out) \(ran.err)")
        }
        try refused("backup", "nosuch", reference, "get nosuch: no such volume")
        try refused("backup", "data", "Bad//name", "invalid reference format")
        let digest = "@sha256:" + String(repeating: "0", count: 64)
        try refused("backup", "data", reference + digest, "cannot back up to a digest")
        try refused("backup", "data", "127.0.0.1:1/x", "connection refused")
        try refused("restore", reference + ":none", "back", "manifest unknown")
        try refused("restore", reference + digest, "back", "manifest unknown")
        try refused("restore", reference, "../x", "restore ../x")
        try refused("restore", reference, "data", "not empty")
        let image = try lab.pulledImage()
        try refused("restore", lab.registry + "/box", "back", "is not a backup of a volume")
        try refused("backup", "data", lab.registry + "/box", "choose another name")
        try lab.docker("create", "--name", ["user", "--network", "none", "-v", "used:/x", image])
        try refused("restore", reference, "used", "restore used: volume is in use")
        #expect(try volume("create", "-o", "size=8m", "own").code == 0)
        try refused("restore", reference, "own", "file system of its own")
        // A volume in a file system of its own is backed up like any other.
        #expect(try volume("backup", "own", reference + ":own").code == 0)
        try lab.docker("rm", "user")
        #expect(try leftovers("data", "used", "own").isEmpty)
        #expect(try volume("rm", "data").code == 0)
        for (path, words) in [
            ("/volumes/own/backup", "'reference' cannot be empty"), ("/volumes/restore", "'name' cannot be empty"),
            ("/volumes/restore?name=x", "'reference' cannot be empty"),
            ("/volumes/restore?name=x&reference=%00", "invalid escape in the query"),
            ("/volumes/restore?name=x&reference=A//b", "invalid reference format"),
            ("/volumes/own/backup?reference=a/b\(digest)", "cannot store under a digest"),
        ] {
            let answer = try lab.api("POST", path)
            #expect(answer.status == 400 && answer.body.contains(words), "\(path): \(answer.status) \(answer.body)")
        }
    }

    @Test func `a backup that is not what it says leaves nothing`() throws {
        try makeNoise("data", files: 6)
        #expect(try volume("backup", "data", reference).code == 0)
        let archive = lab.directory + "/archive.tar"
        #expect(try volume("export", "-o", archive, "data").code == 0)
        let kinds = [
            ("type", "is not a backup of a volume"), ("count", "can be used"), ("small", "another size"),
            ("large", "another size"), ("bomb", "another size"), ("other", "something else"), ("order", "restore evil"),
            ("end", "restore evil"), ("broken", "zstd"), ("packed", "beginning"), ("media", "size or type"),
            ("huge", "size or type"), ("twice", "not well formed"),
        ]
        for (kind, words) in kinds {
            try forge(kind, archive)
            let refused = try volume("restore", "\(reference):\(kind)", "evil")
            #expect(refused.code == 1 && refused.err.contains(words), "\(kind): \(refused.out) \(refused.err)")
            #expect(try leftovers("data").isEmpty, "\(kind)")
        }
        for kind in ["parent", "link", "hardlink", "cut"] {
            try python("volume-tree", "escape", kind, archive)
            try forge("file", archive)
            let refused = try volume("restore", reference + ":file", "evil")
            #expect(refused.code == 1 && refused.err.contains("restore evil"), "\(kind): \(refused.err)")
        }
        #expect(!FileManager.default.fileExists(atPath: lab.directory + "/escaped"))
        try forge("plain")
        #expect(try volume("restore", reference + ":plain", "good").code == 0)
        #expect(try sh("diff -r \(data("data")) \(data("good"))").code == 0)
        #expect(try leftovers("data", "good").isEmpty)
    }

    @Test func `a registry that has lost or spoilt a chunk is told, and the next backup mends it`() throws {
        try makeNoise("data", files: 5)
        #expect(try volume("backup", "data", reference).code == 0)
        let blobs = "\(lab.directory)/registry/docker/registry/v2/blobs/sha256"
        let largest = try sh("ls -S \(blobs)/*/*/data | head -1").text
        for damage in ["printf x | dd of=F bs=1 seek=1000 conv=notrunc status=none", "truncate -s 100000 F", "rm F"] {
            #expect(try sh("cp \(largest) \(lab.directory)/kept && \(damage.replacing("F", with: largest))").code == 0)
            let refused = try volume("restore", reference, "back")
            #expect(refused.code == 1 && refused.err.contains("blob"), "\(refused.err)")
            #expect(try leftovers("data").isEmpty, "\(damage)")
            if damage.hasPrefix("rm") { break }
            #expect(try sh("cp \(lab.directory)/kept \(largest)").code == 0)
        }
        let again = try volume("backup", "data", reference)
        #expect(again.code == 0 && counts(again).new == 1, "\(again.out) \(again.err)")
        #expect(try volume("restore", reference, "back").code == 0)
        #expect(try sh("diff -r \(data("data")) \(data("back"))").code == 0)
    }

    @Test func `a mirror that spoils chunks is named, and the registry gives them`() throws {
        try makeNoise("data", files: 5)
        #expect(try volume("backup", "data", reference).code == 0)
        let (own, mirror) = (try FaultyRegistry(), try FaultyRegistry())
        let folder = "\(lab.directory)/registry/docker/registry/v2"
        for server in [own, mirror] {
            let copy =
                "for f in \(folder)/blobs/sha256/*/*; do cp $f/data \(server.directory)/blobs/sha256/${f##*/}; done"
            #expect(try sh(copy).code == 0)
        }
        let digest = try sh("cat \(folder)/repositories/team/data/_manifests/tags/latest/current/link").text
        let type = "application/vnd.oci.image.manifest.v1+json"
        try #"{"latest": {"digest": "\#(digest)", "type": "\#(type)"}}"#.write(
            toFile: own.directory + "/tags.json", atomically: true, encoding: .utf8)
        let chunk = try sh("basename $(dirname $(ls -S \(folder)/blobs/sha256/*/*/data | head -1))").text
        let target = "http://\(mirror.authority)/v2/x/blobs/sha256:\(chunk)"
        try own.obey([
            #"{"path": "\#(chunk)", "unless": "prefer", "status": 307, "headers": {"Location": "\#(target)"}}"#
        ])
        try mirror.obey([#"{"path": "\#(chunk)", "flip": true}"#])
        let restored = try volume("restore", "\(own.authority)/team/data", "back")
        #expect(restored.code == 0, "\(restored.err)")
        #expect(try sh("diff -r \(data("data")) \(data("back"))").code == 0)
        let log = try String(contentsOfFile: lab.directory + "/dockerd.log", encoding: .utf8)
        #expect(log.contains("mirror http://\(mirror.authority) has sent bytes that do not match sha256:\(chunk)"))
    }

    // MARK: Cut

    @Test func `a client that leaves and a daemon that dies leave no half of anything`() throws {
        try makeNoise("data", files: 40)
        let left = try sh("timeout -s KILL 0.3 $DOCKER volume backup data \(reference):cut")
        if left.code == 137 {
            // Nobody holds the volume any more, and there is no such tag.
            let isFree = try soon(60) { try volume("rename", "data", "other").code == 0 }
            #expect(isFree)
            #expect(try volume("restore", reference + ":cut", "back").err.contains("manifest unknown"))
            #expect(try volume("rename", "other", "data").code == 0)
        }
        #expect(try volume("backup", "data", reference).code == 0)
        try sh("timeout -s KILL 0.3 $DOCKER volume restore \(reference) back")
        let isGone = try soon(60) { try leftovers("data", "back").isEmpty }
        #expect(isGone)
        try volume("rm", "-f", "back")
        let restore = Process()
        restore.executableURL = URL(filePath: Lab.binaries + "/docker")
        restore.arguments = ["volume", "restore", reference, "back"]
        restore.environment = lab.environment
        (restore.standardOutput, restore.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
        try restore.run()
        let hasBegun = try soon(60) { try !leftovers("data", "back").isEmpty }
        #expect(hasBegun)
        lab.killDaemon()
        restore.waitUntilExit()
        try lab.startDaemon()
        #expect(try leftovers("data", "back").isEmpty)
        let names = try volume("ls", "-q").text
        // It may have been done just then: all of it or nothing.
        if names != "data" { #expect(try sh("diff -r \(data("data")) \(data("back"))").code == 0) }
        try volume("rm", "-f", "back")
        #expect(try volume("restore", reference, "back").code == 0)
        #expect(try sh("diff -r \(data("data")) \(data("back"))").code == 0)
    }
}
