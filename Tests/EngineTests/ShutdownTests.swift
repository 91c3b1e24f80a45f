import Foundation
import Testing

/// A daemon that is told to end.
@Suite(.serialized)
struct ShutdownTests {
    @Test func `SIGTERM ends the daemon in order, and its containers go on under the next`() throws {
        let pidFile = "/var/tmp/docker-pid-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        defer { unlink(pidFile) }
        let lab = try Lab(configuration: #"{"pidfile": "\#(pidFile)"}"#)
        let image = try lab.pulledImage()
        try lab.docker("network", "create", ["kept"])
        defer {
            _ = try? lab.docker("rm", "-f", ["still"])
            _ = try? lab.docker("network", "rm", ["kept"])
        }
        let flags = ["--name", "still", "--network", "kept"]
        #expect(try lab.docker("run", "-d", flags + [image, "sleep", "3600"]).code == 0)
        #expect(FileManager.default.fileExists(atPath: pidFile))

        // A client that stays would hold the end up for some seconds, and no longer.
        let follower = Process()
        follower.executableURL = URL(filePath: Lab.binaries + "/docker")
        follower.arguments = ["logs", "-f", "still"]
        follower.environment = lab.environment
        follower.standardOutput = FileHandle.nullDevice
        follower.standardError = FileHandle.nullDevice
        try follower.run()
        defer { kill(follower.processIdentifier, SIGKILL) }

        let end = try #require(lab.endDaemon())
        #expect(end.reason == .exit && end.status == 0)
        #expect(!FileManager.default.fileExists(atPath: pidFile))

        try lab.startDaemon()
        #expect(try lab.docker("exec", "still", ["cat", "/proc/self/comm"]).out == "cat\n")
        #expect(try lab.docker("ps", "--format", ["{{.Names}}"]).out == "still\n")
        #expect(try #require(lab.endDaemon()).status == 0)
        try lab.startDaemon()
    }
}
