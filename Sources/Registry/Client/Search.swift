import FoundationEssentials
import OCI

extension RegistryClient {
    /// One repository that an index has found.
    package struct SearchResult: Sendable, Hashable, Decodable {
        package let name: String
        package let description: String
        package let starCount: Int
        package let isOfficial: Bool
        /// Some of its tags, where they were asked for; nil when they are not known.
        package fileprivate(set) var tags: [String]?

        private enum CodingKeys: String, CodingKey {
            case name, description, tags
            case starCount = "star_count"
            case isOfficial = "is_official"
        }

        package init(from decoder: any Decoder) throws {
            let members = try decoder.container(keyedBy: CodingKeys.self)
            name = try members.decode(String.self, forKey: .name)
            description = try members.decodeIfPresent(String.self, forKey: .description) ?? ""
            starCount = try members.decodeIfPresent(Int.self, forKey: .starCount) ?? 0
            isOfficial = try members.decodeIfPresent(Bool.self, forKey: .isOfficial) ?? false
            // What is no tag could not be asked for.
            tags = try members.decodeIfPresent([String].self, forKey: .tags)?.filter(Reference.isTag)
        }
    }

    /// What the index of the first version of the protocol finds (`GET /v1/search`): Docker Hub's, and that of registries
    /// that have one.
    ///
    /// - Parameters:
    ///   - term: `[host[:port]/]words`; without a host it is Docker Hub that is asked.
    ///   - limit: how many at most.
    ///   - withTags: with ``SearchResult/tags``: an index that does not add them is asked for each repository's.
    /// - Throws: `RegistryError`: `invalid` for a term that is a URL, what the index answers otherwise.
    package func search(
        _ term: String, limit: Int, withTags: Bool = false, credentials: Credentials? = nil
    ) async throws(RegistryError) -> [SearchResult] {
        struct Page: Decodable { var results: [SearchResult]? }
        guard !term.hasPrefix("http://"), !term.hasPrefix("https://") else {
            throw RegistryError(
                .invalid, "invalid repository name: repository name (\(term)) should not have a scheme")
        }
        let (host, words) = Self.searched(term)
        let endpoint = try await ownEndpoint(of: host ?? Self.hubIndex)
        let (_, body) = try await exchange(
            Request(), to: .path(Routes.search(words, limit: limit, withTags: withTags)),
            Access(endpoint, [], credentials), bytesMax: configuration.limits.searchBytesMax)
        let results: [SearchResult]
        do { results = try JSONDecoder().decode(Page.self, from: Data(body)).results ?? [] } catch {
            throw RegistryError(.malformed, "the search results of \(endpoint) are malformed", cause: error)
        }
        return withTags ? await tagged(results, host, credentials) : results
    }

    /// Tags of a result that are listed, and how many registries are asked at once for those of a result.
    private static let (listedTagsMax, tagListsAtOnce) = (25, 4)

    /// The results with tags where they have none. One whose tags cannot be had stays without.
    private func tagged(_ results: [SearchResult], _ host: String?, _ credentials: Credentials?) async -> [SearchResult]
    {
        var results = results
        let missing = results.indices.filter { results[$0].tags == nil }
        await withTaskGroup(of: (Int, [String]?).self) { group in
            for (number, place) in missing.enumerated() {
                if number >= Self.tagListsAtOnce, let (done, tags) = await group.next() { results[done].tags = tags }
                let name = (host.map { $0 + "/" } ?? "") + results[place].name
                group.addTask { (place, try? await self.firstTags(of: Reference(name), credentials)) }
            }
            for await (done, tags) in group { results[done].tags = tags }
        }
        return results
    }

    /// The first page of a repository's tags.
    private func firstTags(of reference: Reference, _ credentials: Credentials?) async throws -> [String] {
        let endpoint = try await ownEndpoint(of: reference.domain)
        let name = endpoint.name(of: reference.path)
        let (_, body) = try await exchange(
            Request(), to: .path(Routes.tags(name) + "?n=\(Self.listedTagsMax)"),
            Access(endpoint, [Access.pull(name)], credentials), bytesMax: configuration.limits.tagsPageBytesMax,
            reference: reference)
        return Array(try Self.tags(in: body, reference).prefix(Self.listedTagsMax))
    }

    private static let hubIndex = "index.docker.io"

    /// Whom a term asks, nil for Docker Hub, and for what.
    static func searched(_ term: String) -> (host: String?, words: String) {
        let parts = term.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, parts[0].contains(".") || parts[0].contains(":") || parts[0] == "localhost" else {
            // What Hub calls `library/foo` is `foo` to everybody.
            return (nil, term.hasPrefix("library/") ? String(term.dropFirst("library/".count)) : term)
        }
        return (parts[0], parts[1])
    }
}
