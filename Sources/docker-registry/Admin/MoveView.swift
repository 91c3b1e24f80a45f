import FoundationEssentials
import Glibc
import OCI
import RegistryServer
import RegistryStore
import ServerProcess

/// Shows how far a move of blobs is: a line that changes on a terminal, lines of JSON elsewhere.
struct MoveView {
    private let isTerminal = isatty(STDOUT_FILENO) == 1
    private var isDrawn = false

    mutating func show(_ line: AdminAPI.MoveLine) throws {
        guard isTerminal else { return write(String(decoding: try JSONEncoder().encode(line), as: UTF8.self) + "\n") }
        if let progress = line.blobs {
            write("\r\u{1b}[K" + Self.text(progress))
            isDrawn = true
        } else if isDrawn {
            write("\n")
            isDrawn = false
        }
    }

    /// Seen when it is written, whatever stdout is.
    private func write(_ text: String) {
        print(text, terminator: "")
        fflush(nil)
    }

    private static func text(_ progress: BlobMove.Progress) -> String {
        var text = """
            \(progress.blobs) of \(progress.blobsTotal) blobs, \(ByteCount.text(progress.bytes)) of \
            \(ByteCount.text(progress.bytesTotal)), \(ByteCount.text(progress.bytesPerSecond))/s
            """
        if let seconds = progress.secondsLeft { text += ", \(clock(seconds)) left" }
        if progress.damaged > 0 { text += ", \(progress.damaged) damaged" }
        return text
    }

    /// `1:02:03`.
    private static func clock(_ seconds: Int64) -> String {
        func padded(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(seconds / 3600):\(padded(seconds / 60 % 60)):\(padded(seconds % 60))"
    }
}
