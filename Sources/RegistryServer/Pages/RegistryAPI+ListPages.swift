import HTTP
import OCI
import RegistryPages
import RegistryStore

extension RegistryAPI {
    func homePage(_ call: Call) async throws -> Response { try await listPage(call) }

    func foundPage(_ call: Call) async throws -> Response { try await listPage(call) }

    func listPage(_ call: Call) async throws -> Response {
        let found = try await store.repositories(
            after: call.request.query["after"], countMax: Self.rowsMax,
            access.visibility(call.caller))
        let next = found.hasMore ? Link.path("/repositories", ["after": found.items.last]) : nil
        let page = ListPage(
            site: site(call.request, call.caller.name),
            repositories: Slice(found.items.map { RepositoryRow(name: $0) }, next: next))
        return Self.page(page.html)
    }

    /// `/r/…`: a repository, or an image of it.
    func repositoryOrImagePage(_ call: Call) async throws -> Response {
        call.route.reference.isEmpty ? try await repositoryPage(call) : try await imagePage(call)
    }

    private func repositoryPage(_ call: Call) async throws -> Response {
        let name = try call.repository()
        let found = try await store.tags(in: name, after: call.request.query["after"], countMax: Self.rowsMax)
        var tags: [TagRow] = []
        for tag in found.items {
            let manifest = try await store.manifest(.tag(tag), in: name)
            tags.append(TagRow(name: tag, digest: manifest.digest.description))
        }
        let path = Link.repository(name.description)
        let next = found.hasMore ? Link.path(path, ["tags": "all", "after": found.items.last]) : nil
        var page = RepositoryPage(
            site: site(call.request, call.caller.name), name: name.description, tags: Slice(tags, next: next))
        page.isTagList = call.request.query["tags"] != nil
        page.shownTag = found.items.contains("latest") ? "latest" : found.items.first
        return Self.page(page.html)
    }
}
