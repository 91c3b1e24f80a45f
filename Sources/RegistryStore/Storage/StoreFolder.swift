import Glibc
import Kernel
import OCI

/// The paths of a registry's data, and the only place that makes them:
///
/// ```
/// index.moved                   where the index is that was in index.db; without it that is the index
/// id                            names the folder to a database that has the index of its blobs
/// lock                          held while a registry uses the folder
/// index.db                      SQLite: repositories, manifests, tags, and which blobs they have
/// blobs/sha256/<hex>            blobs by digest, whole and durable
/// blobs/sha512/<hex>
/// quarantine/<algorithm>-<hex>  blobs that were found damaged
/// uploads/<id>                  what has arrived of a blob
/// uploads/<id>.repository       the name of its repository
/// ```
struct StoreFolder: Sendable {
    let root: String

    var lock: String { root + "/lock" }
    var index: String { root + "/index.db" }
    var moved: String { root + "/index.moved" }
    var uploads: String { root + "/uploads" }
    func blobs(_ algorithm: Digest.Algorithm) -> String { "\(root)/blobs/\(algorithm.rawValue)" }
    func blob(_ digest: Digest) -> String { "\(blobs(digest.algorithm))/\(digest.hex)" }
    var quarantine: String { root + "/quarantine" }
    func quarantined(_ digest: Digest) -> String { "\(quarantine)/\(digest.algorithm.rawValue)-\(digest.hex)" }
    func upload(_ id: String) -> String { "\(uploads)/\(id)" }
    func uploadRepository(_ id: String) -> String { "\(uploads)/\(id)\(Self.repositorySuffix)" }

    static let repositorySuffix = ".repository"

    func make() throws(SystemError) {
        for algorithm in Digest.Algorithm.allCases { try Files.makeDirectories(blobs(algorithm)) }
        try Files.makeDirectories(uploads)
        try Files.syncDirectory(of: blobs(.sha256))
        try Files.syncDirectory(of: uploads)
        try Files.syncDirectory(of: root)
    }

    /// flock(2) on the folder, held as long as the descriptor is open.
    func takeLock() throws -> OwnedFD {
        let file = try OwnedFD.open(lock, O_RDWR | O_CREAT, mode: 0o600)
        guard flock(file.raw, LOCK_EX | LOCK_NB) == 0 else {
            throw StoreFailure("another registry uses \(root): stop it, or give this one another folder with --data")
        }
        return file
    }

    /// Bytes of a file; nil when it does not exist.
    static func size(_ path: String) -> Int64? {
        var status = stat()
        return stat(path, &status) == 0 ? Int64(status.st_size) : nil
    }
}
