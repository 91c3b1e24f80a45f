import Foundation
import Testing

/// `docker cp` to and from a volume, without a container.
@Suite(.serialized)
final class VolumeFilesTests {
    let lab: Lab
    let image: String
    private let folder: String

    init() throws {
        lab = try Lab()
        image = try lab.loadedImage()
        folder = lab.directory + "/files"
        try FileManager.default.createDirectory(atPath: folder + "/tree/sub", withIntermediateDirectories: true)
        try "one".write(toFile: folder + "/tree/sub/file", atomically: true, encoding: .utf8)
        try lab.docker("volume", "create", ["data"])
    }

    private func cp(_ from: String, _ to: String) throws -> Lab.Output { try lab.docker("cp", from, to) }

    private func inVolume(_ script: String) throws -> String {
        try lab.docker("run", "--rm", ["--network", "none", "-v", "data:/v", image, "sh", "-c", script]).text
    }

    @Test func `a tree goes in and comes out as it was`() throws {
        #expect(try cp(folder + "/tree", "vol:data:/").code == 0)
        #expect(try inVolume("cat /v/tree/sub/file; echo two > /v/tree/other; ln -s sub /v/tree/link") == "one")
        #expect(try cp("vol:data:/tree", folder + "/back").code == 0)
        #expect(try String(contentsOfFile: folder + "/back/sub/file", encoding: .utf8) == "one")
        #expect(try String(contentsOfFile: folder + "/back/other", encoding: .utf8) == "two\n")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder + "/back/link") == "sub")
        #expect(try lab.docker("volume", "rm", ["data"]).text == "data")
    }

    @Test func `links in a volume lead nowhere outside of it`() throws {
        _ = try inVolume("ln -s /etc/passwd /v/leak; ln -s /etc /v/out")
        #expect(try cp("vol:data:/leak/.", folder + "/leak").code != 0)
        #expect(try cp("vol:data:/out/passwd", folder + "/leak").code != 0)
        #expect(try cp(folder + "/tree", "vol:data:/out/").code != 0)
        #expect(!FileManager.default.fileExists(atPath: folder + "/leak"))
        #expect(!FileManager.default.fileExists(atPath: "/etc/tree"))
    }

    @Test func `what is not there is said`() throws {
        #expect(try cp("vol:none:/x", folder + "/x").err.contains("get none: no such volume"))
        let missing = try cp("vol:data:/x", folder + "/x")
        #expect(missing.code == 1 && missing.err.contains("Could not find the file /x in volume data"))
        #expect(try lab.docker("volume", "rm", ["data"]).code == 0)
    }
}
