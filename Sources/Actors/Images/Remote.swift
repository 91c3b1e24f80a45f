import Kernel
package import OCI
package import Registry

/// What a registry has under a name (`docker manifest`, `GET /distribution/{name}/json`).
package struct RemoteImage: Sendable {
    package let mediaType: String
    package let digest: Digest
    /// Bytes of the manifest or index.
    package let size: Int64
    package let platforms: [Platform]
}

extension ImageStore {
    /// Looks a reference up at its registry.
    ///
    /// - Throws: `RegistryError` as it came: who may not look is told so, though a pull calls such an image not found.
    package nonisolated func resolveRemote(_ reference: Reference, credentials: Credentials?) async throws
        -> RemoteImage
    {
        let image = try await client.resolve(reference, platform: .host, credentials: credentials)
        return RemoteImage(
            mediaType: image.index?.mediaType ?? image.mediaType, digest: image.referenceDigest,
            size: Int64(image.index?.bytes.count ?? image.manifestBytes.count), platforms: [.host])
    }

    /// Asks the index that a term begins with, or Docker Hub's.
    package nonisolated func search(
        _ term: String, limit: Int, withTags: Bool, credentials: Credentials?
    ) async throws -> [RegistryClient.SearchResult] {
        try await client.search(term, limit: limit, withTags: withTags, credentials: credentials)
    }

    /// Tries credentials (`docker login`).
    ///
    /// - Returns: an identity token to be kept instead of the password, where the registry gives one.
    package nonisolated func checkAuth(serverAddress: String, credentials: Credentials) async throws -> String? {
        do {
            let login = try await client.checkAuth(serverAddress: serverAddress, credentials: credentials)
            return login.identityToken.isEmpty ? nil : login.identityToken
        } catch { throw Self.told(error) }
    }
}
