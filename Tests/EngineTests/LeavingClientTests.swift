import Foundation
import Testing

/// Clients that do not wait for their answers.
@Suite(.serialized)
struct LeavingClientTests {
    /// More at once than the engine has threads for calls that block.
    private static let clients = 64

    /// Each asks for an archive and leaves: some before the head, some after the beginning of the body.
    private static let script = """
        import socket, sys
        for number in range(int(sys.argv[2])):
            client = socket.socket(socket.AF_UNIX)
            client.connect(sys.argv[1])
            client.sendall(b"GET " + sys.argv[3].encode() + b" HTTP/1.1\\r\\nHost: d\\r\\n\\r\\n")
            if number % 2: client.recv(1000)
            client.close()
        """

    @Test(arguments: ["/containers/still/export", "/images/box/get", "/containers/still/archive?path=/"])
    func `archives that nobody takes hold no thread and no pipe`(_ path: String) throws {
        let lab = try Lab()
        try lab.docker("create", "--network", ["none", "--name", "still", try lab.loadedImage(), "true"])
        func pipes() throws -> Int {
            let folder = "/proc/\(lab.daemonPID)/fd"
            return try FileManager.default.contentsOfDirectory(atPath: folder).count { name in
                // One that closed meanwhile is none.
                ((try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\(name)")) ?? "")
                    .hasPrefix("pipe:")
            }
        }
        let before = try pipes()
        for _ in 0..<2 {
            let left = try Lab.run(
                "/usr/bin/env",
                ["python3", "-c", Self.script, lab.directory + "/docker.sock", "\(Self.clients)", path])
            #expect(left.code == 0, "\(left.err)")
        }
        // Needs a thread, and gets one.
        #expect(try lab.docker("ps", "-as").text.contains("still"))
        #expect(try lab.docker("export", "-o", [lab.directory + "/whole.tar", "still"]).code == 0)
        let areGone = try soon(60) { try pipes() <= before }
        let after = try pipes()
        #expect(areGone, "\(after) pipes, \(before) before")
    }
}
