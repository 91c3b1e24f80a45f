import Foundation
import Testing

/// Pulls from registries whose bytes are to come from servers that are trusted with nothing.
@Suite struct RedirectTests {
    private let own: FaultyRegistry
    private let mirror: FaultyRegistry
    private let layer: (digest: String, size: Int)

    private static let stockClient: String? = ["/usr/local/bin/docker", "/usr/bin/docker"].first { path in
        (try? Lab.run(path, ["--version"]).out.hasPrefix("Docker version 28")) ?? false
    }

    init() throws {
        (own, mirror) = (try FaultyRegistry(), try FaultyRegistry())
        layer = try #require(try own.layers("good-single").first)
    }

    private func address(_ registry: FaultyRegistry) -> String {
        "http://\(registry.authority)/v2/x/blobs/\(layer.digest)?signature=hunter3"
    }

    /// Redirects to the mirror, and tells of others, whoever does not want the registry's own bytes.
    private func redirect(_ others: [FaultyRegistry] = []) throws {
        let links = others.enumerated().map { "<\(address($1))>; rel=duplicate; pri=\($0 + 1)" }.joined(separator: ", ")
        let headers = #"{"Location": "\#(address(mirror))", "Link": "\#(links)"}"#
        try own.obey([#"{"path": "\#(layer.digest)", "unless": "prefer", "status": 307, "headers": \#(headers)}"#])
    }

    private func blobs(_ registry: FaultyRegistry) throws -> [FaultyRegistry.Served] {
        try registry.served().filter { $0.target.contains(layer.digest) }
    }

    private func log(_ lab: Lab) throws -> String {
        try String(contentsOfFile: lab.directory + "/dockerd.log", encoding: .utf8)
    }

    @Test(
        arguments: [
            (#""flip": true"#, "has sent bytes that do not match"),
            (#""endless": true"#, "has sent bytes that do not match"),
            (#""truncate": 1000"#, "has answered with something else than"), (#""cut": 1000"#, "has ended before"),
            (#""status": 404"#, "does not have"), (#""status": 500"#, "has failed to give"),
            (#""stall": 1000"#, "was silent or slow for too long"),
            (#""status": 401, "headers": {"WWW-Authenticate": "Basic realm=\"x\""}"#, "does not give"),
        ])
    func `a mirror that fails is named to the user and in the log, and the registry gives its bytes`(
        _ rule: String, _ words: String
    ) throws {
        try redirect()
        try mirror.obey([#"{"path": "\#(layer.digest)", \#(rule)}"#])
        let lab = try Lab()
        let pulled = try lab.docker("pull", own.image("good-single"))
        #expect(pulled.code == 0, "\(pulled.err)")
        let name = "mirror http://\(mirror.authority) \(words)"
        #expect(pulled.out.contains(name), "\(pulled.out)")
        #expect(try log(lab).contains(name))
        #expect(!pulled.out.contains("hunter3"))
        #expect(try !log(lab).contains("hunter3"))
        #expect(try blobs(mirror).count == 1)
        #expect(try lab.partialBytes().isEmpty)
        #expect(try lab.docker("rmi", own.image("good-single")).code == 0)
    }

    @Test(.enabled(if: stockClient != nil, "needs Docker's client 28"))
    func `Docker's own client shows who was bad, and the image comes from the next`() throws {
        let (cutting, good) = (try FaultyRegistry(), try FaultyRegistry())
        try redirect([cutting, good])
        try mirror.obey([#"{"path": "\#(layer.digest)", "flip": true}"#])
        try cutting.obey([#"{"path": "\#(layer.digest)", "cut": 5000000}"#])
        let lab = try Lab()
        let pulled = try Lab.run(
            Self.stockClient ?? "", ["pull", own.image("good-single")], environment: lab.environment)
        #expect(pulled.code == 0, "\(pulled.err)")
        #expect(
            pulled.out.contains("mirror http://\(mirror.authority) has sent bytes that do not match \(layer.digest)"))
        #expect(pulled.out.contains("mirror http://\(cutting.authority) has ended before \(layer.digest) was whole"))
        #expect(try blobs(good).map(\.start) == [5_000_000])
        #expect(try blobs(own).allSatisfy { $0.sent == 0 }, "the bytes come from elsewhere")
        #expect(try lab.partialBytes().isEmpty)
    }

    @Test func `servers that a registry announces are asked first, and who lies is asked once`() throws {
        let good = try FaultyRegistry()
        try own.obey([
            #"{"path": "/manifests/", "headers": {"X-Docker-Endpoints": "http://\#(mirror.authority), http://\#(good.authority)/some/prefix"}}"#
        ])
        try mirror.obey([#"{"path": "/blobs/", "flip": true}"#])
        let lab = try Lab(configuration: #"{"max-concurrent-downloads": 1}"#)
        let pulled = try lab.docker("pull", own.image("good-large"))
        #expect(pulled.code == 0, "\(pulled.err)")
        #expect(
            pulled.out.contains("mirror http://\(mirror.authority) has sent bytes that do not match"), "\(pulled.out)")
        func isBlob(_ served: FaultyRegistry.Served) -> Bool { served.target.contains("/blobs/") }
        // The configuration comes first.
        #expect(try mirror.served().filter(isBlob).count == 1)
        #expect(try good.served().filter(isBlob).count == own.layers("good-large").count + 1)
        #expect(try good.served().allSatisfy { $0.target.hasPrefix("/v2/some/prefix/hostile/blobs/") })
        #expect(try own.served().filter(isBlob).isEmpty)
    }

    @Test(arguments: ["auto", "never"]) func `a beginning that a liar left is thrown away whole`(_ keepBlobs: String)
        throws
    {
        let good = try FaultyRegistry()
        try redirect([good])
        // Wrong in its middle, and cut behind it: the archive's end alone tells.
        try mirror.obey([#"{"path": "\#(layer.digest)", "flip": true, "cut": 20000000}"#])
        let lab = try Lab(configuration: #"{"keep-blobs": "\#(keepBlobs)"}"#)
        let pulled = try lab.docker("pull", own.image("good-large"))
        #expect(pulled.code == 0, "\(pulled.err)")
        #expect(try blobs(mirror).count == 1)
        #expect(try (blobs(good) + blobs(own)).contains { $0.start == 0 && $0.sent == layer.size })
        #expect(try lab.partialBytes().isEmpty)
        let hash = try lab.docker(
            "run", "--rm", ["--network", "none", own.image("good-large"), "/bin/busybox", "sha256sum", "/noise"])
        #expect(hash.out.hasPrefix(HostileRegistryTests.noise), "\(hash.err)")
    }
}
