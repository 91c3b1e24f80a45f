import FoundationEssentials
import HTTP
import NIOCore
import OCI
import RegistryStore

/// Searches: the JSON API below `/api/v1/`, and what Docker's own client asks of an index, `/v1/search`.
extension RegistryAPI {
    /// What lists tell to whoever asks.
    func visibility(_ call: Call) -> Visibility { access.visibility(call.caller) }

    // MARK: /api/v1/

    private struct Repository: Encodable {
        let name: String
        let title: String
        let description: String
        let owner: String
        let platforms: [String]
        /// Bytes.
        let size: Int64
        let tags: Int64
        let pulls: Int64
        let pushed: String
        let updated: String
        let isOfficial: Bool

        init(_ item: RepositorySummary, _ search: SearchSettings) {
            name = item.name
            title = item.title
            description = item.description
            owner = item.owner
            platforms = item.platforms
            size = item.size
            tags = item.tags
            pulls = item.pulls
            pushed = RegistryAPI.time(item.pushed)
            updated = RegistryAPI.time(item.updated)
            isOfficial = search.isOfficial(item.name)
        }
    }

    private struct SearchAnswer: Encodable {
        let items: [Repository]
        let next: String?
        let total: Int
        let corrected: String?

        private enum CodingKeys: CodingKey { case items, next, total, corrected }

        func encode(to encoder: any Encoder) throws {
            var members = encoder.container(keyedBy: CodingKeys.self)
            try members.encode(items, forKey: .items)
            // Clients are to see that there is none.
            try members.encode(next, forKey: .next)
            try members.encode(total, forKey: .total)
            try members.encodeIfPresent(corrected, forKey: .corrected)
        }
    }

    /// Seconds since 1970 as RFC 3339 has them.
    static func time(_ seconds: Int64) -> String {
        Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(.iso8601)
    }

    func search(_ call: Call) async throws -> Response {
        try await searched(call, text: call.request.query["q"] ?? "")
    }

    func repositories(_ call: Call) async throws -> Response { try await searched(call, text: "") }

    private func searched(_ call: Call, text: String) async throws -> Response {
        let parameters = call.request.query
        var query = SearchQuery(text, cursor: parameters["cursor"])
        query.order = try Self.choice(parameters["sort"], "sort") ?? .relevance
        query.count = try Self.count(parameters["n"], usual: 25, most: SearchQuery.countMax)
        let direction: Direction? = try Self.choice(parameters["order"], "order")
        query.isAscending = direction.map { $0 == .asc }
        let page = try await store.search(query, visibility(call))
        return try Self.json(
            200,
            SearchAnswer(
                items: page.items.map { Repository($0, searchSettings) }, next: page.next, total: page.total,
                corrected: page.corrected))
    }

    private enum Direction: String, CaseIterable { case asc, desc }

    /// - Throws: ``Refusal`` 400 that names the choices.
    private static func choice<Value: RawRepresentable<String> & CaseIterable>(
        _ text: String?, _ name: String
    ) throws(Refusal) -> Value? {
        guard let text else { return nil }
        guard let value = Value(rawValue: text) else {
            let known = Value.allCases.map(\.rawValue).joined(separator: ", ")
            throw Refusal(.unknown, 400, "invalid \(name) \(OCIError.quoted(text)): want one of \(known)")
        }
        return value
    }

    private static func count(_ text: String?, usual: Int, most: Int) throws(Refusal) -> Int {
        guard let text else { return usual }
        guard let typed = ByteRange.number(text), typed > 0 else {
            throw Refusal(.pageInvalid, 400, "invalid number of results requested: \(OCIError.quoted(text))")
        }
        return Int(min(typed, Int64(most)))
    }

    private struct Detail: Encodable {
        let repository: Repository
        let readme: String?
        let labels: [String: String]
        let digest: String
        let tag: String?

        private enum CodingKeys: CodingKey { case readme, labels, digest, tag }

        func encode(to encoder: any Encoder) throws {
            try repository.encode(to: encoder)
            var members = encoder.container(keyedBy: CodingKeys.self)
            try members.encode(readme, forKey: .readme)
            try members.encode(labels, forKey: .labels)
            try members.encode(digest, forKey: .digest)
            try members.encode(tag, forKey: .tag)
        }
    }

    func repositoryDetail(_ call: Call) async throws -> Response {
        let detail = try await store.repositoryDetail(try call.repository())
        return try Self.json(
            200,
            Detail(
                repository: Repository(detail.summary, searchSettings), readme: detail.readme, labels: detail.labels,
                digest: detail.digest.description, tag: detail.tag))
    }

    private struct Tag: Encodable {
        let name: String
        let digest: String
        let mediaType: String
        let artifactType: String?
        let size: Int64
        let platforms: [String]
        let pushed: String
        let created: String?
        let pulls: Int64
    }

    private struct TagAnswer: Encodable {
        let items: [Tag]
        let next: String?

        private enum CodingKeys: CodingKey { case items, next }

        func encode(to encoder: any Encoder) throws {
            var members = encoder.container(keyedBy: CodingKeys.self)
            try members.encode(items, forKey: .items)
            try members.encode(next, forKey: .next)
        }
    }

    func repositoryTags(_ call: Call) async throws -> Response {
        let parameters = call.request.query
        let order: RegistryStore.TagOrder? = try Self.choice(parameters["sort"], "sort")
        let page = try await store.tagList(
            in: try call.repository(), order: order ?? .pushed,
            countMax: try Self.count(parameters["n"], usual: 100, most: Paging.countMax), cursor: parameters["cursor"])
        let items = page.items.map { tag in
            Tag(
                name: tag.name, digest: tag.digest.description, mediaType: tag.mediaType,
                artifactType: tag.artifactType, size: tag.size, platforms: tag.platforms, pushed: Self.time(tag.pushed),
                created: tag.created, pulls: tag.pulls)
        }
        return try Self.json(200, TagAnswer(items: items, next: page.next))
    }

    // MARK: /v1/

    /// What Docker's client looks at before it searches.
    static let indexPing = Response(
        headers: ["Content-Type": "application/json", "X-Docker-Registry-Standalone": "true"],
        body: .bytes(ByteBuffer(string: "true")))

    private struct IndexAnswer: Encodable {
        struct Result: Encodable {
            let name: String
            let description: String
            let star_count: Int64
            let is_official: Bool
            let is_automated: Bool
            /// The newest ones, for a client that asks for tags.
            let tags: [String]?
        }
        let query: String
        let num_results: Int
        let num_pages: Int
        let page: Int
        let page_size: Int
        let results: [Result]
    }

    /// Tags of one result: a client that wants all asks for the list.
    private static let tagsMax = 25
    /// Pages of a search: a search looks at some thousand repositories.
    private static let pagesMax: Int64 = 1000

    /// Stars are pulls here: nobody votes.
    func indexSearch(_ call: Call) async throws -> Response {
        let parameters = call.request.query
        let text = parameters["q"] ?? ""
        let count = try Self.count(parameters["n"], usual: 25, most: SearchQuery.countMax)
        let number = try Self.count(parameters["page"], usual: 1, most: Int(Self.pagesMax))
        var query = SearchQuery(text, count: count)
        // Without a text it is a list, which has no pages by number: its first one is given.
        let isList = text.allSatisfy(\.isWhitespace)
        if number > 1, !isList { query.cursor = "o\((number - 1) * count)" }
        let page = try await store.search(query, visibility(call))
        var results: [IndexAnswer.Result] = []
        for item in page.items where !isList || number == 1 {
            let tags = parameters["tags"] == "1" ? try await newestTags(item.name) : nil
            results.append(
                IndexAnswer.Result(
                    name: item.name, description: item.description.isEmpty ? item.title : item.description,
                    star_count: item.pulls, is_official: searchSettings.isOfficial(item.name), is_automated: false,
                    tags: tags))
        }
        return try Self.json(
            200,
            IndexAnswer(
                query: text, num_results: page.total, num_pages: (page.total + count - 1) / count, page: number,
                page_size: count, results: results))
    }

    private func newestTags(_ name: String) async throws -> [String] {
        do {
            return try await store.tagList(in: try RepositoryName(name), countMax: Self.tagsMax).items.map(\.name)
        } catch let error as Refusal where error.code == .nameUnknown {
            // Deleted since it was found.
            return []
        }
    }
}

/// What an operator says about searches.
package struct SearchSettings: Sendable, Hashable, Decodable {
    /// Repositories that are called official: these names, and those below them.
    package var official = ["library"]

    package init() {}

    package init(from decoder: any Decoder) throws {
        let members = try decoder.members(["official"])
        official = try members.decodeIfPresent([String].self, forKey: "official") ?? official
    }

    func isOfficial(_ name: String) -> Bool { Visibility.only(official).contains(name) }
}
