import NIOHTTP1
package import OCI

extension RegistryClient {
    /// True when the repository has the manifest that `reference` names.
    package func hasManifest(
        _ reference: Reference, credentials: Credentials? = nil
    ) async throws(RegistryError) -> Bool {
        try await succeeds(.HEAD, reference, scope: Access.pull(reference.path), credentials)
    }

    /// Deletes what `reference` names: a tag, or a manifest where it has no tag.
    ///
    /// - Returns: false when it was not there.
    package func deleteManifest(
        _ reference: Reference, credentials: Credentials? = nil
    ) async throws(RegistryError) -> Bool {
        try await succeeds(.DELETE, reference, scope: "repository:\(reference.path):delete", credentials)
    }

    private func succeeds(
        _ method: HTTPMethod, _ reference: Reference, scope: String, _ credentials: Credentials?
    ) async throws(RegistryError) -> Bool {
        let endpoint = try configuration.origin(of: reference.domain)
        var request = Request()
        request.method = method
        request.headers.add(
            name: "accept", value: (MediaType.manifests + MediaType.indexes).joined(separator: ", "))
        let name = reference.tag ?? reference.digest?.description ?? ""
        do throws(RegistryError) {
            _ = try await exchange(
                request, to: .path(Routes.manifest(reference.path, name)), Access(endpoint, [scope], credentials),
                bytesMax: configuration.limits.errorBytesMax)
            return true
        } catch {
            guard error.code == .notFound || error.code == .manifestUnknown else { throw error.from(endpoint) }
            return false
        }
    }
}
