/// The first page: what is here, and what is new.
package struct HomePage: Sendable, Hashable {
    package var site: Site
    package var popular: [RepositoryRow] = []
    package var recent: [RepositoryRow] = []
    package var isReadOnly = false

    package init(site: Site) { self.site = site }

    package var html: HTML {
        Layout(site: site, title: site.host, place: .home).page(
            """
            <div class="hero"><h1>\(site.host)</h1>\
            <p>Images and other OCI artifacts. Pull one with <code>docker pull \(site.host)/NAME:TAG</code>.</p></div>
            \(content)
            """)
    }

    private var content: HTML {
        guard !recent.isEmpty else {
            return .panel(
                "No repositories yet",
                """
                <div class="body"><p>\(isReadOnly ? HTML("Nothing has been pushed, and the registry is read-only.") : Self.first)</p>\
                \(isReadOnly ? HTML.empty : .command("docker tag IMAGE \(site.host)/IMAGE && docker push \(site.host)/IMAGE"))</div>
                """)
        }
        let newest = HTML.panel(
            "Recently pushed", more: "<a class=\"more\" href=\"/repositories?sort=pushed\">All</a>", recent.rows(site))
        // What nobody has pulled is not popular, however it is sorted.
        let popular = popular.filter { ($0.pulls ?? 0) > 0 }
        guard !popular.isEmpty else { return newest }
        return """
            <div class="two"><div>\(HTML.panel(
                "Popular", more: "<a class=\"more\" href=\"/repositories?sort=pulls\">All</a>", popular.rows(site)))</div>
            <div>\(newest)</div></div>
            """
    }

    private static let first: HTML = "This registry is empty, or nothing in it is for you to see. Push a first image:"
}

/// A list of repositories: all of them, or what a search has found.
package struct ListPage: Sendable, Hashable {
    /// An order that a visitor may choose.
    package struct Order: Sendable, Hashable {
        package var title: String
        package var address: String
        package var isCurrent: Bool

        package init(title: String, address: String, isCurrent: Bool) {
            self.title = title
            self.address = address
            self.isCurrent = isCurrent
        }
    }

    package var site: Site
    /// What was searched for; nil for a list of all.
    package var query: String?
    package var orders: [Order]
    package var repositories: Slice<RepositoryRow>
    /// Of all pages, where it is known.
    package var count: Int64?
    /// What was looked for instead of a text that nothing matches.
    package var corrected: String?

    package init(site: Site, query: String? = nil, orders: [Order] = [], repositories: Slice<RepositoryRow>) {
        self.site = site
        self.query = query
        self.orders = orders
        self.repositories = repositories
    }

    package var html: HTML {
        let title = query.map { $0.isEmpty ? "Search" : "Search: \($0)" } ?? "Repositories"
        let found = count.html { "<p class=\"dim\">\(Wording.count($0, "repository", "repositories"))</p>" }
        let note = corrected.html { "<p>Nothing matches it exactly. These match <strong>\($0)</strong>.</p>" }
        return Layout(
            site: site, title: title, place: query == nil ? .repositories : .elsewhere, query: query ?? ""
        ).page(
            """
            <div class="hero"><h1>\(title)</h1>\(note)\(found)</div>
            <section class="panel" aria-label="Repositories">\(sorts)\(rows)\
            \(HTML.more(repositories.next))</section>
            """)
    }

    private var sorts: HTML { orders.isEmpty ? .empty : "<div class=\"head\">\(orders.html)</div>" }

    private var rows: HTML {
        guard repositories.items.isEmpty else { return repositories.items.rows(site) }
        guard let query, !query.isEmpty else { return "<p class=\"empty\">There is nothing here.</p>" }
        return """
            <p class="empty">Nothing found for “\(query)”. Try fewer letters, or <a href="/repositories">look at all repositories</a>.</p>
            """
    }
}

extension [ListPage.Order] {
    /// Links to each; the current one is marked.
    var html: HTML {
        let current: HTML = " aria-current=\"true\""
        let links = html { order in
            "<a href=\"\(order.address)\"\(order.isCurrent ? current : HTML.empty)>\(order.title)</a>"
        }
        return "<span class=\"sorts\">\(links)</span>"
    }
}

extension [RepositoryRow] {
    /// A line for each: name, what it is, and counts.
    func rows(_ site: Site) -> HTML { "<ul class=\"rows\">\(html { $0.row(site) })</ul>" }
}

extension RepositoryRow {
    fileprivate func row(_ site: Site) -> HTML {
        let time = pushed.html { "<span class=\"dim nowrap\">\(HTML.time($0, now: site.now))</span>" }
        return """
            <li><div class="line"><a class="name" href="\(Link.repository(name))">\(name)</a>\(time)</div>\
            \(description.html { "<p>\($0)</p>" })<div class="facts">\(facts)</div></li>
            """
    }

    private var facts: HTML {
        var parts: [String] = []
        if let pulls, pulls > 0 { parts.append(Wording.count(pulls, "pull", "pulls")) }
        if let tags { parts.append(Wording.count(tags, "tag", "tags")) }
        if let size, size > 0 { parts.append(Wording.size(size)) }
        return parts.html { "<span>\($0)</span>" } + HTML.chips(architectures)
    }
}
