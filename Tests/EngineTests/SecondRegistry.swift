import Foundation

/// A registry of ours beside a lab's, with a configuration of its own.
final class SecondRegistry: Sendable {
    let address: String
    private let folder: String
    private let process: Process
    /// Its files are in the lab's directory, which goes after it.
    private let lab: Lab

    /// - Parameters:
    ///   - configuration: as the file of `--config` has it.
    ///   - port: a free one.
    init(_ configuration: String, port: Int, beside lab: Lab) throws {
        self.lab = lab
        address = "127.0.0.1:\(port)"
        folder = "\(lab.directory)/registry-\(port)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try configuration.write(toFile: folder + ".json", atomically: true, encoding: .utf8)
        process = Process()
        process.executableURL = URL(filePath: Lab.binaries + "/docker-registry")
        process.arguments = ["serve", "--addr", address, "--data", folder, "--config", folder + ".json"]
        (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
        try process.run()
        for _ in 0..<1200 where process.isRunning {
            if try get("/healthz").code == 0 { return }
            usleep(50_000)
        }
        process.terminate()
        throw LabFailure("the second registry does not answer")
    }

    deinit {
        process.terminate()
        process.waitUntilExit()
    }

    var blobFiles: [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder + "/blobs/sha256")) ?? []
    }

    func get(_ path: String) throws -> Lab.Output {
        try Lab.run("/usr/bin/curl", ["-fsS", "http://\(address)\(path)"])
    }

    /// The sum of a counter over all its labels.
    func count(_ metric: String) throws -> Int {
        try get("/metrics").out.split(separator: "\n").reduce(0) { sum, line in
            guard line.hasPrefix(metric) else { return sum }
            return sum + (line.split(separator: " ").last.flatMap { Int($0) } ?? 0)
        }
    }
}
