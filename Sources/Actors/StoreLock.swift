import Glibc
import Kernel

/// One daemon per data root: an flock(2) held as long as this lives.
package final class StoreLock: Sendable {
    private let file: OwnedFD

    private init(_ file: consuming OwnedFD) { self.file = file }

    /// - Throws: ``EngineError`` when another daemon holds it.
    static func take(_ root: String) throws -> StoreLock {
        let file = try OwnedFD.open(root + "/lock", O_RDWR | O_CREAT, mode: 0o600)
        guard flock(file.raw, LOCK_EX | LOCK_NB) == 0 else {
            throw EngineError(
                .conflict, "another daemon uses \(root): stop it, or start this one with another --data-root")
        }
        return StoreLock(file)
    }
}
