import FoundationEssentials
package import OCI

extension RegistryClient {
    /// All tags of a repository, in the registry's order, over as many pages as it takes.
    ///
    /// - Throws: `RegistryError`: `tooLarge` beyond the limits, `malformed` for pages that lead elsewhere or in a circle.
    package func tags(of reference: Reference, credentials: Credentials? = nil) async throws(RegistryError) -> [String]
    {
        let endpoints = try configuration.endpoints(for: reference.domain).filter(\.resolvesTags)
        return try await each(endpoints, of: reference) { endpoint throws(RegistryError) in
            let name = endpoint.name(of: reference.path)
            let access = Access(endpoint, [Access.pull(name)], credentials)
            var target = Target.path(Routes.tags(name))
            var tags: [String] = []
            var visited: Set<Location> = []
            while true {
                let (reply, body) = try await self.exchange(
                    Request(), to: target, access, bytesMax: self.configuration.limits.tagsPageBytesMax,
                    reference: reference)
                guard visited.insert(reply.location).inserted else {
                    throw RegistryError(.malformed, "the tag pages of \(reference.familiarName) lead in a circle")
                }
                tags += try Self.tags(in: body, reference)
                guard tags.count <= self.configuration.limits.tagsMax else {
                    throw RegistryError(
                        .tooLarge, "\(reference.familiarName) has more than \(self.configuration.limits.tagsMax) tags")
                }
                guard let link = reply.header("link"), let next = Self.nextPage(link) else { return tags }
                guard let location = reply.location.resolving(next), location.hasSameOrigin(as: reply.location) else {
                    throw RegistryError(.malformed, "the tag pages of \(reference.familiarName) lead to another host")
                }
                target = .location(location)
            }
        }
    }

    static func tags(in body: [UInt8], _ reference: Reference) throws(RegistryError) -> [String] {
        struct Page: Decodable { var tags: [String]? }
        let page: Page
        do { page = try JSONDecoder().decode(Page.self, from: Data(body)) } catch {
            throw RegistryError(.malformed, "the tag list of \(reference.familiarName) is malformed", cause: error)
        }
        // A name that is no tag could not be asked for, and must not reach a path.
        return (page.tags ?? []).filter(Reference.isTag)
    }

    /// The target of `<...>; rel="next"` (RFC 8288).
    static func nextPage(_ link: String) -> String? {
        Link.parse(link).first { $0.relations.contains("next") }?.target
    }
}
