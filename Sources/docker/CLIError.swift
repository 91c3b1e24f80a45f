/// What a command failed with: the text for standard error and the exit code.
struct CLIError: Error, Equatable {
    /// Without the program's name; may be empty when everything has been said already.
    var message: String
    /// The process's exit code: 1, or 125/126/127 for `run` and `exec`, or the container's own.
    var exitCode: CInt = 1
    /// The command whose `--help` is recommended below the message, such as `docker run`.
    var helpFor: String?
    /// How the line that recommends it begins: Docker says `See` where too few arguments were given.
    var helpWord = "Run"
    /// The HTTP status when a daemon refused, for callers that treat 304 or 404 as an answer.
    var status: Int?
    /// Whether the message stands alone, without `docker: ` before it, as Docker prints most errors.
    var bare = true

    init(_ message: String, exitCode: CInt = 1, status: Int? = nil) {
        self.message = message
        self.exitCode = exitCode
        self.status = status
    }

    /// A command that ends with `code` and has nothing to say.
    static func silent(_ code: CInt) -> CLIError { CLIError("", exitCode: code) }

    /// The same error as `docker run` reports it: with its name in front and the help line behind.
    func inRun(_ command: String, _ code: CInt) -> CLIError {
        var copy = self
        copy.bare = false
        copy.exitCode = code
        copy.helpFor = command
        return copy
    }

    /// The text for standard error, ending in a newline.
    var rendered: String {
        var text = (bare ? "" : "docker: ") + message + "\n"
        if let helpFor { text += "\n\(helpWord) '\(helpFor) --help' for more information\n" }
        return text
    }
}

extension CLIError {
    /// The message that says that a daemon cannot be reached, in Docker's words.
    static func unreachable(_ host: String) -> CLIError {
        CLIError("Cannot connect to the Docker daemon at \(host). Is the docker daemon running?")
    }

    /// A failed system call.
    static func system(_ call: String, _ code: CInt) -> CLIError { CLIError("\(call): \(systemMessage(code))") }
}
