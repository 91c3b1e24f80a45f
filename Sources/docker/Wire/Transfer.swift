@preconcurrency import Glibc

/// Bodies that go to a file or standard output.
enum Download {
    /// Refuses to write an archive on a terminal.
    static func check(_ path: String?, _ verb: String) throws(CLIError) {
        guard path == nil, Terminal.isTerminal(1) else { return }
        throw CLIError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    }

    /// Copies a body; a file appears under its name only when it is whole.
    static func write(_ response: Response, to path: String?) throws(CLIError) {
        guard let path else {
            return try copy(response, 1)
        }
        let temporary = "\(path).\(getpid()).tmp"
        let raw = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard raw >= 0 else { throw CLIError("open \(path): \(systemMessage(errno).lowercasedFirst)") }
        let file = Descriptor(adopting: raw)
        do throws(CLIError) {
            try copy(response, file.raw)
            guard rename(temporary, path) == 0 else { throw .system("rename \(path)", errno) }
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Copies a body to a descriptor.
    static func copy(_ response: Response, _ descriptor: CInt) throws(CLIError) {
        while true {
            let part = try response.piece()
            if part.isEmpty { return }
            try writeAll(descriptor, part)
        }
    }
}

/// Bodies that come from a file or standard input.
struct Upload {
    private let file: Descriptor
    var descriptor: CInt { file.raw }

    /// Opens a file; standard input without a path.
    init(path: String?) throws(CLIError) {
        let raw = path.map { open($0, O_RDONLY | O_CLOEXEC) } ?? dup(0)
        guard raw >= 0 else { throw CLIError("open \(path ?? "stdin"): \(systemMessage(errno).lowercasedFirst)") }
        file = Descriptor(adopting: raw)
    }

    /// The next piece, empty at the end.
    func next() throws(CLIError) -> [UInt8] { try readSome(file.raw, 262_144) }

    /// Shows the JSON messages, or copies the text, that come back.
    static func show(_ response: Response, on descriptor: CInt = 1) throws(CLIError) {
        guard response.headers["content-type"]?.contains("json") ?? true else {
            return try Download.write(response, to: nil)
        }
        try follow(response, ProgressView(descriptor: descriptor))
    }

    /// Reads JSON messages to their end and shows them in `view`, where there is one.
    ///
    /// - Parameter aux: gets values that are there for clients, and gives a line to show in their place.
    /// - Throws: the error that a message tells.
    static func follow(
        _ response: Response, _ view: ProgressView?, aux: (JSON) -> String? = { _ in nil }
    ) throws(CLIError) {
        var view = view
        defer { view?.finish() }
        while let message = try response.nextMessage() {
            if let error = message["errorDetail"]?["message"]?.string ?? message["error"]?.string {
                throw CLIError(error)
            }
            guard let values = message["aux"] else {
                view?.show(message)
                continue
            }
            if let line = aux(values) { view?.show(["status": .string(line)]) }
        }
    }
}
