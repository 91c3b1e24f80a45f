import Foundation
import Testing

struct AdminTests {
    @Test("garbage is collected when the operator asks, and nobody else may ask")
    func collects() throws {
        let lab = try RegistryLab(["--gc-grace", "0s", "--gc-interval", "1h"])
        try lab.push(Array("nobody names this".utf8), to: "a/b")
        // The grace is counted in whole seconds.
        sleep(2)
        let done = try lab.operate(["gc"])
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
        let refused = try lab.operate(["gc"])
        #expect(refused.status == 1)
        #expect(refused.err.hasPrefix("docker-registry: cannot reach the registry"), "\(refused)")
        try FileManager.default.removeItem(atPath: lab.directory + "/data/admin.sock")
        let absent = try lab.operate(["gc"])
        #expect(absent.status == 1 && absent.err.contains("no registry runs over this folder"), "\(absent)")
    }
}
