import Foundation

extension RegistryLab {
    struct Outcome {
        let status: Int32
        let out: String
        let err: String
    }

    /// Runs `docker registry` over the lab's folder.
    @discardableResult
    func operate(_ arguments: [String], input: String = "") throws -> Outcome {
        try Self.run(
            Self.binaries + "/docker", ["registry"] + arguments + ["--data", directory + "/data"], input: input)
    }

    /// Runs a program to its end.
    static func run(_ program: String, _ arguments: [String], input: String = "") throws -> Outcome {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        let (standardInput, out, err) = (Pipe(), Pipe(), Pipe())
        process.standardInput = standardInput
        process.standardOutput = out
        process.standardError = err
        try process.run()
        standardInput.fileHandleForWriting.write(Data(input.utf8))
        try standardInput.fileHandleForWriting.close()
        let text = String(decoding: out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let errors = String(decoding: err.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return Outcome(status: process.terminationStatus, out: text, err: errors)
    }

    // MARK: Accounts

    func addUser(_ name: String, _ password: String) throws {
        let done = try operate(["user", "add", name, "--password-stdin"], input: password + "\n")
        guard done.status == 0 else { throw LabFailure("user add: \(done.err)") }
    }

    /// - Returns: its secret.
    func addRobot(_ name: String, _ options: [String] = []) throws -> String {
        let done = try operate(["robot", "add", name] + options)
        guard done.status == 0 else { throw LabFailure("robot add: \(done.err)") }
        return done.out.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func grant(_ account: String, _ pattern: String, _ rights: String) throws {
        let done = try operate(["grant", account, pattern, rights])
        guard done.status == 0 else { throw LabFailure("grant: \(done.err)") }
    }
}
