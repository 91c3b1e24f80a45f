import FoundationEssentials
import OCI

extension RegistryClient {
    /// One repository that an index has found.
    package struct SearchResult: Sendable, Hashable, Decodable {
        package let name: String
        package let description: String
        package let starCount: Int
        package let isOfficial: Bool

        private enum CodingKeys: String, CodingKey {
            case name, description
            case starCount = "star_count"
            case isOfficial = "is_official"
        }

        package init(from decoder: any Decoder) throws {
            let members = try decoder.container(keyedBy: CodingKeys.self)
            name = try members.decode(String.self, forKey: .name)
            description = try members.decodeIfPresent(String.self, forKey: .description) ?? ""
            starCount = try members.decodeIfPresent(Int.self, forKey: .starCount) ?? 0
            isOfficial = try members.decodeIfPresent(Bool.self, forKey: .isOfficial) ?? false
        }
    }

    /// What the index of the first version of the protocol finds (`GET /v1/search`): Docker Hub's, and that of registries
    /// that have one.
    ///
    /// - Parameters:
    ///   - term: `[host[:port]/]words`; without a host it is Docker Hub that is asked.
    ///   - limit: how many at most.
    /// - Throws: `RegistryError`: `invalid` for a term that is a URL, what the index answers otherwise.
    package func search(
        _ term: String, limit: Int, credentials: Credentials? = nil
    ) async throws(RegistryError) -> [SearchResult] {
        struct Page: Decodable { var results: [SearchResult]? }
        guard !term.hasPrefix("http://"), !term.hasPrefix("https://") else {
            throw RegistryError(
                .invalid, "invalid repository name: repository name (\(term)) should not have a scheme")
        }
        let (host, words) = Self.searched(term)
        let endpoint = try configuration.origin(of: host ?? Self.hubIndex)
        let (_, body) = try await exchange(
            Request(), to: .path(Routes.search(words, limit: limit)), Access(endpoint, [], credentials),
            bytesMax: configuration.limits.searchBytesMax)
        do { return try JSONDecoder().decode(Page.self, from: Data(body)).results ?? [] } catch {
            throw RegistryError(.malformed, "the search results of \(endpoint) are malformed", cause: error)
        }
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
