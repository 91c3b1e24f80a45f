import Foundation
import Glibc
import Kernel
import Testing

@testable import LayerFS

/// Runs `script` in sh; its output. Fails the test when the script fails.
@discardableResult
func archiveShell(_ script: String) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-euc", script]
    let output = Foundation.Pipe()
    process.standardOutput = output
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0, "\(script)")
    return String(decoding: data, as: UTF8.self)
}

/// A scratch directory that unmounts and removes itself.
struct ArchiveScratch: ~Copyable {
    let path: String
    init() throws {
        path = (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/archive-" + UUID().uuidString
        try Files.makeDirectories(path)
    }
    deinit {
        umount2(path + "/merged", CInt(MNT_DETACH))
        try? Files.removeTree(path)
    }

    func directory(_ name: String) throws(SystemError) -> OwnedFD {
        try OwnedFD.open(path + "/" + name, O_RDONLY | O_DIRECTORY)
    }

    /// Sets an extended attribute.
    func mark(_ name: String, _ attribute: String, _ value: String) throws(SystemError) {
        let object = try OwnedFD.open(path + "/" + name, O_RDONLY)
        try object.setAttribute(NodeAttribute(name: Array(attribute.utf8), value: Array(value.utf8)))
    }

    func attribute(_ name: String, _ attribute: String) throws(SystemError) -> [UInt8]? {
        try OwnedFD.open(path + "/" + name, O_RDONLY).attribute(Array(attribute.utf8))
    }

    /// Everything about a tree that an archive must keep, one line an object.
    func fingerprint(_ name: String) throws -> String {
        try archiveShell(
            """
            cd '\(path)/\(name)'; find . -mindepth 1 -printf '%p %y %m %U %G %T@ %n %l\\n' | sort
            find . -type f | sort | xargs -r -d '\\n' sha256sum
            """)
    }
}

/// Collects an archive into a file.
func writeArchive(_ path: String, _ body: (@escaping TarWriter.Sink) throws(LayerError) -> Void) throws {
    let raw = try OwnedFD.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600).release()
    defer { close(raw) }
    try body { (bytes) throws(LayerError) in
        var rest = bytes
        while !rest.isEmpty {
            let count = write(raw, rest.baseAddress, rest.count)
            guard count > 0 else { throw LayerError(.system, "write") }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }
}

/// Extracts the archive file into `path` of `root`.
func extractArchive(
    _ archive: String, root: consuming OwnedFD, path: String = "/", options: ExtractOptions = ExtractOptions()
) throws {
    let input = try OwnedFD.open(archive, O_RDONLY)
    let raw = input.raw
    let extraction = try ArchiveExtraction(root: root, path: path, options: options, scratchPath: archive + ".scratch")
    try extraction.run { (buffer) throws(LayerError) in
        // Odd pieces, so that blocks and headers are cut anywhere.
        let count = read(raw, buffer.baseAddress, min(buffer.count, 10007))
        guard count >= 0 else { throw LayerError(.system, "read") }
        return count
    }
    _ = consume input
}
