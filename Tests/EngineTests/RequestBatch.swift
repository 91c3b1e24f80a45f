import Foundation

/// Many requests by one curl, so that a table of thousands takes seconds.
struct RequestBatch {
    private var script = ""
    private(set) var names: [String] = []
    /// Between the answers: no JSON has it.
    private static let mark = "\u{1}status "

    var isEmpty: Bool { names.isEmpty }

    /// - Parameters:
    ///   - path: as it goes out; nothing is resolved or escaped.
    ///   - body: after "@", the path of a file.
    mutating func add(
        _ method: String, _ path: String, body: String = "", type: String = "application/json",
        headers: [String] = [], name: String? = nil
    ) {
        names.append(name ?? "\(method) \(path.prefix(200)) \(body.prefix(200))")
        if !script.isEmpty { script += "next\n" }
        script += "url = \(Self.quoted("http://docker\(path)"))\ngloboff\npath-as-is\nsilent\nmax-time = 60\n"
        script += "header = \"Expect:\"\nheader = \(Self.quoted("Content-Type: \(type)"))\n"
        for header in headers { script += "header = \(Self.quoted(header))\n" }
        if method == "HEAD" {
            script += "head\n"
        } else {
            script += "request = \(method)\n"
            if method != "GET" { script += "data-binary = \(Self.quoted(body))\n" }
        }
        script += "write-out = \"\\x\"\n".replacing("\\x", with: "\u{1}status %{http_code}\\n")
    }

    private static func quoted(_ text: String) -> String {
        let escaped = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
        return "\"\(escaped)\""
    }

    /// Sends everything in order, on one connection where the daemon keeps it.
    func send(to lab: Lab) throws -> [(name: String, answer: Lab.Answer)] {
        // A socket belongs to one transfer's options.
        let socket = "unix-socket = \"\(lab.directory)/docker.sock\"\n"
        let whole = socket + script.replacing("next\n", with: "next\n" + socket)
        let out = try Lab.run("/usr/bin/curl", ["-K", "-"], input: whole).out
        var rest = out[...]
        var answers: [Lab.Answer] = []
        while let mark = rest.range(of: Self.mark) {
            let body = String(rest[..<mark.lowerBound])
            rest = rest[mark.upperBound...]
            let status = rest.prefix { $0 != "\n" }
            rest = rest.dropFirst(status.count + 1)
            answers.append(Lab.Answer(status: Int(status) ?? 0, body: body))
        }
        guard answers.count == names.count else {
            throw LabFailure("\(answers.count) answers to \(names.count) requests: \(out.suffix(200))")
        }
        return Array(zip(names, answers)).map { ($0.0, $0.1) }
    }
}
