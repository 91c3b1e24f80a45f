import Glibc
import Kernel

@testable import LayerFS

/// A private directory under /var/tmp, removed at the end of its life.
final class ScratchDirectory {
    let path: String
    init() throws {
        path = "/var/tmp/ingest-test-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        try Files.makeDirectories(path + "/layer")
    }
    deinit { try? Files.removeTree(path) }
    var files: LayerFiles { LayerFiles(directory: path + "/layer") }
    var partial: String { path + "/partial" }

    /// What is left here, on the disk and open in this process, but for the empty directory of the layer.
    func residue() throws -> [String] {
        let names = try Files.list(path).filter { $0 != "layer" } + Files.list(files.directory).map { "layer/" + $0 }
        let open = try Files.list("/proc/self/fd").compactMap {
            try? OwnedFD.open("/proc/self/fd", O_RDONLY).linkTarget(of: $0)
        }
        return names + open.filter { $0.hasPrefix(path + "/") }.map { "open: " + $0 }
    }
}

extension OwnedFD {
    /// The target of a symbolic link in this directory.
    fileprivate borrowing func linkTarget(of name: String) throws -> String {
        String(decoding: try open(node: Array(name.utf8), NodeAccess.path).linkTarget(), as: UTF8.self)
    }
}

/// Puts `bytes` into an ingest in whatever parts it takes.
func send(_ bytes: [UInt8], to ingest: LayerIngest) async throws {
    var index = 0
    while index < bytes.count {
        index += try bytes.withUnsafeBytes { try ingest.offer(UnsafeRawBufferPointer(rebasing: $0[index...])) }
        if index < bytes.count { try await ingest.waitUntilReady() }
    }
}

/// Stores one layer from its bytes as they would come from the network.
@discardableResult
func ingested(_ bytes: [UInt8], _ request: IngestRequest) async throws -> IngestedLayer {
    let ingest = try LayerIngest(request)
    do { try await send(bytes, to: ingest) } catch {
        await ingest.cancel()
        throw error
    }
    return try await ingest.finish()
}

/// Compresses `bytes` in one go.
func compressed(_ bytes: [UInt8], _ compression: Compression) throws -> [UInt8] {
    switch compression {
    case .bzip2: return try piped("/usr/bin/bzip2", ["-c"], bytes)
    case .xz: return try piped("/usr/bin/xz", ["-c"], bytes)
    case .identity, .gzip, .zstd: break
    }
    var encoder = try Encoder(compression)
    var result: [UInt8] = []
    try bytes.withUnsafeBytes { raw in
        try encoder.write(raw) { (part: UnsafeRawBufferPointer) throws(LayerError) in result.append(contentsOf: part) }
    }
    try encoder.finish { (part: UnsafeRawBufferPointer) throws(LayerError) in result.append(contentsOf: part) }
    return result
}

/// What `program` makes of `bytes` on its standard input.
func piped(_ program: String, _ arguments: [String], _ bytes: [UInt8]) throws -> [UInt8] {
    let scratch = try ScratchDirectory()
    try Files.replace(scratch.path + "/in", with: bytes)
    let input = try OwnedFD.open(scratch.path + "/in", O_RDONLY)
    let output = try OwnedFD.open(scratch.path + "/out", O_RDWR | O_CREAT, mode: 0o600)
    try ran(program, arguments, [input.raw, output.raw, 2])
    return try Files.read(scratch.path + "/out")
}

/// Runs a program to its end.
///
/// - Throws: `SystemError` when it does not end with 0.
func ran(_ program: String, _ arguments: [String], _ descriptors: [CInt] = [0, 2, 2]) throws(SystemError) {
    let pid = try Spawn.run(program, arguments, descriptors: descriptors)
    var status: CInt = 0
    try checked("waitpid") { waitpid(pid, &status, 0) }
    guard status == 0 else { throw SystemError(program, EIO, arguments.joined(separator: " ")) }
}
