import Foundation
import Testing

@testable import RegistryServer

/// Log-ins at once: who guesses keeps nobody else out, and learns nothing by how long it takes.
@Suite struct LoginTests {
    private static func ticket(_ id: Int, _ address: String, _ account: String) -> LoginTurns.Ticket {
        LoginTurns.Ticket(id: id, address: address, account: account)
    }

    @Test func `one address has not all checks, and another one is next however many wait`() {
        var turns = LoginTurns()
        var answers: [LoginTurns.Answer] = []
        for id in 0..<100 { answers.append(turns.begin(Self.ticket(id, "guesser", "name-\(id)"))) }
        #expect(answers.filter { $0 == .begins }.count == LoginTurns.sharedMax)
        #expect(answers.filter { $0 == .waits }.count == LoginTurns.sharedWaitingMax)
        let (first, second) = (Self.ticket(200, "other", "ann"), Self.ticket(201, "third", "bob"))
        #expect(turns.begin(first) == .begins)
        #expect(turns.begin(second) == .waits)
        // The guesser's next begins when one of its own ends, unless another's turn has come.
        #expect(turns.end(Self.ticket(0, "guesser", "name-0")).map(\.id) == [3])
        #expect(turns.end(Self.ticket(1, "guesser", "name-1")).map(\.id) == [201])
    }

    @Test func `one account is tried by many addresses, and another one waits for none of them`() {
        var turns = LoginTurns()
        var begun: [LoginTurns.Ticket] = []
        for id in 0..<100 {
            let ticket = Self.ticket(id, "a\(id)", "ann")
            if turns.begin(ticket) == .begins { begun.append(ticket) }
        }
        #expect(begun.count == LoginTurns.sharedMax)
        #expect(turns.begin(Self.ticket(100, "a100", "bob")) == .begins)
        // Nothing stays of those who have gone.
        var ended = 0
        var running = begun + [Self.ticket(100, "a100", "bob")]
        while let ticket = running.popLast() {
            ended += 1
            running += turns.end(ticket)
        }
        #expect(ended == LoginTurns.checksMax + LoginTurns.sharedWaitingMax)
        #expect(turns == LoginTurns())
    }

    @Test(arguments: [
        ("10.1.2.3", "10.1.2.3"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("2001:db8::6", "2001:db8:0:0::/64"),
        ("::1", "0:0:0:0::/64"), ("", ""), ("::ffff:10.1.2.3", "10.1.2.3"),
    ])
    func `addresses of one network count as one`(address: String, network: String) {
        #expect(LoginTurns.network(address) == network)
    }

    @Test func `whoever knows the password gets in while others guess`() async throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let lab = try RegistryLab(["--htpasswd", try AccessTests.passwordFile(folder)])
        try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<12 {
                group.addTask {
                    let (done, thread) = (AsyncStream.makeStream(of: Int.self), number)
                    Thread.detachNewThread {
                        let header = AccessTests.basic(thread < 11 ? "guess\(thread):x" : "user:secret")
                        done.continuation.yield((try? lab.ask("GET", "/v2/", [header]))?.status ?? 0)
                        done.continuation.finish()
                    }
                    for await status in done.stream { return status }
                    return 0
                }
            }
            var statuses: [Int: Int] = [:]
            for try await status in group { statuses[status, default: 0] += 1 }
            #expect(statuses == [401: 11, 200: 1])
        }
    }

    @Test func `a name that nobody has takes as long as one with a cheap hash`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let text = try String(contentsOfFile: try AccessTests.passwordFile(folder), encoding: .utf8)
        let file = try PasswordFile(parsing: text.trimmingCharacters(in: .whitespacesAndNewlines))
        #expect(file.cost == 5)
        let hash = try #require(file.hash(of: "user"))
        func fastest(_ hash: String?) -> Duration {
            let clock = ContinuousClock()
            return (0..<5).map { _ in clock.measure { _ = PasswordHash.matches("guess", hash, asLongAs: 9) } }.min()
                ?? .zero
        }
        let (known, unknown) = (fastest(hash), fastest(nil))
        #expect(known < unknown * 1.5 && unknown < known * 1.5, "\(known) and \(unknown)")
        #expect(PasswordHash.matches("secret", hash, asLongAs: 9) && !PasswordHash.matches("secret", nil, asLongAs: 9))
    }
}
