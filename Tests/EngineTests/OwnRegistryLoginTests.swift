import Foundation
import Testing

/// Docker's own client logs in to our registry, by its tokens and by passwords, and does what its account may.
@Suite(.serialized)
final class OwnRegistryLoginTests {
    private static let stock = "/usr/local/bin/docker"

    private let lab: Lab
    private let process = Process()
    private let registry = "127.0.0.1:\(Int.random(in: 40_000...49_999))"

    init() throws { lab = try Lab() }

    deinit {
        guard process.isRunning else { return }
        process.terminate()
        process.waitUntilExit()
    }

    private func start(_ options: [String]) throws {
        process.executableURL = URL(filePath: Lab.binaries + "/docker")
        process.arguments = ["registry", "serve", "--addr", registry, "--data", lab.directory + "/private"] + options
        process.standardError = FileHandle.nullDevice
        try process.run()
        #expect(try soon(60) { try Lab.run("/usr/bin/curl", ["-fs", "http://\(registry)/healthz"]).code == 0 })
    }

    private func operate(_ words: [String], input: String? = nil) throws {
        let done = try Lab.run(
            Lab.binaries + "/docker", ["registry"] + words + ["--data", lab.directory + "/private"], input: input)
        try #require(done.code == 0, "\(words): \(done.err)")
    }

    private func docker(_ words: [String], input: String? = nil) throws -> Lab.Output {
        try Lab.run(Self.stock, words, environment: lab.environment, input: input)
    }

    private func login(_ password: String) throws -> Lab.Output {
        try docker(["login", "-u", "ann", "--password-stdin", registry], input: password + "\n")
    }

    @Test(
        .enabled(if: OwnRegistryTests.hasStockClient, "Docker's own client is not installed"), arguments: [true, false])
    func `Docker's own client logs in, pushes and pulls what its account may`(isToken: Bool) throws {
        try "{\"tokens\":{\"issue\":true}}".write(
            toFile: lab.directory + "/tokens.json", atomically: true, encoding: .utf8)
        try start(isToken ? ["--config", lab.directory + "/tokens.json"] : ["--accounts"])
        try operate(["user", "add", "ann", "--password-stdin"], input: "open sesame\n")
        try operate(["grant", "ann", "team", "pull,push"])
        let image = try lab.pulledImage()
        let (mine, other) = ("\(registry)/team/box:1", "\(registry)/other/box:1")
        for name in [mine, other] { #expect(try docker(["tag", image, name]).code == 0) }
        #expect(try docker(["push", mine]).code != 0)
        #expect(try login("wrong").code != 0)
        let accepted = try login("open sesame")
        #expect(accepted.code == 0 && accepted.out.contains("Login Succeeded"), "\(accepted.err)")
        let pushed = try docker(["push", mine])
        #expect(pushed.code == 0, "\(pushed.err)")
        let refused = try docker(["push", other])
        #expect(refused.code != 0 && refused.err.contains("denied"), "\(refused.err)")
        #expect(try docker(["rmi", mine]).code == 0)
        #expect(try docker(["pull", mine]).code == 0)
        #expect(try docker(["logout", registry]).code == 0)
        #expect(try docker(["pull", mine]).code != 0)
    }
}
