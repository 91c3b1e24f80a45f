/// A list of objects shown as Docker's formatter does: a table, quiet identifiers, JSON lines or a template.
struct Listing {
    /// The header of a column that has none.
    static let untitled = "<no value>"

    /// The template of the default table, such as `table {{.ID}}\t{{.Image}}`.
    let standard: String
    /// Headers that are not just the field's name in capitals.
    let headers: [String: String]
    /// The field shown by `-q`.
    let identifier: String
    /// What Go calls the type of a row; Docker says it of a field that is not there.
    let rowType: String
    /// The template of the format `raw`, and of that with `-q`.
    var raw: (all: String, quiet: String)?
    var methods: TemplateEvaluator.Methods = [:]

    /// The lines for the rows, each an object of display texts.
    func render(_ rows: [JSON], format: String?, quiet: Bool = false) throws(CLIError) -> String {
        try render(format: format, quiet: quiet) { _ in rows }
    }

    /// The lines for rows that need no more members than those `rows` is asked for: nil for all.
    func render(format: String?, quiet: Bool = false, rows: (Set<String>?) -> [JSON]) throws(CLIError) -> String {
        var text = format.flatMap { $0.isEmpty ? nil : $0 } ?? standard
        if quiet, format == nil || format == "table" { text = "{{.\(identifier)}}" }
        if text == "raw", let raw { text = quiet ? raw.quiet : raw.all }
        if text == "table" { text = standard }
        if text == "json" { text = "{{json .}}" }
        // A whole row goes through Go's own encoder, which escapes `<`, `>` and `&`; single fields do not.
        if text == "{{json .}}" { return rows(nil).map { $0.encoded() + "\n" }.joined() }
        let isTable = text.hasPrefix("table")
        let template: Template
        if isTable { text.removeFirst(5) }
        do throws(CLIError) { template = try Template(Self.unescaped(text.trimming { $0 == " " })) } catch {
            throw CLIError(error.message)
        }
        // Methods look a row's object up by its identifier.
        let rows = rows(template.membersRead?.union([identifier]))
        do throws(CLIError) { return try isTable ? table(template, rows) : lines(template, rows) } catch {
            throw CLIError("template parsing error: \(error.message)")
        }
    }

    private func lines(_ template: Template, _ rows: [JSON]) throws(CLIError) -> String {
        var out = ""
        var evaluator = TemplateEvaluator(template, methods: methods)
        for row in rows { out += try evaluator.render(GoValue(open: row, rowType)) + "\n" }
        return out
    }

    private func table(_ template: Template, _ rows: [JSON]) throws(CLIError) -> String {
        let names = (rows.first?.members.map(\.name) ?? []) + template.fieldNames
        let header = JSON.object(
            names.filter { headers[$0] != Self.untitled }.map {
                .init(name: $0, value: .string(headers[$0] ?? Self.capitals($0)))
            })
        // A method's column is named after its argument: `{{.Label "a"}}` is the column `a`.
        let titles = methods.mapValues { _ in { @Sendable (_: JSON, argument: JSON) in argument } }
        var heads = template.columns.map { TemplateEvaluator($0, methods: titles, functionsPassOn: true) }
        var table = Table(try Self.cells(of: GoValue(header, .map("string", .text)), &heads))
        var columns = template.columns.map { TemplateEvaluator($0, methods: methods) }
        for row in rows { table.add(try Self.cells(of: GoValue(open: row, rowType), &columns)) }
        return table.rendered()
    }

    /// The texts of a line; a tab in a value begins another cell, as in Docker.
    private static func cells(
        of row: GoValue, _ columns: inout [TemplateEvaluator]
    ) throws(CLIError) -> [String] {
        var cells: [String] = []
        cells.reserveCapacity(columns.count)
        for index in columns.indices {
            let text = try columns[index].render(row)
            guard text.utf8.contains(UInt8(ascii: "\t")) else {
                cells.append(text)
                continue
            }
            cells += text.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
        return cells
    }

    /// `CreatedAt` as `CREATED AT`.
    private static func capitals(_ name: String) -> String {
        var out = ""
        var before: Character?
        for character in name {
            if character.isUppercase, before?.isLowercase == true { out += " " }
            out += character.uppercased()
            before = character
        }
        return out
    }

    /// `\t` and `\n` as users type them in a shell.
    private static func unescaped(_ text: String) -> String {
        var out = ""
        var escape = false
        for character in text {
            if escape {
                escape = false
                switch character {
                case "t": out += "\t"
                case "n": out += "\n"
                default: out += "\\\(character)"
                }
            } else if character == "\\" {
                escape = true
            } else {
                out.append(character)
            }
        }
        return escape ? out + "\\" : out
    }
}
