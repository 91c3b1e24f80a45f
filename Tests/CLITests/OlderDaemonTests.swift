import Foundation
import Testing

/// A daemon that knows only an older version of the API, as dockerd 20.10 does.
@Suite struct OlderDaemonTests {
    /// These send a body that can be read only once, so that a refused request cannot be sent again.
    @Test(arguments: [
        ("load -i t.tar", "/images/load"), ("import t.tar", "/images/create"), ("cp t.tar c:/", "/archive"),
    ])
    func `what sends a stream sends it once, with the version of the daemon`(line: String, path: String) throws {
        let directory = try StockClient.folder("older")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let daemon = try RecordingDaemon(directory + "/s", apiVersion: "1.41")
        defer { daemon.close() }
        let result = try StockClient.run(StockClient.ours, line, in: directory, host: "unix://\(daemon.path)")
        #expect(result.code == 0, "\(result.errors)")
        let uploads = daemon.take().filter { $0.path.hasSuffix(path) && !$0.body.isEmpty }
        #expect(uploads.map(\.version) == ["1.41"])
    }
}
