import Foundation
import Synchronization

/// `Tests/Support/faulty-registry` with the images of `Tests/Support/hostile-images`, for as long as the value lives.
final class FaultyRegistry: Sendable {
    private static let scripts = Lab.root.path + "/Tests/Support"

    let directory: String
    let authority: String
    private let process: Process

    /// One reply that ended, as the server tells it.
    struct Served: Decodable, Sendable {
        let method: String
        let target: String
        let headers: [String: String]
        /// Where in the blob the body began, and how many bytes of it the kernel took.
        let start: Int
        let sent: Int
    }

    /// What a tag stands for.
    struct Tag: Decodable, Sendable {
        let digest: String
        let type: String
    }

    init() throws {
        directory =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/faulty-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let made = try Lab.run(Self.scripts + "/hostile-images", [directory])
        guard made.code == 0 else { throw LabFailure(made.err) }
        let output = Pipe()
        process = Process()
        process.executableURL = URL(filePath: Self.scripts + "/faulty-registry")
        process.arguments = [directory]
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.runInterruptibly()
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        authority = "127.0.0.1:" + line.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    deinit {
        process.terminate()
        process.waitUntilExit()
        // A test directory that stays behind harms nothing.
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// The image of a tag, as a user writes it.
    func image(_ tag: String) -> String { "\(authority)/hostile:\(tag)" }

    /// Misbehaves by these rules from now on (`faulty-registry` says what there are).
    func obey(_ rules: [String]) throws {
        try "[\(rules.joined(separator: ","))]".write(
            toFile: directory + "/rules.json", atomically: true, encoding: .utf8)
    }

    /// Every reply that has ended.
    func served() throws -> [Served] {
        guard let text = try? String(contentsOfFile: directory + "/log.jsonl", encoding: .utf8) else { return [] }
        return try text.split(separator: "\n").map { try JSONDecoder().decode(Served.self, from: Data($0.utf8)) }
    }

    func tags() throws -> [String: Tag] {
        try JSONDecoder().decode([String: Tag].self, from: Data(contentsOf: URL(filePath: directory + "/tags.json")))
    }

    /// Digests and sizes of an image's layers, lowest first.
    func layers(_ tag: String) throws -> [(digest: String, size: Int)] {
        struct Manifest: Decodable {
            struct Layer: Decodable {
                let digest: String
                let size: Int
            }
            let layers: [Layer]
        }
        let digest = try tags()[tag]?.digest.split(separator: ":").joined(separator: "/") ?? ""
        let bytes = try Data(contentsOf: URL(filePath: "\(directory)/blobs/\(digest)"))
        return try JSONDecoder().decode(Manifest.self, from: bytes).layers.map { ($0.digest, $0.size) }
    }
}

extension Lab {
    /// Names in a directory below the data root.
    func names(_ directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "\(dataRoot)/\(directory)").sorted()
    }

    /// Bytes of interrupted downloads that are kept.
    func partialBytes() throws -> [Int] {
        // One that has become whole meanwhile has another place.
        try names("blobs/partial").compactMap { name in
            let attributes = try? FileManager.default.attributesOfItem(atPath: "\(dataRoot)/blobs/partial/\(name)")
            return (attributes?[.size] as? NSNumber)?.intValue
        }
    }

    /// True when nothing is left of a pull that failed but beginnings of layers for the next try.
    func holdsNothing() throws -> Bool {
        try docker("images", "-aq").text.isEmpty && names("layers/new").isEmpty && !partialBytes().contains(0)
    }

    /// The daemon's resident memory, in KiB.
    func daemonMemory() throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(daemonPID)/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
        return line.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }.first ?? 0
    }

    /// Starts a command of our CLI without waiting for it.
    func begin(_ arguments: String...) throws -> Process {
        let process = Process()
        process.executableURL = URL(filePath: Self.binaries + "/docker")
        process.arguments = arguments
        process.environment = environment
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.runInterruptibly()
        return process
    }
}

extension Process {
    /// Runs with no signal blocked: the threads of tests block most, and children inherit that.
    func runInterruptibly() throws {
        var (none, before) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try run()
    }
}

/// True as soon as `condition` is, within `seconds`.
func soon(_ seconds: Double = 10, _ condition: () throws -> Bool) rethrows -> Bool {
    let end = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < end {
        if try condition() { return true }
        usleep(20_000)
    }
    return try condition()
}
