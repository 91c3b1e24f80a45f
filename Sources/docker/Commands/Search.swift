/// `docker search`.
struct Search: Command {
    static let usage = "search [OPTIONS] TERM"
    @Option("-f --filter", "Filter output based on conditions provided") var filter = Filters()
    @Option("--format", "Pretty-print search using a Go template") var format: String?
    @Option("--limit", "Max number of search results") var limit: Int = 0
    @Flag("--no-trunc -notrunc", "Don't truncate output") var noTrunc = false
    /// Not in Docker's help: lists tags of what is found.
    @Flag("--tags", nil) var tags = false
    @Argument var term: String

    /// Columns of a description that is not shown whole.
    private static let descriptionWidth = 45

    func run(_ settings: Settings) throws(CLIError) {
        let parameters = [
            ("filters", filter.encoded), ("limit", limit == 0 ? nil : String(limit)), ("tags", tags ? "1" : nil),
            ("term", term),
        ]
        // The index is asked with the credentials of the registry that the term begins with.
        let host = term.contains("/") ? term.cut("/").0 : ""
        let isHost = host.contains(".") || host.contains(":") || host == "localhost"
        let auth = try settings.config.auth(for: isHost ? ConfigFile.key(host) : ConfigFile.hubKey)
        let header = ("X-Registry-Auth", Base64.encodeURL(Array(auth.encoded().utf8)))
        let found = try settings.client().call("GET", "/images/search" + query(parameters), headers: [header])
        let listing = Listing(
            standard: tags
                ? "table {{.Name}}\t{{.Tag}}" : "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
            headers: ["StarCount": "STARS", "IsOfficial": "OFFICIAL"], identifier: "Name",
            rowType: "*registry.searchContext")
        let isObject = format == "json" || format == "{{json .}}"
        let rows = found.elements.flatMap { tags ? tagRows($0, isObject) : [row($0, isObject)] }
        print(try listing.render(rows, format: format), terminator: "")
    }

    /// A row for each tag; one for a repository whose tags nobody tells.
    private func tagRows(_ result: JSON, _ isObject: Bool) -> [JSON] {
        let names = (result["tags"]?.elements ?? []).compactMap(\.string)
        return (names.isEmpty ? ["<none>"] : names).map { name in
            .object(row(result, isObject).members + [.init(name: "Tag", value: .string(name))])
        }
    }

    private func row(_ result: JSON, _ isObject: Bool) -> JSON {
        let text = result.text("description").split(whereSeparator: \.isNewline).joined(separator: " ")
        let isOfficial = result.flag("is_official")
        return [
            "Description": .string(noTrunc ? text : Short.ellipsis(text, Self.descriptionWidth)),
            "IsOfficial": .string(isObject ? String(isOfficial) : isOfficial ? "[OK]" : ""),
            "Name": .string(result.text("name")), "StarCount": .string(String(result.int("star_count"))),
        ]
    }
}
