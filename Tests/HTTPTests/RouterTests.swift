import Glibc
import HTTP
import Synchronization
import Testing

/// Counts from any thread.
final class Counter: Sendable {
    private let count = Atomic<Int>(0)
    func add(_ more: Int) { count.wrappingAdd(more, ordering: .relaxed) }
    var value: Int { count.load(ordering: .relaxed) }
}

@Suite struct RouterTests {
    private let router = Router<String>(
        [
            Route(.get, "/info", "info"), Route(.get, "/containers/json", "list"),
            Route(.get, "/containers/{id}/json", "inspect"), Route(.get, "/images/json", "images"),
            Route(.get, "/images/{name:.*}/json", "image"), Route(.delete, "/images/{name:.*}", "remove"),
            Route(.get, "/distribution/{name:.*}/json", "distribution", since: APIVersion(1, 30)),
        ], versions: APIVersion(1, 24)...APIVersion(1, 51))

    @Test(
        arguments: [
            ("GET", "/info", "info", [:]), ("GET", "/v1.24/info", "info", [:]),
            ("GET", "/v1.51/containers/json", "list", [:]),
            ("GET", "/containers/abc/json", "inspect", ["id": "abc"]), ("GET", "/images/json", "images", [:]),
            ("GET", "/v1.41/images/host:5000/a/b:c/json", "image", ["name": "host:5000/a/b:c"]),
            ("DELETE", "/images/a/b", "remove", ["name": "a/b"]),
            ("GET", "/distribution/x/json", "distribution", ["name": "x"]),
        ] as [(String, String, String, [String: String])])
    func `a path finds its row with and without a version`(
        method: String, path: String, handler: String, parameters: [String: String]
    ) throws {
        let match = try router.match(Method(method), path)
        #expect(match.handler == handler)
        #expect(match.parameters == parameters)
    }

    @Test(arguments: [
        ("GET", "/nothing", 404, "page not found"), ("POST", "/info", 404, "page not found"),
        ("GET", "/containers//json", 404, "page not found"), ("GET", "/info/", 404, "page not found"),
        ("GET", "/", 404, "page not found"), ("GET", "/v1.29/distribution/x/json", 404, "page not found"),
        ("GET", "/v1.52/info", 400, "client version 1.52 is too new. Maximum supported API version is 1.51"),
        (
            "GET", "/v1.23/info", 400,
            "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
        ),
    ])
    func `what is not served is refused in Docker's words`(method: String, path: String, status: Int, message: String) {
        #expect(throws: HTTPError(status, message)) { try router.match(Method(method), path) }
    }
}

@Suite struct ListeningSocketTests {
    @Test func `a stale socket is replaced, a live one and other files are not`() throws {
        let path = "/tmp/http-listen-\(getpid())-\(UInt32.random(in: 0...UInt32.max))/deep/a.sock"
        defer {
            unlink(path)
            rmdir(String(path.dropLast(7)))
            rmdir(String(path.dropLast(12)))
        }
        do { _ = try ListeningSocket.unix(path, group: nil) }
        var status = stat()
        #expect(lstat(path, &status) == 0 && status.st_mode & 0o777 == 0o660)
        _ = try ListeningSocket.unix(path, group: nil)
        unlink(path)
        #expect(throws: ListeningSocket.Failure.self) { try ListeningSocket.unix("/etc/hostname", group: nil) }
        #expect(throws: ListeningSocket.Failure.self) { try ListeningSocket.unix("relative.sock", group: nil) }
    }

    @Test func `a socket that somebody answers on is left alone`() async throws {
        try await withServer(echo) { path, _ in
            #expect(throws: ListeningSocket.Failure.self) { try ListeningSocket.unix(path, group: nil) }
        }
    }
}
