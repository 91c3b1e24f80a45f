/// `docker images --tree`: images, and below each what it has for single platforms.
struct ImageTree {
    private struct Details {
        let id: String
        let usage: String
        let content: String
        let isUsed: Bool
    }

    private struct Column {
        let title: String
        var width: Int
        var isRight = false
        /// Styled, and what is seen of it.
        let cell: (Details) -> (text: String, seen: String)
    }

    private static let widthWithoutTerminal = 80
    private static let widthMin = 20
    /// A first column narrower than this costs the last one.
    private static let nameWidthMin = 12
    private static let spacing = 3
    private static let untagged = "<untagged>"

    private let images: [JSON]
    private let isTerminal = Terminal.isTerminal(1)
    private let width: Int
    private let color = "\u{1b}[39m"
    private let bold = "\u{1b}[1m"

    /// - Parameters:
    ///   - images: as the API lists them with their manifests.
    ///   - all: also those that nobody has named.
    init(_ images: [JSON], all: Bool) {
        let sorted = images.sorted { $0.int("Created") > $1.int("Created") }
        self.images = sorted.filter { all || !Self.names(of: $0).isEmpty }
        let columns = Terminal.size(1)?.columns ?? 0
        width = max(Self.widthMin, columns > 0 ? columns : Self.widthWithoutTerminal)
    }

    private static func names(of image: JSON) -> [String] {
        (image["RepoTags"]?.elements ?? []).compactMap(\.string).filter { $0 != "<none>:<none>" }
    }

    private static func variants(of image: JSON) -> [JSON] {
        (image["Manifests"]?.elements ?? []).filter { $0.text("Kind") == "image" }
    }

    // MARK: Text

    func text() -> String {
        var out =
            styled(
                "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.",
                "\u{1b}[93m", isTerminal) + "\n"
        let legend = isTerminal ? "i Info →   U  In Use " : "Info ->  U In Use "
        out += String(repeating: " ", count: max(0, width - legend.count)) + legendText + "\n\n"
        let columns = fitted()
        let nameWidth = columns.name
        out += cell("IMAGE", nameWidth) { styled($0, color + bold, true) }
        for column in columns.others {
            out += gap + cell(column.title, column.width, isRight: column.isRight) { styled($0, color + bold, true) }
        }
        out += "\n"
        let isSpaced = images.contains { !Self.variants(of: $0).isEmpty }
        for image in images {
            out += names(of: image, nameWidth) + line(details(of: image), columns.others)
            guard isSpaced else { continue }
            let variants = Self.variants(of: image)
            for (index, variant) in variants.enumerated() {
                let branch = index == variants.count - 1 ? "└─ " : "├─ "
                out += cell(branch + platform(of: variant), nameWidth) { styled($0, color, isTerminal) }
                out += line(details(ofVariant: variant), columns.others)
            }
            out += "\n"
        }
        return out
    }

    /// The longest first; the last one stands beside the other columns.
    private func names(of image: JSON, _ width: Int) -> String {
        let names = Self.names(of: image).sorted { $0.utf8.count > $1.utf8.count }
        guard let last = names.last else {
            return cell(Self.untagged, width) { styled($0, color + "\u{1b}[2m", isTerminal) }
        }
        let style = { (text: String) in styled(text, "\u{1b}[34m" + bold, isTerminal) }
        let above = names.dropLast().map { name in
            style(isTerminal && name.unicodeScalars.count > self.width ? Self.cut(name, self.width) : name) + "\n"
        }
        return above.joined() + cell(last, width, style)
    }

    private var legendText: String {
        guard isTerminal else { return "Info ->  \(chip.text) In Use " }
        return
            "\u{1b}[1m\u{1b}[106m\u{1b}[30mi\u{1b}[0m\u{1b}[0m \u{1b}[96mInfo → \u{1b}[0m\u{1b}[0m \(chip.text) In Use "
    }

    /// What marks an image that a container is of.
    private var chip: (text: String, seen: String) {
        isTerminal ? ("\u{1b}[38;5;0m\u{1b}[48;5;14m U \u{1b}[0m", " U ") : ("U", "U")
    }

    private var gap: String { String(repeating: " ", count: Self.spacing) }

    private func styled(_ text: String, _ codes: String, _ isOn: Bool) -> String {
        isOn ? "\(codes)\(text)\u{1b}[0m" : text
    }

    private func cell(_ text: String, _ width: Int, isRight: Bool = false, _ style: (String) -> String) -> String {
        let count = text.unicodeScalars.count
        guard count <= width else { return style(Self.cut(text, width)) }
        let fill = String(repeating: " ", count: width - count)
        return isRight ? fill + style(text) : style(text) + fill
    }

    private static func cut(_ text: String, _ width: Int) -> String {
        String(text.unicodeScalars.prefix(max(0, width - 1))) + "…"
    }

    private func line(_ details: Details, _ columns: [Column]) -> String {
        columns.map { column in
            let (text, seen) = column.cell(details)
            let fill = String(repeating: " ", count: max(0, column.width - seen.count))
            return gap + (column.isRight ? fill + text : text + fill)
        }.joined() + "\n"
    }

    // MARK: Columns

    /// How wide names may be, and the columns that stand beside them.
    private func fitted() -> (name: Int, others: [Column]) {
        func plain(_ text: @escaping (Details) -> String) -> (Details) -> (text: String, seen: String) {
            { (styled(text($0), color, isTerminal), text($0)) }
        }
        let all = [
            Column(title: "ID", width: 12, cell: plain(\.id)),
            Column(title: "DISK USAGE", width: 10, isRight: true, cell: plain(\.usage)),
            Column(title: "CONTENT SIZE", width: 12, isRight: true, cell: plain(\.content)),
            Column(title: "EXTRA", width: 5) { $0.isUsed ? chip : ("", "") },
        ]
        var left = width
        var shown: [Column] = []
        for column in all {
            let needed = column.width + Self.spacing
            guard left - needed >= Self.nameWidthMin else { break }
            left -= needed
            shown.append(column)
        }
        // As Docker counts: bytes, of which the lines before a platform are more than they are seen to be.
        let lengths = images.flatMap { image in
            Self.names(of: image).map(\.utf8.count)
                + Self.variants(of: image).map { "└─ ".utf8.count + platform(of: $0).utf8.count }
        }
        return (min(left, max("IMAGE".count, lengths.max() ?? 0)), shown)
    }

    private func details(of image: JSON) -> Details {
        let variants = Self.variants(of: image)
        // Attestations count here, and have no line.
        let content = (image["Manifests"]?.elements ?? []).reduce(Int64(0)) { $0 + ($1["Size"]?.int("Content") ?? 0) }
        return Details(
            id: Short.id(image.text("Id")), usage: Self.size(image.int("Size")), content: Self.size(content),
            isUsed: image.int("Containers") > 0 || variants.contains(where: isUsed))
    }

    private func details(ofVariant variant: JSON) -> Details {
        Details(
            id: Short.id(variant.text("ID")), usage: Self.size(variant["Size"]?.int("Total") ?? 0),
            content: Self.size(variant["Size"]?.int("Content") ?? 0), isUsed: isUsed(variant))
    }

    private func isUsed(_ variant: JSON) -> Bool { variant["ImageData"]?["Containers"]?.elements.isEmpty == false }

    private func platform(of variant: JSON) -> String {
        let platform = variant["ImageData"]?["Platform"]
        return ["os", "architecture", "variant"].compactMap { platform?.text($0) }.filter { !$0.isEmpty }
            .joined(separator: "/")
    }

    private static func size(_ bytes: Int64) -> String { Sizes.decimal(Double(bytes), digits: 3) }
}
