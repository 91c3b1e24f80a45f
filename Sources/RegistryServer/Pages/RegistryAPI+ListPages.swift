import HTTP
import Kernel
import OCI
import RegistryPages
import RegistryStore

extension RegistryAPI {
    /// Repositories of each list on the first page.
    private static let homeRowsMax = 10

    func homePage(_ call: Call) async throws -> Response {
        let visibility = visibility(call)
        var page = HomePage(site: site(call.request, call.caller.name))
        page.popular = try await store.popular(Self.homeRowsMax, visibility).map(Self.row)
        page.recent = try await store.recent(Self.homeRowsMax, visibility).map(Self.row)
        page.isReadOnly = access.isReadOnly
        return Self.page(page.html)
    }

    /// What a visitor may choose, and what it is called.
    private static let orders: KeyValuePairs<SearchQuery.Order, String> = [
        .relevance: "Best match", .name: "Name", .pulls: "Most pulled", .pushed: "Recently pushed", .size: "Largest",
    ]

    /// `/repositories?sort=&cursor=`: all of them.
    func listPage(_ call: Call) async throws -> Response {
        let order = call.request.query["sort"].flatMap(SearchQuery.Order.init) ?? .name
        let page = try await list(call, "/repositories", text: nil, order == .relevance ? .name : order)
        return Self.page(page.html)
    }

    /// `/search?q=&sort=&cursor=`
    func foundPage(_ call: Call) async throws -> Response {
        let order = call.request.query["sort"].flatMap(SearchQuery.Order.init) ?? .relevance
        return Self.page(try await list(call, "/search", text: call.request.query["q"] ?? "", order).html)
    }

    private func list(_ call: Call, _ path: String, text: String?, _ order: SearchQuery.Order) async throws -> ListPage
    {
        let query = SearchQuery(
            text ?? "", order: order, count: Self.rowsMax, cursor: call.request.query["cursor"])
        let found = try await store.search(query, visibility(call))
        let next = found.next.map { Link.path(path, ["q": text, "sort": order.rawValue, "cursor": $0]) }
        var page = ListPage(
            site: site(call.request, call.caller.name), query: text,
            repositories: Slice(found.items.map(Self.row), next: next))
        page.orders = Self.orders.filter { text != nil || $0.key != .relevance }.map { key, title in
            ListPage.Order(
                title: title, address: Link.path(path, ["q": text, "sort": key.rawValue]), isCurrent: key == order)
        }
        page.count = Int64(found.total)
        page.corrected = found.corrected
        return page
    }

    private static func row(_ summary: RepositorySummary) -> RepositoryRow {
        var row = RepositoryRow(name: summary.name)
        row.description = summary.description.isEmpty ? nil : summary.description
        row.pulls = summary.pulls
        row.tags = summary.tags
        row.size = summary.size
        row.pushed = summary.pushed
        row.architectures = summary.platforms.map(short)
        return row
    }

    /// `linux/arm64/v8` as `arm64/v8`: nearly everything is for Linux.
    private static func short(_ platform: String) -> String {
        platform.hasPrefix("linux/") ? String(platform.dropFirst("linux/".count)) : platform
    }

    // MARK: A repository

    /// Tags on a repository's own page; others are on pages of their own.
    private static let newestTagsMax = 10

    /// `/r/…`: a repository, or an image of it.
    func repositoryOrImagePage(_ call: Call) async throws -> Response {
        call.route.reference.isEmpty ? try await repositoryPage(call) : try await imagePage(call)
    }

    private func repositoryPage(_ call: Call) async throws -> Response {
        let name = try call.repository()
        let query = call.request.query
        let isTagList = query["tags"] != nil
        let order = query["sort"].flatMap(RegistryStore.TagOrder.init) ?? .pushed
        let detail = try await store.repositoryDetail(name)
        let found = try await store.tagList(
            in: name, order: order, countMax: isTagList ? Self.rowsMax : Self.newestTagsMax, cursor: query["cursor"])
        let path = Link.repository(name.description)
        let next = found.next.map { Link.path(path, ["tags": "all", "sort": order.rawValue, "cursor": $0]) }
        var page = RepositoryPage(
            site: site(call.request, call.caller.name), name: name.description,
            tags: Slice(found.items.map(Self.row), next: next))
        page.isTagList = isTagList
        page.orders = [(RegistryStore.TagOrder.pushed, "Newest first"), (.name, "Name")].map { key, title in
            ListPage.Order(
                title: title, address: Link.path(path, ["tags": "all", "sort": key.rawValue]), isCurrent: key == order)
        }
        Self.describe(detail, &page)
        page.shownTag = try await shownTag(detail, found, in: name)
        return Self.page(await BlockingPool.shared.run { [page] in page.html })
    }

    private static func describe(_ detail: RegistryStore.RepositoryDetail, _ page: inout RepositoryPage) {
        let summary = detail.summary
        page.description = [summary.description, summary.title].first { !$0.isEmpty }
        page.readme = detail.readme
        page.pulls = summary.pulls
        page.tagCount = summary.tags
        page.size = summary.size
        page.pushed = summary.pushed
        page.architectures = summary.platforms.map(short)
        page.annotations = detail.labels
    }

    /// The tag that can be pulled; nil for what is no image, such as a chart.
    private func shownTag(
        _ detail: RegistryStore.RepositoryDetail, _ found: RegistryStore.TagPage, in name: RepositoryName
    ) async throws -> String? {
        guard let tag = detail.tag ?? found.items.first?.name else { return nil }
        let manifest = try await store.manifest(.tag(tag), in: name)
        return Self.isImage(manifest) ? tag : nil
    }

    private static func row(_ tag: RegistryStore.TagSummary) -> TagRow {
        var row = TagRow(name: tag.name, digest: tag.digest.description)
        row.size = tag.size
        row.pushed = tag.pushed
        row.architectures = tag.platforms.map(short)
        return row
    }
}
