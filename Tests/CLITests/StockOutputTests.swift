import Foundation
import Testing

/// What a command line says and ends with, beside what Docker's own client (28.2) says. `StockOutputs.jsonl` holds that,
/// captured from it while it talked to a daemon with the answers of `RecordedAnswers.jsonl`: those of Docker 20.10 to the
/// same requests, reduced to what is shown, with the EnableIPv4 that later versions send, and some made up to have everything
/// in them that can be shown, with times far ahead so that they are always as long ago.
@Suite(.serialized)
final class StockOutputTests {
    /// One line of the table.
    struct Case: Sendable, CustomTestStringConvertible {
        let line: String
        let result: StockClient.Result
        var testDescription: String { line }
    }

    static let cases = StockClient.rows("StockOutputs.jsonl").compactMap { row -> Case? in
        guard let line = row["line"] as? String, let code = row["code"] as? Int else { return nil }
        let (output, errors) = (row["stdout"] as? String ?? "", row["stderr"] as? String ?? "")
        return Case(line: line, result: .init(code: Int32(code), output: output, errors: errors))
    }

    private let answered: AnsweredFolder
    private var folder: String { answered.path }
    private var daemon: RecordingDaemon { answered.daemon }

    init() throws {
        answered = try AnsweredFolder("outputs")
    }

    private func run(_ program: String, _ line: String) throws -> StockClient.Result {
        try StockClient.run(program, line, in: folder, host: "unix://\(daemon.path)")
    }

    @Test func `the table has views and refusals`() {
        #expect(Self.cases.filter { $0.result.code == 0 }.count > 100)
        #expect(Self.cases.filter { $0.result.code != 0 }.count > 150)
    }

    @Test(arguments: StockOutputTests.cases)
    func `a command line says what Docker's own client says`(row: Case) throws {
        var said = try run(StockClient.ours, row.line)
        // Commands that Docker has not are listed apart.
        for text in [\StockClient.Result.output, \.errors] {
            said[keyPath: text] = said[keyPath: text].replacing(/\n\nExtensions:\n(  .*\n)+\n/, with: "\n\n")
        }
        #expect(said == row.result)
        guard row.result.code == 125 else { return }
        let asked = daemon.take().map(\.path).filter { !["/_ping", "/version"].contains($0) }
        #expect(asked.isEmpty, "what cannot be meant is refused before anything is asked")
    }

    @Test(.enabled(if: StockClient.stock != nil, "needs Docker's client 28.2"), arguments: StockOutputTests.cases)
    func `the table still is what Docker's own client says`(row: Case) throws {
        #expect(try run(StockClient.stock ?? "", row.line) == row.result)
    }
}
