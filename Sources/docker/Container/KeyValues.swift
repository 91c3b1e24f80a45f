/// `KEY=VALUE` options and the files of them.
enum KeyValues {
    /// The environment: files first, then single values. A bare `KEY` takes its value from this process.
    static func environment(files: [String], values: [String]) throws(CLIError) -> JSON {
        var lines: [String] = []
        for file in files { lines += try read(file) }
        var list: [String] = []
        for line in lines + values {
            guard !line.hasPrefix("="), !line.isEmpty else {
                throw CLIError(
                    "invalid argument \"\(line)\" for \"-e, --env\" flag: invalid environment variable: \(line)",
                    exitCode: 125)
            }
            // A name alone that is not set here goes as it is: the daemon takes it out of the image's environment.
            list.append(line.contains("=") ? line : docker.environment(line).map { "\(line)=\($0)" } ?? line)
        }
        return CreateBody.list(list)
    }

    /// Labels; a bare `KEY` has an empty value.
    static func labels(files: [String], values: [String]) throws(CLIError) -> [String: String] {
        var lines: [String] = []
        for file in files { lines += try read(file) }
        return map(lines + values)
    }

    /// `KEY=VALUE` pairs, the last of a name wins.
    static func map(_ values: [String]) -> [String: String] {
        var map: [String: String] = [:]
        for value in values {
            let (name, text) = value.cut("=")
            map[name] = text ?? ""
        }
        return map
    }

    private static func read(_ path: String) throws(CLIError) -> [String] {
        let text = String(decoding: try readFile(path, limit: 1 << 20), as: UTF8.self)
        var lines: [String] = []
        for (index, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            var line = raw.drop(while: \.isWhitespace)
            if index == 0, line.unicodeScalars.first == "\u{feff}" { line = line.dropFirst() }
            guard !line.isEmpty, !line.hasPrefix("#") else { continue }
            let name = line.cut("=").0
            guard !name.contains(where: \.isWhitespace), !name.isEmpty else {
                throw CLIError("invalid env file (\(path)): variable '\(name)' contains whitespaces", exitCode: 125)
            }
            lines.append(String(line))
        }
        return lines
    }
}
