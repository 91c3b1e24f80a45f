/// What a client would like of a server that need not heed it (`Prefer`, RFC 7240).
package enum Preference {
    /// The bytes of a blob from the registry itself, which may have sent the client to other servers.
    package static let direct = "respond-directly"
}
