import AsyncHTTPClient
import Foundation
import NIOCore
import OCI
import Testing
import VolumeDrivers

/// The protocol, with a driver that is as bad as a test wants it.
@Suite(.serialized)
struct VolumeDriversTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()

    /// A driver in a folder of its own; both go with the value.
    final class Running: Sendable {
        let folder = (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/driver-\(UUID().uuidString)"
        private let process = Process()
        private let client: HTTPClient
        let driver: VolumeDriver

        init(patience: VolumeDriver.Patience = VolumeDriver.Patience()) throws {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let socket = folder + "/test.sock"
            process.executableURL = root.appending(path: "Support/volume-driver")
            process.arguments = [socket, folder]
            try process.run()
            client = VolumeDriver.client(patience)
            driver = VolumeDriver(
                "test", at: try DriverAddress("unix://" + socket, driver: "test"), client: client, patience: patience)
        }

        func behave(_ lines: String) throws {
            try lines.write(toFile: folder + "/mode", atomically: true, encoding: .utf8)
        }

        func end() async throws {
            try await client.shutdown()
            // Its signals are blocked: a process begins with those of the thread that starts it.
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            try FileManager.default.removeItem(atPath: folder)
        }
    }

    /// Runs `body` with a driver.
    private static func withDriver(
        patience: VolumeDriver.Patience = VolumeDriver.Patience(), _ body: (Running) async throws -> Void
    ) async throws {
        let running = try Running(patience: patience)
        do { try await body(running) } catch {
            try await running.end()
            throw error
        }
        try await running.end()
    }

    @Test func `a volume is made, found, mounted, unmounted and removed`() async throws {
        try await Self.withDriver { running in
            let driver = running.driver
            // The process may not listen yet: connecting waits for it.
            try await driver.activate()
            #expect(try await driver.scope() == "global")
            try await driver.create("data", options: ["size": "10G"])
            let volume = try #require(try await driver.get("data"))
            #expect(volume.name == "data" && volume.mountpoint.isEmpty && volume.created == "2026-01-02T03:04:05Z")
            guard case .object(let options)? = volume.status?["options"], case .string("10G")? = options["size"] else {
                Issue.record("\(String(describing: volume.status))")
                return
            }
            let path = try await driver.mount("data", for: "one")
            #expect(path == running.folder + "/volumes/data")
            #expect(try await driver.path(of: "data") == path)
            #expect(try await driver.list().map(\.name) == ["data"])
            try await driver.unmount("data", for: "one")
            try await driver.remove("data")
            #expect(try await driver.list().isEmpty)
        }
    }

    @Test(arguments: [
        ("error", DriverError.Code.refused, "the disk is on fire"),
        ("status", .refused, "VolumeDriver.Mount: the disk is on fire"),
        ("garbage", .invalid, "the answer to VolumeDriver.Mount is not the JSON that it should be"),
        ("huge", .invalid, "the answer to VolumeDriver.Mount is larger than 8 MiB"),
        ("outside", .invalid, "which is no mountpoint"), ("empty", .invalid, "which is no mountpoint"),
        ("hang", .unreachable, "no answer to VolumeDriver.Mount within 1 seconds"),
        ("die", .unreachable, "VolumeDriver.Mount: the connection ended before the answer"),
    ])
    func `what a driver answers badly is an error that says so`(
        _ mode: String, _ code: DriverError.Code, _ words: String
    ) async throws {
        var patience = VolumeDriver.Patience()
        if mode == "hang" { patience.change = .seconds(1) }
        try await Self.withDriver(patience: patience) { running in
            try await running.driver.activate()
            try await running.driver.create("data", options: [:])
            try running.behave("Mount \(mode)\n")
            do throws(DriverError) {
                let path = try await running.driver.mount("data", for: "one")
                Issue.record("mounted at \(path)")
            } catch {
                #expect(error.code == code && error.message.contains(words), "\(error.code) \(error)")
            }
        }
    }

    @Test func `a driver that is not there is an error after some tries`() async throws {
        var patience = VolumeDriver.Patience()
        patience.connect = .milliseconds(300)
        let client = VolumeDriver.client(patience)
        let driver = VolumeDriver(
            "gone", at: try DriverAddress("unix:///nonexistent/gone.sock", driver: "gone"), client: client,
            patience: patience)
        do throws(DriverError) {
            try await driver.activate()
            Issue.record("it answered")
        } catch { #expect(error.code == .unreachable && error.message.hasPrefix("plugin gone: "), "\(error)") }
        try await client.shutdown()
    }

    @Test func `drivers are found where Docker has them, and by no other name`() throws {
        let folder = (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/specs-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let files = [
            "a.spec": "unix:///run/a.sock\n", "b/b.json": #"{"Name": "b", "Addr": "tcp://127.0.0.1:9000"}"#,
            "tls.json": #"{"Addr": "https://h:1", "TLSConfig": {"CAFile": "/x"}}"#, "bad.json": "{",
            "none.spec": "nowhere", "web.spec": "ftp://x", "readme.txt": "x",
        ]
        for (name, text) in files {
            let path = folder + "/" + name
            try FileManager.default.createDirectory(
                atPath: URL(filePath: path).deletingLastPathComponent().path, withIntermediateDirectories: true)
            try text.write(toFile: path, atomically: true, encoding: .utf8)
        }
        var directories = DriverDirectories()
        directories.sockets = folder + "/nothing"
        directories.specs = [folder]
        #expect(directories.names() == ["a", "b", "bad", "none", "tls", "web"])
        #expect(try directories.address(of: "a") == DriverAddress("unix:///run/a.sock", driver: "a"))
        #expect(try directories.address(of: "b") == DriverAddress("tcp://127.0.0.1:9000", driver: "b"))
        for name in ["c", "", "../a", "a/../a", ".a"] { #expect(try directories.address(of: name) == nil, "\(name)") }
        let refused = [
            ("tls", "TLS to plugins is not supported"), ("bad", "not the JSON of a plugin"),
            ("none", "invalid address nowhere"), ("web", "unknown protocol"),
        ]
        for (name, words) in refused {
            do throws(DriverError) {
                _ = try directories.address(of: name)
                Issue.record("\(name) has an address")
            } catch { #expect(error.code == .invalid && error.message.contains(words), "\(error)") }
        }
    }
}
