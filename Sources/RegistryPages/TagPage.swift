/// An image or another artifact: platforms, layers, configuration, history, and what refers to it.
package struct TagPage: Sendable, Hashable {
    /// A manifest of an index.
    package struct Member: Sendable, Hashable {
        package var digest: String
        package var title: String
        package var isAttestation = false

        package init(digest: String, title: String) {
            self.digest = digest
            self.title = title
        }
    }

    package struct Layer: Sendable, Hashable {
        package var digest: String
        package var mediaType: String
        package var size: Int64
        /// A file's name, where the artifact gives it one.
        package var title: String?

        package init(digest: String, mediaType: String, size: Int64) {
            self.digest = digest
            self.mediaType = mediaType
            self.size = size
        }
    }

    package struct Referrer: Sendable, Hashable {
        package var digest: String
        package var artifactType: String
        package var size: Int64
        package var created: String?

        package init(digest: String, artifactType: String, size: Int64) {
            self.digest = digest
            self.artifactType = artifactType
            self.size = size
        }
    }

    package var site: Site
    package var name: String
    /// nil for what was asked for by digest.
    package var tag: String?
    package var digest: String
    package var mediaType: String
    package var artifactType: String?
    /// Of an index; empty for a manifest.
    package var members: [Member] = []
    /// The member whose layers and configuration are shown.
    package var shown: String?
    package var layers: [Layer] = []
    package var details: ImageDetails?
    package var annotations: [String: String] = [:]
    package var referrers = Slice<Referrer>([])
    /// The manifest, as it was pushed.
    package var manifest = ""

    /// Rows of one table: a page of an image that has more says so.
    private static let rowsMax = 300
    /// Characters of a manifest that are shown.
    private static let manifestMax = 64 << 10

    package init(site: Site, name: String, tag: String?, digest: String, mediaType: String) {
        self.site = site
        self.name = name
        self.tag = tag
        self.digest = digest
        self.mediaType = mediaType
    }

    private var size: Int64 { layers.reduce(0) { $0 &+ max(0, $1.size) } }

    package var html: HTML {
        let title = tag.map { "\(name):\($0)" } ?? "\(name)@\(digest.prefix(19))…"
        let reference = "\(site.host)/\(name)" + (tag.map { ":\($0)" } ?? "@\(digest)")
        let isImage = artifactType == nil
        return Layout(site: site, title: title).page(
            """
            \(HTML.crumbs([("Repositories", "/repositories"), (name, Link.repository(name))]))
            <div class="title"><h1>\(title)</h1>\(artifactType.html { "<span class=\"chip\">\(Self.kind($0))</span>" })</div>
            <p class="mono dim">\(digest)</p>
            \(isImage ? .command("docker pull \(reference)") : HTML.empty)
            \(platforms)
            <div class="side"><div>\(steps)\(settings)\(labels)\(signatures)\(raw)</div>\
            <aside class="about" aria-label="About">\(about)</aside></div>
            """)
    }

    // MARK: Platforms

    private var platforms: HTML {
        guard !members.isEmpty else { return .empty }
        let base = tag.map { Link.tag($0, of: name) } ?? Link.manifest(digest, of: name)
        let current: HTML = " aria-current=\"true\""
        func chips(_ part: [Member]) -> HTML {
            part.prefix(Self.rowsMax).html { member in
                """
                <a class="chip" href="\(Link.path(base, ["digest": member.digest]))"\(member.digest == shown ? current : HTML.empty)>\
                \(member.title)</a>
                """
            }
        }
        let attestations = members.filter(\.isAttestation)
        let rest =
            attestations.isEmpty ? .empty : " <span class=\"dim\">Attestations</span> \(chips(attestations))" as HTML
        return """
            <nav class="chips" aria-label="Platforms">\(chips(members.filter { !$0.isAttestation }))\(rest)</nav>
            """
    }

    // MARK: Layers and history

    private var steps: HTML {
        guard let details, !details.history.isEmpty else { return layerTable }
        let layerCount = details.history.filter { !$0.isEmpty }.count
        // A history that does not fit its layers would put sizes beside other steps than they are of.
        guard layerCount == layers.count else { return layerTable + historyOnly(details.history) }
        var rest = layers[...]
        let largest = layers.map(\.size).max() ?? 0
        let rows = details.history.prefix(Self.rowsMax).html { step in
            let layer = step.isEmpty ? nil : rest.popFirst()
            return row(step, layer, largest)
        }
        return .panel(
            "Layers and history",
            more:
                "<span class=\"more dim\">\(Wording.count(Int64(layers.count), "layer", "layers")), \(Wording.size(size))</span>",
            "<ol class=\"steps\">\(rows)</ol>\(Self.rest(details.history.count))")
    }

    private func row(_ step: ImageDetails.Step, _ layer: Layer?, _ largest: Int64) -> HTML {
        let note = step.comment.html { $0.hasPrefix("buildkit") ? .empty : "<div class=\"note\">\($0)</div>" }
        return """
            <li><div>\(Self.instruction(step.createdBy ?? ""))\(note)\(layer.html { .layer($0) })</div>\
            <div class="size">\(layer.map { Self.bar($0.size, of: largest) } ?? Self.noBytes)</div></li>
            """
    }

    private static let noBytes: HTML = "<span class=\"none\">—</span>"

    private static func instruction(_ text: String) -> HTML {
        let step = Instruction(text)
        let keyword: HTML = step.keyword.isEmpty ? .empty : "<span class=\"kw\">\(step.keyword)</span> "
        let isNothing = step.keyword.isEmpty && step.rest.isEmpty
        return "<pre><code>\(keyword)\(isNothing ? "(not told)" : step.rest)</code></pre>"
    }

    private static func bar(_ size: Int64, of largest: Int64) -> HTML {
        let percent = largest > 0 ? max(1, Int(Double(max(0, size)) / Double(largest) * 100)) : 0
        return """
            \(Wording.size(size))<svg class="bar" aria-hidden="true"><rect width="\(percent)%" height="100%"/></svg>
            """
    }

    private var layerTable: HTML {
        guard !layers.isEmpty else { return .empty }
        let largest = layers.map(\.size).max() ?? 0
        let rows = layers.prefix(Self.rowsMax).html { layer in
            """
            <li><div>\(layer.title.html { "<div>\($0)</div>" })\(HTML.layer(layer))</div>\
            <div class="size">\(Self.bar(layer.size, of: largest))</div></li>
            """
        }
        return .panel(
            artifactType == nil ? "Layers" : "Content",
            more: "<span class=\"more dim\">\(Wording.size(size))</span>",
            "<ol class=\"steps\">\(rows)</ol>\(Self.rest(layers.count))")
    }

    private func historyOnly(_ history: [ImageDetails.Step]) -> HTML {
        let rows = history.prefix(Self.rowsMax).html { row($0, nil, 0) }
        return .panel("History", "<ol class=\"steps\">\(rows)</ol>\(Self.rest(history.count))")
    }

    private static func rest(_ count: Int) -> HTML {
        count > rowsMax ? "<p class=\"empty\">… and \(count - rowsMax) more</p>" : .empty
    }

    // MARK: Configuration

    private var settings: HTML {
        guard let config = details?.config else { return .empty }
        var facts: [(String, HTML)] = []
        func add(_ title: String, _ value: String?) {
            if let value { facts.append((title, "<code>\(value)</code>")) }
        }
        func add(_ title: String, _ values: [String]) {
            guard !values.isEmpty else { return }
            let items = values.prefix(Self.rowsMax).html { "<li><code>\($0)</code></li>" }
            facts.append((title, "<ul>\(items)</ul>"))
        }
        add("Entrypoint", Self.words(config.entrypoint))
        add("Command", Self.words(config.command))
        add("Working directory", config.workingDirectory)
        add("User", config.user)
        add("Environment", config.environment)
        add("Ports", config.ports)
        add("Volumes", config.volumes)
        add("Stop signal", config.stopSignal)
        add("Shell", Self.words(config.shell))
        add("Health check", Self.words(config.healthcheck))
        return facts.isEmpty ? .empty : .panel("Configuration", "<div class=\"body\">\(HTML.facts(facts))</div>")
    }

    /// Words of a command as a Dockerfile has them; nil for none.
    private static func words(_ words: [String]) -> String? {
        guard !words.isEmpty else { return nil }
        let quoted = words.map { word in
            "\"" + word.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined() + "\""
        }
        return "[" + quoted.joined(separator: ", ") + "]"
    }

    private var labels: HTML {
        Self.table("Labels", details?.config.labels ?? [:]) + Self.table("Annotations", annotations)
    }

    private static func table(_ title: String, _ values: [String: String]) -> HTML {
        guard !values.isEmpty else { return .empty }
        let rows = values.sorted { $0.key < $1.key }.prefix(rowsMax).html { key, value in
            "<tr><th scope=\"row\" class=\"mono\">\(key)</th><td>\(HTML.value(value))</td></tr>"
        }
        return .panel(title, "<div class=\"scroll\"><table><tbody>\(rows)</tbody></table></div>\(rest(values.count))")
    }

    // MARK: What refers to it

    private var signatures: HTML {
        guard !referrers.items.isEmpty else { return .empty }
        let rows = referrers.items.html { referrer in
            """
            <tr><th scope="row">\(Self.kind(referrer.artifactType))</th>\
            <td>\(referrer.created.flatMap(Timestamp.seconds).html { .time($0, now: site.now) })</td>\
            <td class="num">\(Wording.size(referrer.size))</td><td>\(HTML.digest(referrer.digest, of: name))</td></tr>
            """
        }
        return .panel(
            "Signatures and attachments",
            """
            <div class="scroll"><table><thead><tr><th scope="col">Type</th><th scope="col">Created</th>\
            <th scope="col" class="num">Size</th><th scope="col">Digest</th></tr></thead><tbody>\(rows)</tbody></table></div>\
            \(HTML.more(referrers.next))
            """)
    }

    /// What people call a type; others are shown as they are.
    private static let kinds: KeyValuePairs<String, String> = [
        "application/vnd.dev.cosign.artifact.att": "Attestation (Cosign)",
        "application/vnd.dev.cosign.artifact.sbom": "SBOM (Cosign)", "application/vnd.dev.cosign.": "Cosign signature",
        "application/vnd.dev.sigstore.bundle": "Sigstore bundle",
        "application/vnd.cncf.notary.signature": "Notation signature", "application/spdx+json": "SBOM (SPDX)",
        "text/spdx": "SBOM (SPDX)", "application/vnd.cyclonedx": "SBOM (CycloneDX)",
        "application/vnd.in-toto": "In-toto attestation", "application/vnd.cncf.helm.": "Helm chart",
        "application/vnd.docker.plugin.": "Docker plugin", "application/vnd.wasm.": "WebAssembly module",
        "text/markdown": "README",
    ]

    private static func kind(_ type: String) -> String {
        kinds.first { type.hasPrefix($0.key) }?.value ?? type
    }

    // MARK: Beside it

    private var raw: HTML {
        guard !manifest.isEmpty else { return .empty }
        let cut = manifest.utf8.count > Self.manifestMax
        return """
            <details class="panel"><summary>Manifest</summary><pre tabindex="0"><code>\(manifest.prefix(Self.manifestMax))\(cut ? "…" : "")\
            </code></pre></details>
            """
    }

    private var about: HTML {
        var facts: [(String, HTML)] = []
        if let platform = details?.platform { facts.append(("Platform", HTML(escaping: platform))) }
        if let version = details?.osVersion { facts.append(("System version", HTML(escaping: version))) }
        if let created = details?.created.flatMap(Timestamp.seconds) {
            facts.append(("Created", .time(created, now: site.now)))
        }
        if let author = details?.author { facts.append(("Author", HTML(escaping: author))) }
        if !layers.isEmpty { facts.append(("Compressed size", HTML(escaping: Wording.size(size)))) }
        if let shown, shown != digest { facts.append(("Manifest digest", .digest(shown, of: name))) }
        facts.append(("Digest", .digest(digest, of: name)))
        facts.append(("Media type", "<span class=\"mono\">\(mediaType)</span>"))
        if let artifactType { facts.append(("Artifact type", "<span class=\"mono\">\(artifactType)</span>")) }
        return .panel("About", "<div class=\"body\">\(HTML.facts(facts))</div>")
    }
}

extension HTML {
    fileprivate static func layer(_ layer: TagPage.Layer) -> HTML {
        "<div class=\"note mono\" title=\"\(layer.mediaType)\">\(layer.digest.prefix(19))…</div>"
    }
}
