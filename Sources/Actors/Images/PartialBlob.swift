import Glibc
import Kernel
import LayerFS
import OCI
import Registry

/// The beginning of one layer's compressed bytes, kept when a download is cut so that the next one goes on behind it.
///
/// Named after blob and diff ID, as the flights of layers are: a false image that claims an honest one's blob for
/// another
/// layer writes a file of its own.
struct PartialBlob: Sendable {
    let path: String
    private let whole: String

    init(_ blob: Digest, of diffID: Digest, in layers: LayerStore) {
        path = "\(layers.partialPath(blob))-\(diffID.hex)"
        whole = layers.blobPath(blob)
    }

    /// Begins with the whole blob where it lies there already: a crash came between the layer and its image.
    /// It is verified like any other beginning.
    func adopt() {
        guard !exists else { return }
        // Mostly there is none; then the bytes come from the registry.
        _ = link(whole, path)
    }

    var exists: Bool { Files.exists(path) }

    /// Gives the whole, verified blob its name.
    func complete() throws(SystemError) {
        try checked("rename", whole) { rename(path, whole) }
        // Of two names of one file rename(2) removes neither.
        unlink(path)
    }

    /// Removes what is not worth keeping after `error`: nothing at all, wrong bytes, or bytes that hold the last space of a full
    /// disk.
    func settle(after error: any Error) {
        var status = stat()
        let isWrong = LayerDownload.isOfBytes(error)
        guard lstat(path, &status) == 0,
            status.st_size == 0 || isWrong || (error as? LayerError)?.isForSpace == true
        else { return }
        unlink(path)
    }

    /// Seconds after which a file that nobody wrote to belongs to no download any more: time-outs are shorter.
    private static let abandonedAfter = 600

    /// Removes what interrupted downloads left.
    ///
    /// - Returns: bytes freed.
    static func removeAbandoned(in directory: String) throws(SystemError) -> Int64 {
        var freed: Int64 = 0
        for name in try Files.list(directory) {
            var status = stat()
            let path = "\(directory)/\(name)"
            guard lstat(path, &status) == 0, status.st_mtim.tv_sec + abandonedAfter < time(nil) else { continue }
            if unlink(path) == 0 { freed += Int64(status.st_size) }
        }
        return freed
    }
}
