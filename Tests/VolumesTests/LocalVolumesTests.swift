import Foundation
import Glibc
import Kernel
import Testing

@testable import Volumes

/// Runs `script` in sh; its output. Fails the test when the script fails.
@discardableResult
private func shell(_ script: String) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-euc", script]
    let output = Foundation.Pipe()
    process.standardOutput = output
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(script)")
    return String(decoding: data, as: UTF8.self)
}

/// A scratch directory that removes itself.
private struct Scratch: ~Copyable {
    let path: String
    init() throws {
        path = (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/volumes-" + UUID().uuidString
        try Files.makeDirectories(path)
    }
    deinit { try? Files.removeTree(path) }
}

@Suite(.serialized) struct LocalVolumesTests {
    /// Everything about a tree that a copy must keep, one line an object.
    private func fingerprint(_ path: String) throws -> String {
        try shell(
            """
            cd '\(path)'; find . -printf '%p %y %m %U %G %T@ %s %n %l\\n' | sort
            find . -type f | sort | xargs -r sha256sum
            """)
    }

    private func makeSource(_ path: String) throws {
        try shell(
            """
            mkdir -p '\(path)/data/sub/deep'; cd '\(path)/data'; echo one > a; ln a b; ln -s /nowhere link; mkfifo pipe
            head -c 300000 /dev/urandom > sub/blob; truncate -s 5M sub/sparse; echo end >> sub/sparse; ln a sub/deep/c
            chown 1234:77 a sub; chmod 4750 a; chmod 1771 sub; chmod 0500 sub/deep; chown 5:6 .; chmod 2770 .
            touch -h -d '1999-12-31 23:59:59.123456789' link; touch -d '1969-01-01 00:00:00.5' sub/blob
            touch -d '2001-02-03 04:05:06.7' sub/deep sub .
            """)
    }

    @Test func `copy-up gives the volume exactly what the image has`() throws {
        let scratch = try Scratch()
        try makeSource(scratch.path + "/image")
        let volumes = LocalVolumes(directory: scratch.path + "/volumes")
        let name = try VolumeName("data")
        try volumes.create(name)
        let image = try OwnedFD.open(scratch.path + "/image", O_RDONLY | O_DIRECTORY)
        #expect(try volumes.copyUp(name, from: image, path: "/data") == .copied)
        #expect(try fingerprint(volumes.dataPath(of: name)) == fingerprint(scratch.path + "/image/data"))
        let blocks = try shell("stat -c %b '\(volumes.dataPath(of: name))/sub/sparse'")
        #expect((Int(blocks.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 99999) < 64)
        #expect(try Files.list(scratch.path + "/volumes") == ["data"])
        #expect(try volumes.usage(of: name) == 4 + 300_000 + 5_242_884 + 8)
    }

    @Test func `a volume with content is never copied over`() throws {
        let scratch = try Scratch()
        try makeSource(scratch.path + "/image")
        let volumes = LocalVolumes(directory: scratch.path + "/volumes")
        let name = try VolumeName("data")
        try volumes.create(name)
        try shell("echo mine > '\(volumes.dataPath(of: name))/a'")
        let image = try OwnedFD.open(scratch.path + "/image", O_RDONLY | O_DIRECTORY)
        #expect(try volumes.copyUp(name, from: image, path: "/data") == .notEmpty)
        #expect(try shell("cat '\(volumes.dataPath(of: name))/a'") == "mine\n")
        #expect(try Files.list(volumes.dataPath(of: name)) == ["a"])
    }

    @Test(arguments: ["/../../../etc", "/escape", "/escape/../..", "/absent", "/file"])
    func `a mount point that points out of the image copies nothing from the host`(path: String) throws {
        let scratch = try Scratch()
        try shell(
            "mkdir -p '\(scratch.path)/image' '\(scratch.path)/out'; cd '\(scratch.path)'; echo s > out/secret; ln -s '\(scratch.path)/out' image/escape; : > image/file"
        )
        let volumes = LocalVolumes(directory: scratch.path + "/volumes")
        let name = try VolumeName("data")
        try volumes.create(name)
        let image = try OwnedFD.open(scratch.path + "/image", O_RDONLY | O_DIRECTORY)
        _ = try volumes.copyUp(name, from: image, path: path)
        #expect(!Files.exists(volumes.dataPath(of: name) + "/secret"))
        #expect(!Files.exists(volumes.dataPath(of: name) + "/passwd"))
    }

    @Test func `of copy-ups at once one wins and the volume is whole`() async throws {
        let scratch = try Scratch()
        try makeSource(scratch.path + "/image")
        let volumes = LocalVolumes(directory: scratch.path + "/volumes")
        let name = try VolumeName("data")
        try volumes.create(name)
        let imagePath = scratch.path + "/image"
        let results = try await withThrowingTaskGroup(of: LocalVolumes.CopyUp.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    try await BlockingPool.shared.run { () throws(VolumeError) in
                        let image = try VolumeError.wrapping("test") { () throws(SystemError) in
                            try OwnedFD.open(imagePath, O_RDONLY | O_DIRECTORY)
                        }
                        return try volumes.copyUp(name, from: image, path: "/data")
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results.filter { $0 == .copied }.count == 1)
        #expect(results.filter { $0 == .notEmpty }.count == 7)
        #expect(try fingerprint(volumes.dataPath(of: name)) == fingerprint(scratch.path + "/image/data"))
        #expect(try Files.list(scratch.path + "/volumes") == ["data"])
    }

    @Test func `what a crash left is swept and volumes stay`() throws {
        let scratch = try Scratch()
        let volumes = LocalVolumes(directory: scratch.path)
        let name = try VolumeName("kept")
        try volumes.create(name)
        try volumes.create(name)
        try shell("mkdir -p '\(scratch.path)/.staging-1/_data/x'; echo 1 > '\(scratch.path)/.staging-1/_data/x/y'")
        try volumes.sweep()
        #expect(try Files.list(scratch.path) == ["kept"])
        try volumes.remove(name)
        try volumes.remove(name)
        #expect(try Files.list(scratch.path).isEmpty)
    }
}
