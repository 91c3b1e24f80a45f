import HTTP
import NIOCore
import OCI
import RegistryStore

/// Where a list begins and how much of it is wanted: `n` and `last` of a query.
struct Paging: Sendable, Hashable {
    /// Items of a page when a client wants more, or does not say: a page is held in memory.
    static let countMax = 1000

    let count: Int
    let last: String?

    /// - Throws: ``Refusal`` for an `n` that is no number.
    init(_ query: Query) throws(Refusal) {
        last = query["last"]
        guard let text = query["n"] else {
            count = Self.countMax
            return
        }
        guard let typed = ByteRange.number(text) else {
            throw Refusal(.pageInvalid, 400, "invalid number of results requested: \(OCIError.quoted(text))")
        }
        count = Int(min(typed, Int64(Self.countMax)))
    }

    /// A page of a list that is sorted and here as a whole.
    func page(of all: [String]) -> RegistryStore.Page<String> {
        let rest = all.drop { name in last.map { name <= $0 } ?? false }
        return RegistryStore.Page(Array(rest), countMax: count)
    }

    /// The `Link` of the next page (RFC 8288).
    ///
    /// - Parameters:
    ///   - path: of the list.
    ///   - last: the last item of this page.
    ///   - rest: what else the query has to have, beginning with `&`.
    func link(_ path: String, after last: String, rest: String = "") -> String {
        "<\(path)?n=\(count)&last=\(Self.escaped(last))\(rest)>; rel=\"next\""
    }

    /// `text` as a value of a query (RFC 3986 §2.3).
    static func escaped(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            let isPlain =
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || "-._~/:".utf8.contains(byte)
            result += isPlain ? String(UnicodeScalar(byte)) : "%" + Digest.hex([byte]).uppercased()
        }
        return result
    }
}

extension RegistryAPI {
    private struct Catalog: Encodable {
        let repositories: [String]
    }

    func catalog(_ call: Call) async throws -> Response {
        let paging = try Paging(call.request.query)
        return try catalogAnswer(
            paging,
            try await store.repositories(after: paging.last, countMax: paging.count, access.visibility(call.caller)))
    }

    func catalogAnswer(_ paging: Paging, _ page: RegistryStore.Page<String>) throws -> Response {
        var response = try Self.json(200, Catalog(repositories: page.items))
        if page.hasMore, let last = page.items.last {
            response.headers.add("Link", paging.link("/v2/_catalog", after: last))
        }
        return response
    }

    private struct TagList: Encodable {
        let name: String
        let tags: [String]
    }

    func tags(_ call: Call) async throws -> Response {
        let name = try call.repository()
        let paging = try Paging(call.request.query)
        return try tagsAnswer(
            name.description, paging, try await store.tags(in: name, after: paging.last, countMax: paging.count))
    }

    func tagsAnswer(_ name: String, _ paging: Paging, _ page: RegistryStore.Page<String>) throws -> Response {
        var response = try Self.json(200, TagList(name: name, tags: page.items))
        if page.hasMore, let last = page.items.last {
            response.headers.add("Link", paging.link("/v2/\(name)/tags/list", after: last))
        }
        return response
    }

    private struct ReferrerList: Encodable {
        struct Item: Encodable {
            let mediaType: String
            let digest: String
            let size: Int64
            let artifactType: String?
            let annotations: [String: String]?
        }
        let schemaVersion = 2
        let mediaType = MediaType.ociIndex
        let manifests: [Item]
    }

    /// What nothing refers to.
    static func noReferrers() throws -> Response { try referrers([]) }

    private static func referrers(_ items: [ReferrerList.Item]) throws -> Response {
        var response = try json(200, ReferrerList(manifests: items))
        response.headers = ["Content-Type": MediaType.ociIndex]
        return response
    }

    func referrers(_ call: Call) async throws -> Response {
        let (name, digest) = (try call.repository(), try call.digest())
        let paging = try Paging(call.request.query)
        let type = call.request.query["artifactType"]
        let page = try await store.referrers(
            of: digest, in: name, artifactType: type, after: paging.last, countMax: paging.count)
        let items = page.items.map { referrer in
            ReferrerList.Item(
                mediaType: referrer.mediaType, digest: referrer.digest.description, size: referrer.size,
                artifactType: referrer.artifactType,
                annotations: referrer.annotations.isEmpty ? nil : referrer.annotations)
        }
        var response = try Self.referrers(items)
        if type != nil { response.headers.add("OCI-Filters-Applied", "artifactType") }
        if page.hasMore, let last = page.items.last {
            let rest = type.map { "&artifactType=\(Paging.escaped($0))" } ?? ""
            let link = paging.link("/v2/\(name)/referrers/\(digest)", after: last.digest.description, rest: rest)
            response.headers.add("Link", link)
        }
        return response
    }
}
