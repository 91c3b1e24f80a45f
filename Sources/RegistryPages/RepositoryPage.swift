/// A repository: what it is, how to pull it, its tags.
package struct RepositoryPage: Sendable, Hashable {
    package var site: Site
    package var name: String
    package var description: String?
    /// Markdown.
    package var readme: String?
    package var pulls: Int64?
    package var tagCount: Int64?
    package var size: Int64?
    package var pushed: Int64?
    package var architectures: [String] = []
    /// Annotations of its newest image, or labels of it.
    package var annotations: [String: String] = [:]
    package var tags: Slice<TagRow>
    /// The tag that `docker pull` is shown with.
    package var shownTag: String?
    /// Whether the page is about the tags alone: a part of a long list.
    package var isTagList = false
    package var orders: [ListPage.Order] = []

    package init(site: Site, name: String, tags: Slice<TagRow>) {
        self.site = site
        self.name = name
        self.tags = tags
    }

    package var html: HTML {
        let title = "<div class=\"title\"><h1>\(name)</h1></div>" as HTML
        guard !isTagList else {
            return Layout(site: site, title: "Tags of \(name)").page(
                """
                \(HTML.crumbs([("Repositories", "/repositories"), (name, Link.repository(name))]))
                <div class="hero"><h1>Tags of \(name)</h1></div>
                \(tagPanel)
                """)
        }
        let reference = "\(site.host)/\(name)" + (shownTag.map { $0 == "latest" ? "" : ":\($0)" } ?? "")
        let text = readme.html { HTML.panel("README", "<div class=\"readme\">\(Markdown.html($0))</div>") }
        return Layout(site: site, title: name).page(
            """
            \(HTML.crumbs([("Repositories", "/repositories")]))
            \(title)\(description.html { "<p class=\"lead\">\($0)</p>" })
            \(shownTag == nil ? HTML.empty : .command("docker pull \(reference)"))
            <div class="side"><div>\(tagPanel)\(text)</div><aside class="about" aria-label="About">\(about)</aside></div>
            """)
    }

    private var tagPanel: HTML {
        let all = Link.path(Link.repository(name), ["tags": "all"])
        let more: HTML =
            isTagList
            ? orders.html
            : tags.next == nil
                ? .empty
                : "<a class=\"more\" href=\"\(all)\">All \(tagCount.map { Wording.count($0, "tag", "tags") } ?? "tags")</a>"
        guard !tags.items.isEmpty else {
            return .panel("Tags", "<p class=\"empty\">It has no tags: its manifests are named by digest alone.</p>")
        }
        return .panel("Tags", more: more, table + (isTagList ? .more(tags.next) : .empty))
    }

    private var table: HTML {
        """
        <div class="scroll"><table><thead><tr><th scope="col">Tag</th><th scope="col">Pushed</th><th scope="col" class="num">Size</th>\
        <th scope="col" class="wide">Architectures</th><th scope="col" class="wide">Digest</th></tr></thead><tbody>\
        \(tags.items.html(row))</tbody></table></div>
        """
    }

    private func row(_ tag: TagRow) -> HTML {
        """
        <tr><th scope="row"><a href="\(Link.tag(tag.name, of: name))">\(tag.name)</a></th>\
        <td class="nowrap">\(tag.pushed.html { .time($0, now: site.now) })</td>\
        <td class="num">\(tag.size.html { HTML(escaping: Wording.size($0)) })</td>\
        <td class="wide">\(HTML.chips(tag.architectures))</td>\
        <td class="wide">\(HTML.digest(tag.digest, of: name))</td></tr>
        """
    }

    /// Annotations that everybody knows (OCI image specification, annotations.md), in the order they are shown.
    private static let known: KeyValuePairs<String, String> = [
        "org.opencontainers.image.version": "Version", "org.opencontainers.image.licenses": "Licence",
        "org.opencontainers.image.url": "Web site", "org.opencontainers.image.documentation": "Documentation",
        "org.opencontainers.image.source": "Source", "org.opencontainers.image.vendor": "Vendor",
        "org.opencontainers.image.authors": "Authors", "org.opencontainers.image.base.name": "Base image",
    ]

    private var about: HTML {
        var facts: [(String, HTML)] = []
        if let pushed { facts.append(("Last pushed", .time(pushed, now: site.now))) }
        if let pulls { facts.append(("Pulls", HTML(escaping: Wording.grouped(pulls)))) }
        if let tagCount { facts.append(("Tags", HTML(escaping: Wording.grouped(tagCount)))) }
        if let size, size > 0 { facts.append(("Size", HTML(escaping: Wording.size(size)))) }
        if !architectures.isEmpty { facts.append(("Architectures", .chips(architectures))) }
        for (key, title) in Self.known {
            if let value = annotations[key], !value.isEmpty { facts.append((title, .shortValue(value))) }
        }
        guard !facts.isEmpty else { return .empty }
        return .panel("About", "<div class=\"body\">\(HTML.facts(facts))</div>")
    }
}

extension HTML {
    /// Where a page is, from the top.
    static func crumbs(_ parts: [(title: String, address: String)]) -> HTML {
        let links = parts.map { part in "<a href=\"\(part.address)\">\(part.title)</a>" as HTML }
        let all = links.dropFirst().reduce(links.first ?? .empty) { $0 + " / " + $1 }
        return "<nav class=\"crumbs\" aria-label=\"Breadcrumb\">\(all)</nav>"
    }

    static func facts(_ facts: [(title: String, value: HTML)]) -> HTML {
        "<dl>\(facts.html { "<dt>\($0.title)</dt><dd>\($0.value)</dd>" })</dl>"
    }

    /// The twelve digits that Docker shows, with the whole digest as title.
    static func digest(_ digest: String, of name: String) -> HTML {
        let short = digest.drop { $0 != ":" }.dropFirst().prefix(12)
        return "<a class=\"mono\" title=\"\(digest)\" href=\"\(Link.manifest(digest, of: name))\">\(short)</a>"
    }
}

/// A page that says what went wrong.
package struct ErrorPage: Sendable, Hashable {
    package var site: Site
    package var status: Int
    package var message: String

    package init(site: Site, status: Int, message: String) {
        self.site = site
        self.status = status
        self.message = message
    }

    private var title: String {
        switch status {
        case 401: "Log in to see this"
        case 403: "This is not for you"
        case 404: "Not found"
        case 400: "That is no address of this registry"
        case 429, 503: "Too busy"
        case 500...: "Something went wrong"
        default: "That did not work"
        }
    }

    package var html: HTML {
        Layout(site: site, title: title).page(
            """
            <div class="alone"><p class="status">\(status)</p><h1>\(title)</h1><p>\(message)</p>\
            <p><a href="/">Go to the first page</a></p></div>
            """)
    }
}
