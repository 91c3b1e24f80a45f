import Foundation
import Testing

/// Volumes as archives: exact both ways, whole or not at all.
@Suite(.serialized, .enabled(if: geteuid() == 0, "devices and owners need root"))
final class VolumeArchiveTests {
    let lab: Lab
    private static let trees = Lab.root.path + "/Tests/Support/volume-tree"

    init() throws { lab = try Lab() }

    private func data(_ name: String) -> String { "\(lab.dataRoot)/volumes/\(name)/_data" }
    private func file(_ name: String) -> String { "\(lab.directory)/\(name)" }

    @discardableResult
    private func trees(_ arguments: String...) throws -> String {
        let ran = try Lab.run("/usr/bin/env", ["python3", Self.trees] + arguments)
        guard ran.code == 0 else { throw LabFailure(ran.err) }
        return ran.out
    }

    @discardableResult
    private func sh(_ script: String) throws -> Lab.Output {
        var environment = lab.environment
        environment["DOCKER"] = Lab.binaries + "/docker"
        return try Lab.run("/bin/sh", ["-c", script], environment: environment)
    }

    /// A volume with one of everything in it.
    private func makeVolume(_ name: String = "data") throws {
        #expect(try lab.docker("volume", "create", [name]).code == 0)
        try trees("make", data(name))
    }

    /// What is in the directory of volumes beside the volumes named.
    private func leftovers(_ known: String...) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: lab.dataRoot + "/volumes").filter { !known.contains($0) }
    }

    // MARK: Both ways

    @Test func `a volume comes back exactly, by a file, a pipe and the API, and GNU tar agrees`() throws {
        try makeVolume()
        let want = try trees("show", data("data"))
        let whole = file("whole.tar")
        let exported = try lab.docker("volume", "export", ["-o", whole, "data"])
        #expect(exported.code == 0, "\(exported.err)")
        #expect(try lab.docker("volume", "import", ["-i", whole, "one"]).text == "one")
        #expect(try trees("show", data("one")) == want)
        // The same bytes by every way out: a pipe that the daemon fills, a file that stands behind something, the API.
        let url = "--unix-socket \(lab.directory)/docker.sock http://d/volumes/data/export"
        let ways = try sh(
            """
            set -e
            $DOCKER volume export data | cmp - \(whole)
            { printf 0123456789 && $DOCKER volume export -o - data; } > \(file("behind"))
            tail -c +11 \(file("behind")) | cmp - \(whole)
            curl -sf \(url) | cmp - \(whole)
            $DOCKER volume export --zstd data | zstd -dcq | cmp - \(whole)
            echo 'begun: ' > \(file("appended")) && $DOCKER volume export data >> \(file("appended"))
            tail -c +9 \(file("appended")) | cmp - \(whole)
            """)
        #expect(ways.code == 0, "\(ways.out) \(ways.err)")
        // Into an empty volume from a pipe, and from a compressed file.
        #expect(try lab.docker("volume", "create", ["two"]).code == 0)
        let back = try sh(
            "$DOCKER volume import two < \(whole) && zstd -q \(whole) && $DOCKER volume import -i \(whole).zst three && cat \(whole) | $DOCKER volume import four"
        )
        #expect(back.code == 0, "\(back.err)")
        for name in ["two", "three", "four"] { #expect(try trees("show", data(name)) == want, "\(name)") }
        let gnu = try sh("mkdir \(file("gnu")) && tar -C \(file("gnu")) --xattrs --xattrs-include='*' -xpf \(whole)")
        #expect(gnu.code == 0, "\(gnu.err)")
        // Which blocks of a sparse file it leaves out is its own affair.
        func plain(_ text: String) -> [String] {
            text.replacing("'sparse'", with: "'full'").split(separator: "\n").map(String.init)
        }
        let unpacked = try trees("show", file("gnu"))
        #expect(plain(unpacked) == plain(want))
        #expect(try leftovers("data", "one", "two", "three", "four").isEmpty)
    }

    @Test func `what is not empty, used or on a file system of its own is not imported into`() throws {
        try makeVolume()
        let whole = file("whole.tar")
        #expect(try lab.docker("volume", "export", ["-o", whole, "data"]).code == 0)
        let full = try lab.docker("volume", "import", ["-i", whole, "data"])
        #expect(full.code != 0 && full.err.contains("not empty"), "\(full.err)")
        try lab.docker("create", "--name", ["user", "--network", "none", "-v", "used:/x", try lab.loadedImage()])
        let used = try lab.docker("volume", "import", ["-i", whole, "used"])
        #expect(used.code != 0 && used.err.contains("volume is in use"), "\(used.err)")
        #expect(try lab.docker("volume", "create", ["-o", "size=8m", "own"]).code == 0)
        #expect(try lab.docker("volume", "import", ["-i", whole, "own"]).err.contains("file system of its own"))
        #expect(try lab.docker("volume", "export", ["-o", file("own.tar"), "own"]).code == 0)
        #expect(try lab.docker("volume", "import", ["-i", file("own.tar"), "../x"]).code != 0)
        #expect(try lab.docker("volume", "export", ["-o", file("none.tar"), "nosuch"]).err.contains("no such volume"))
        #expect(!FileManager.default.fileExists(atPath: file("none.tar")))
        try lab.docker("rm", "user")
        #expect(try leftovers("data", "used", "own").isEmpty)
    }

    @Test(arguments: ["parent", "link", "relative", "hardlink", "linked", "inner", "cut"])
    func `an archive that leads out of the volume or is cut leaves nothing`(_ kind: String) throws {
        let archive = file("hostile.tar")
        try trees("escape", kind, archive)
        for way in ["-i \(archive) evil", "evil < \(archive)"] {
            let refused = try sh("$DOCKER volume import \(way)")
            #expect(refused.code != 0, "\(refused.out)")
        }
        let piped = try sh("cat \(archive) | $DOCKER volume import evil")
        #expect(piped.code != 0 && piped.err.contains("import evil"), "\(piped.err)")
        #expect(try lab.docker("volume", "ls", "-q").text.isEmpty)
        #expect(try leftovers().isEmpty)
        #expect(!FileManager.default.fileExists(atPath: "/tmp/escaped"))
        #expect(!FileManager.default.fileExists(atPath: lab.directory + "/escaped"))
    }

    // MARK: Cut

    @Test func `an export goes on where it was cut, and not when the volume has changed`() throws {
        try makeVolume()
        usleep(50_000)
        let (whole, target) = (file("whole.tar"), file("target.tar"))
        #expect(try lab.docker("volume", "export", ["-o", whole, "data"]).code == 0)
        let bytes = try Data(contentsOf: URL(filePath: whole))
        for length in [512, 700_001, 2_000_000, bytes.count - 3] {
            let began = String(format: "%.9f", Date().timeIntervalSince1970)
            let part = "\(target).data.\(began).part"
            try bytes.prefix(length).write(to: URL(filePath: part))
            let resumed = try lab.docker("volume", "export", ["--resume", "-o", target, "data"])
            #expect(resumed.code == 0, "\(resumed.err)")
            #expect(try Data(contentsOf: URL(filePath: target)) == bytes, "\(length)")
            #expect(!FileManager.default.fileExists(atPath: part))
        }
        // Other volumes' parts are others'; without a part it begins at the beginning.
        #expect(try lab.docker("volume", "export", ["--resume", "-o", file("fresh.tar"), "data"]).code == 0)
        #expect(try Data(contentsOf: URL(filePath: file("fresh.tar"))) == bytes)
        let changes = ["touch \(data("data"))/new", "echo > \(data("data"))/shared/inside", "rm \(data("data"))/zero"]
        for change in changes {
            let began = String(format: "%.9f", Date().timeIntervalSince1970 - 0.1)
            let part = "\(target).data.\(began).part"
            try bytes.prefix(10_000).write(to: URL(filePath: part))
            usleep(100_000)
            #expect(try sh(change).code == 0)
            let refused = try lab.docker("volume", "export", ["--resume", "-o", target, "data"])
            #expect(refused.code != 0 && refused.err.contains("has changed since"), "\(refused.err)")
            #expect(try Data(contentsOf: URL(filePath: part)).count == 10_000)
            try FileManager.default.removeItem(atPath: part)
        }
        #expect(try lab.docker("volume", "export", ["--resume", "-o", target, "--zstd", "data"]).code != 0)
    }

    @Test func `a client that leaves an import or an export leaves nothing`() throws {
        try makeVolume()
        try sh(
            """
            $DOCKER volume export -o \(file("whole.tar")) data
            { head -c 1000000 \(file("whole.tar")); sleep 2; } | timeout -s KILL 1 $DOCKER volume import half
            timeout -s KILL 1 $DOCKER volume export data | sleep 2
            """)
        let isGone = try soon(60) { try leftovers("data").isEmpty }
        let left = try leftovers("data")
        #expect(isGone, "\(left)")
        #expect(try lab.docker("volume", "ls", "-q").text == "data")
        // Nobody holds the volume any more.
        let isFree = try soon(60) { try lab.docker("volume", "rm", ["data"]).code == 0 }
        #expect(isFree)
    }
}
