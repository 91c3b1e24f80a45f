/// What every page has around its content: head, landmarks, the search field.
struct Layout {
    /// Where a page is in the menu.
    enum Place: Sendable, Hashable { case home, repositories, elsewhere }

    let site: Site
    let title: String
    var place = Place.elsewhere
    /// What was searched for.
    var query = ""

    private static let mark: HTML = """
        <svg viewBox="0 0 24 24" aria-hidden="true"><path fill="currentColor" d="M3 14h4v4H3zm5 0h4v4H8zm5 0h4v4h-4zM8 9h4v4H8zm5 0\
        h4v4h-4zm0-5h4v4h-4z"/><path fill="currentColor" opacity=".45" d="M18 14h3v4h-3zM3 19h18v2H3z"/></svg>
        """
    /// Part of the page, so that nothing is asked for beside it.
    private static let icon: HTML = """
        <link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='%230f766e'%3E%3Cpath \
        d='M3 14h4v4H3zm5 0h4v4H8zm5 0h4v4h-4zM8 9h4v4H8zm5 0h4v4h-4zm0-5h4v4h-4zM3 19h18v2H3z'/%3E%3C/svg%3E">
        """

    /// The whole page.
    ///
    /// - Parameter main: what is between the landmarks.
    func page(_ main: HTML) -> HTML {
        """
        <!DOCTYPE html>
        <html lang="en"><head><meta charset="utf-8"><title>\(fullTitle)</title>\
        <meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">\
        \(Self.icon)<style>\(Self.style)</style></head>
        <body><a class="skip" href="#main">Skip to content</a>
        <header class="top"><div class="wrap"><a class="brand" href="/">\(Self.mark)<span>\(site.host)</span></a>
        \(search)<nav aria-label="Pages">\(menu)</nav></div></header>
        <main id="main" class="wrap">
        \(main)
        </main>
        <footer><div class="wrap"><span>docker-swift registry</span><span>OCI distribution 1.1</span>\(account)</div></footer>
        <script>\(Self.script)</script></body></html>

        """
    }

    private static let style = HTML(trusting: Stylesheet.self)
    private static let script = HTML(trusting: Script.self)

    private var fullTitle: String { title == site.host ? title : "\(title) · \(site.host)" }

    private var search: HTML {
        """
        <form class="search" role="search" action="/search" method="get"><input type="search" name="q" value="\(query)" \
        placeholder="Search images" aria-label="Search images" autocomplete="off" autocapitalize="none" spellcheck="false" maxlength="200">\
        <button type="submit">Search</button><ul class="found" id="found" role="listbox" aria-label="Repositories" hidden></ul></form>
        """
    }

    private var menu: HTML {
        let current: HTML = " aria-current=\"page\""
        let login: HTML = site.hasAccounts && site.user == nil ? "<a href=\"/login\">Log in</a>" : .empty
        return """
            <a href="/repositories"\(place == .repositories ? current : HTML.empty)>Repositories</a>\(login)
            """
    }

    private var account: HTML { site.user.html { "<span>Logged in as \($0)</span>" } }
}

extension HTML {
    /// Docker's command, with a button to copy it where scripts run.
    static func command(_ text: String) -> HTML { "<div class=\"copy\"><code tabindex=\"0\">\(text)</code></div>" }

    /// A frame with a heading.
    static func panel(_ title: String, more: HTML = .empty, _ content: HTML) -> HTML {
        """
        <section class="panel"><div class="head"><h2>\(title)</h2>\(more)</div>\(content)</section>
        """
    }

    static func chips(_ texts: [String]) -> HTML {
        texts.isEmpty ? .empty : "<span class=\"chips\">\(texts.html { "<span class=\"chip\">\($0)</span>" })</span>"
    }

    /// The way to what comes next.
    static func more(_ address: String?) -> HTML {
        address.html { "<nav class=\"pages\" aria-label=\"More\"><a rel=\"next\" href=\"\($0)\">Next page →</a></nav>" }
    }
}
