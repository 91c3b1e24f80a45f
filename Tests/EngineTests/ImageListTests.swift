import Foundation
import Testing

/// `docker images --tree` beside Docker's own client, at the same daemon.
@Suite(.serialized)
final class ImageListTests {
    private static let stock: String? = ["/usr/local/bin/docker", "/usr/bin/docker"].first { path in
        (try? Lab.run(path, ["--version"]).out.hasPrefix("Docker version 28.2")) ?? false
    }

    @Test(.enabled(if: ImageListTests.stock != nil, "needs Docker's client 28.2"))
    func `the tree is Docker's, in files and on terminals of any width`() throws {
        let lab = try Lab()
        let image = try lab.loadedImage()
        try lab.docker("tag", image, "other/name:with-a-tag-of-some-length")
        var lines = ["--tree", "--tree -a", "--tree none", "--tree -q", "--tree --digests", "--tree --no-trunc"]
        lines.append("--tree --format json")
        for line in lines {
            func said(_ program: String) throws -> Lab.Output {
                try Lab.run(
                    program, ["images"] + line.split(separator: " ").map(String.init), environment: lab.environment)
            }
            let (ours, stock) = (try said(Lab.binaries + "/docker"), try said(Self.stock ?? ""))
            #expect(ours.out == stock.out && ours.err == stock.err && ours.code == stock.code, "\(line)")
        }
        for columns in [100, 60, 40, 20] {
            func drawn(_ program: String) throws -> String {
                let command = "stty cols \(columns); \(program) images --tree"
                return try Lab.run("/usr/bin/script", ["-qec", command, "/dev/null"], environment: lab.environment).out
            }
            #expect(try drawn(Lab.binaries + "/docker") == drawn(Self.stock ?? ""), "\(columns) columns")
        }
        // Docker's client of this version is not told of containers, by its version of the API.
        try lab.docker("create", "--name", ["one", "--network", "none", image])
        let used = try lab.docker("images", "--tree").out.split(separator: "\n").last ?? ""
        #expect(used.hasSuffix("   U    "), "\(used)")
        #expect(try lab.docker("images", "--tree", "--quiet").code == 1)
    }
}
