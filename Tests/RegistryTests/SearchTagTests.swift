import OCI
import TestServers
import Testing

@testable import Registry

/// Tags of what a search finds.
@Suite struct SearchTagTests {
    @Test func `tags that an index does not add are asked for, and one that fails has none`() async throws {
        let server = try FaultyServer { asked, answer in
            let body: String
            if asked.target.hasPrefix("/v1/search?q=web&n=9") {
                body = #"{"results":[{"name":"a"},{"name":"b/c","tags":["x","../y"]},{"name":"gone"},{"name":"\n"}]}"#
            } else if asked.target == "/v2/a/tags/list?n=25" {
                body = #"{"name":"a","tags":["1","2","//"]}"#
            } else {
                return answer.reply(404, [], Array("{}".utf8))
            }
            answer.reply(200, [], Array(body.utf8))
        }
        let found = try await withClient(try impatient()) { client in
            try await client.search("\(server.authority)/web", limit: 9, withTags: true)
        }
        #expect(found.map(\.name) == ["a", "b/c", "gone", "\n"])
        #expect(found.map(\.tags) == [["1", "2"], ["x"], nil, nil])
        #expect(server.asked.first?.target == "/v1/search?q=web&n=9&tags=1")
        let plain = try await withClient(try impatient()) { client in
            try await client.search("\(server.authority)/web", limit: 9)
        }
        #expect(plain.first?.tags == nil)
        #expect(server.asked.last?.target == "/v1/search?q=web&n=9")
    }
}
