import Glibc
import Kernel
import LayerFS

/// A private directory under /var/tmp, removed at the end of its life.
final class ScratchDirectory {
    let path: String
    init() throws {
        path = "/var/tmp/ingest-test-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        try Files.makeDirectories(path + "/layer")
    }
    deinit { try? Files.removeTree(path) }
    var files: LayerFiles { LayerFiles(directory: path + "/layer") }
}

/// Compresses `bytes` in one go.
func compressed(_ bytes: [UInt8], _ compression: Compression) throws -> [UInt8] {
    var encoder = try Encoder(compression)
    var result: [UInt8] = []
    try bytes.withUnsafeBytes { raw in
        try encoder.write(raw) { (part: UnsafeRawBufferPointer) throws(LayerError) in result.append(contentsOf: part) }
    }
    try encoder.finish { (part: UnsafeRawBufferPointer) throws(LayerError) in result.append(contentsOf: part) }
    return result
}
