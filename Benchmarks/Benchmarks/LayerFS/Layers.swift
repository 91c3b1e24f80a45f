import Benchmark
import Foundation
import Kernel
import LayerFS
import OCI

/// A layer of many small files, as bytes on their way in and as files of the store.
struct SampleLayer: Sendable {
    static let fileCount = 20_000
    private static let contentBytes = 4096

    let tar: [UInt8]
    let directory: String

    /// Made in a directory of its own below `TMPDIR`, which the process leaves to whoever cleans that.
    init() throws {
        directory = (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/layer-benchmarks"
        try? Files.removeTree(directory)
        try Files.makeDirectories(directory)
        tar = try Self.archive(in: directory)
    }

    private static func archive(in directory: String) throws -> [UInt8] {
        var random = SystemRandomNumberGenerator()
        let words = (0..<256).map { _ in Array("word\(random.next() % 5000) ".utf8) }
        let content = (0..<contentBytes / 4).flatMap { _ in words[Int(random.next() % 256)] }.prefix(contentBytes)
        let path = directory + "/content"
        try Files.replace(path, with: Array(content))
        let file = try OwnedFD.open(path, O_RDONLY)
        let output = Output()
        var writer = TarWriter { bytes in output.bytes.append(contentsOf: bytes) }
        for number in 0..<fileCount {
            var entry = LayerEntry(path: Array("usr/lib/package\(number / 100)/module\(number).py".utf8), kind: .file)
            entry.mode = 0o644
            entry.size = UInt64(contentBytes)
            try writer.append(entry, content: file)
        }
        try writer.finish()
        return output.bytes
    }

    /// Grows while the archive is written, by one thread.
    private final class Output { var bytes: [UInt8] = [] }

    func compressed(_ compression: Compression) throws -> [UInt8] {
        let output = Output()
        var encoder = try Encoder(compression)
        let sink: Encoder.Sink = { bytes in output.bytes.append(contentsOf: bytes) }
        try tar.withUnsafeBytes { (bytes) throws -> Void in try encoder.write(bytes, sink) }
        try encoder.finish(sink)
        return output.bytes
    }

    /// A fresh directory for one layer or chain.
    func fresh(_ name: String) throws -> String {
        let path = "\(directory)/\(name)"
        try? Files.removeTree(path)
        try Files.makeDirectories(path)
        return path
    }

    /// Sends bytes through a whole ingest, durable at the end.
    func ingest(_ bytes: [UInt8]) async throws -> LayerFiles {
        let files = LayerFiles(directory: try fresh("layer"))
        let ingest = try LayerIngest(IngestRequest(files: files))
        var offset = 0
        while offset < bytes.count {
            let end = min(bytes.count, offset + Self.pieceBytes)
            let piece = Array(bytes[offset..<end])
            try await piece.withUnsafeBytesAsync { try await ingest.write($0) }
            offset = end
        }
        _ = try await ingest.finish()
        return files
    }

    /// What a registry's connection gives at a time.
    static let pieceBytes = 256 << 10
}

extension Array where Element == UInt8 {
    /// The bytes, for a body that waits; they do not move meanwhile.
    fileprivate func withUnsafeBytesAsync(_ body: (UnsafeRawBufferPointer) async throws -> Void) async throws {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { copy.deallocate() }
        copy.copyBytes(from: self)
        try await body(UnsafeRawBufferPointer(copy))
    }
}

let benchmarks: @Sendable () -> Void = {
    // Without its sample no benchmark can run: the reason is all there is to print.
    guard let sample = try? SampleLayer() else { return print("cannot write below TMPDIR") }
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .cpuTotal, .throughput], scalingFactor: .one, maxDuration: .seconds(4), maxIterations: 200
    )

    Benchmark("Parse/tar/\(SampleLayer.fileCount) files") { benchmark in
        for _ in benchmark.scaledIterations {
            var reader = TarReader(limits: TarLimits(), sparsePath: "\(sample.directory)/sparse")
            var count = 0
            try reader.consume(sample.tar.span) { (_: LayerEntry) throws(LayerError) in count += 1 }
            try reader.finish()
            blackHole(count)
        }
    }
    for compression in [Compression.gzip, .zstd] {
        guard let bytes = try? sample.compressed(compression) else { continue }
        Benchmark("Inflate/\(compression.rawValue)/\(sample.tar.count >> 20) MiB") { benchmark in
            for _ in benchmark.scaledIterations { blackHole(try Inflate.ours(bytes, compression)) }
        }
        Benchmark("Ingest/\(compression.rawValue)/\(sample.tar.count >> 20) MiB") { benchmark in
            for _ in benchmark.scaledIterations { blackHole(try await sample.ingest(bytes)) }
        }
    }
    addInflateBenchmarks(sample)
    Benchmark("Index/erofs/\(SampleLayer.fileCount) files") { benchmark in
        let layer = try await sample.ingest(sample.tar)
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations {
            try ChainBuilder.prepare([layer], with: ErofsDriver(), at: try sample.fresh("chain"))
        }
    }
}
