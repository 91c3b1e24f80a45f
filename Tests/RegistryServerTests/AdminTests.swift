import Foundation
import Testing

struct AdminTests {
    private struct Outcome {
        let status: Int32
        let out: String
        let err: String
    }

    /// Runs `docker registry` over the lab's folder.
    private func operate(_ lab: RegistryLab, _ arguments: [String]) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(filePath: RegistryLab.binaries + "/docker")
        process.arguments = ["registry"] + arguments + ["--data", lab.directory + "/data"]
        let (out, err) = (Pipe(), Pipe())
        process.standardOutput = out
        process.standardError = err
        try process.run()
        let text = String(decoding: out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let errors = String(decoding: err.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return Outcome(status: process.terminationStatus, out: text, err: errors)
    }

    @Test("garbage is collected when the operator asks, and nobody else may ask")
    func collects() throws {
        let lab = try RegistryLab(["--gc-grace", "0s", "--gc-interval", "1h"])
        try lab.push(Array("nobody names this".utf8), to: "a/b")
        // The grace is counted in whole seconds.
        sleep(2)
        let done = try operate(lab, ["gc"])
        #expect(done.status == 0 && done.out == "Removed 1 blobs (17 bytes), ended 0 uploads\n", "\(done)")
        #expect(lab.blobFiles == [])
        let attributes = try FileManager.default.attributesOfItem(atPath: lab.directory + "/data/admin.sock")
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        #expect(try lab.ask("POST", "/gc").status == 404)
    }

    @Test("where no registry runs, the operator is told so")
    func noRegistry() throws {
        let lab = try RegistryLab()
        lab.crash()
        let refused = try operate(lab, ["gc"])
        #expect(refused.status == 1)
        #expect(refused.err.hasPrefix("docker-registry: cannot reach the registry"), "\(refused)")
        try FileManager.default.removeItem(atPath: lab.directory + "/data/admin.sock")
        let absent = try operate(lab, ["gc"])
        #expect(absent.status == 1 && absent.err.contains("no registry runs over this folder"), "\(absent)")
    }
}
