import OCI

/// Whether a server that is trusted with nothing is worth waiting for: who drips cannot hold a download for ever. What counts is the
/// time that is spent waiting for it, not what its bytes take afterwards.
struct SourcePace: Sendable {
    private let patience: RegistryConfiguration.Patience
    private var waited = Duration.zero
    private var byteCount: Int64 = 0

    init(_ patience: RegistryConfiguration.Patience) { self.patience = patience }

    /// Another body begins.
    mutating func begin() { (waited, byteCount) = (.zero, 0) }

    /// - Throws: `RegistryError` (`timeout`) when less than ``RegistryConfiguration/Patience/progressBytes`` came in
    ///   ``RegistryConfiguration/Patience/idle``.
    mutating func check(_ count: Int, waited duration: Duration, _ digest: Digest) throws(RegistryError) {
        waited += duration
        byteCount += Int64(count)
        if byteCount >= patience.progressBytes { return begin() }
        guard waited > patience.idle else { return }
        throw RegistryError(.timeout, "the bytes of blob \(digest) come too slowly")
    }
}
