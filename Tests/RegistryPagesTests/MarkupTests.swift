import Testing

@testable import RegistryPages

/// Whatever an image says comes out as text.
@Suite struct MarkupTests {
    static let hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\u{202e}gnp.exe\u{1b}[31m"

    @Test func `what is put into markup is text`() {
        let html: HTML = "<td title=\"\(Self.hostile)\">\(Self.hostile)</td>"
        let escaped =
            "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&gt;&lt;img src=x onerror=alert(2)&gt;&amp;amp;\u{fffd}gnp.exe\u{fffd}[31m"
        #expect(html.text == "<td title=\"\(escaped)\">\(escaped)</td>")
    }

    @Test func `markup inside of markup stays what it is`() {
        let inner: HTML = "<b>\("a<b")</b>"
        let outer: HTML = "<p>\(inner)\(7)\([inner, inner].joined())</p>"
        #expect(outer.text == "<p><b>a&lt;b</b>7<b>a&lt;b</b><b>a&lt;b</b></p>")
    }

    @Test(arguments: [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "//evil.example", "ftp://x", "http://a b", "",
        "https://a\\b", " https://a", "https://a\u{1}",
    ]) func `only the web is linked`(_ address: String) { #expect(Link.web(address) == nil) }

    @Test func `addresses of the web are linked`() {
        #expect(Link.web("https://a.example/x?y=1&z=\"") == "https://a.example/x?y=1&z=\"")
        let html = HTML.value("HTTPS://a.example/\"onclick=")
        #expect(
            html.text
                == "<a href=\"HTTPS://a.example/&quot;onclick=\" rel=\"nofollow noopener noreferrer ugc\">HTTPS://a.example/&quot;onclick=</a>"
        )
    }

    @Test func `addresses of pages are escaped`() {
        #expect(Link.tag("a?b#c", of: "x/y") == "/r/x/y:a%3Fb%23c")
        #expect(Link.path("/search", ["q": "a b&c", "cursor": nil]) == "/search?q=a%20b%26c")
    }

    // MARK: Words

    @Test(arguments: [
        (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1234, "1.2 kB"), (99_949, "99.9 kB"), (999_499, "999 kB"),
        (1_000_000, "1 MB"), (123_456_789, "123 MB"), (-5, "0 B"),
    ]) func `sizes`(_ bytes: Int, _ text: String) { #expect(Wording.size(Int64(bytes)) == text) }

    @Test(arguments: [
        (0, "just now"), (30, "30 seconds ago"), (90, "a minute ago"), (600, "10 minutes ago"), (3700, "an hour ago"),
        (86400, "24 hours ago"), (3 * 86400, "3 days ago"), (40 * 86400, "5 weeks ago"), (100 * 86400, "3 months ago"),
        (800 * 86400, "2 years ago"), (-100, "just now"),
    ]) func `times as Docker says them`(_ seconds: Int, _ text: String) {
        #expect(Wording.ago(1_700_000_000 - Int64(seconds), now: 1_700_000_000) == text)
    }

    @Test(arguments: [
        ("2026-11-29T00:49:03Z", 1_795_913_343), ("2026-11-29T02:49:03.123456789+02:00", 1_795_913_343),
        ("1970-01-01T00:00:00Z", 0), ("2000-02-29T23:59:59Z", 951_868_799), ("1600-03-01T00:00:00Z", -11_670_912_000),
    ]) func `times are read and written`(_ text: String, _ seconds: Int) {
        #expect(Timestamp.seconds(text) == Int64(seconds))
        guard seconds >= 0, text.hasSuffix("Z") else { return }
        #expect(Timestamp.text(Int64(seconds)) == text)
    }

    @Test(arguments: [
        "", "0001-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+2",
        "x026-01-01T00:00:00Z", "2026-01-01T00:00:00+0é:0",
    ]) func `what is no time`(_ text: String) { #expect(Timestamp.seconds(text) == nil) }

    @Test(arguments: [
        ("/bin/sh -c #(nop)  CMD [\"sh\"]", "CMD", "[\"sh\"]"), ("/bin/sh -c apt-get update", "RUN", "apt-get update"),
        ("RUN /bin/sh -c make # buildkit", "RUN", "make"), ("COPY a b # buildkit", "COPY", "a b"),
        ("|1 A=1 /bin/sh -c make all", "RUN", "make all"), ("apko", "", "apko"), ("", "", ""),
        ("/bin/sh -c #(nop) ADD file:abc in / ", "ADD", "file:abc in /"),
    ]) func `steps of a build`(_ text: String, _ keyword: String, _ rest: String) {
        let step = Instruction(text)
        #expect(step.keyword == keyword)
        #expect(step.rest == rest)
    }

    // MARK: Configurations

    @Test func `what can be read of a configuration is shown`() throws {
        let details = try #require(
            ImageDetails(
                parsing: Array(
                    """
                    {"os":"linux","architecture":7,"created":"2026-01-01T00:00:00Z","config":{"Env":["A=1"],"Cmd":"no list",\
                    "ExposedPorts":{"80/tcp":{},"53/udp":7},"Labels":{"a":"b"},"Volumes":null},\
                    "history":[{"created_by":"RUN x","empty_layer":true},{"created_by":9}]}
                    """.utf8)))
        #expect(details.os == "linux")
        #expect(details.architecture == nil)
        #expect(details.platform == nil)
        #expect(details.config.environment == ["A=1"])
        #expect(details.config.command == [])
        #expect(details.config.ports == ["53/udp", "80/tcp"])
        #expect(details.config.labels == ["a": "b"])
        #expect(details.history.count == 2)
        #expect(details.history.first?.isEmpty == true)
        #expect(details.history.last?.createdBy == nil)
    }

    @Test(arguments: [
        "", "[]", "null", "{", "{\"os\":\"a\",\"os\":\"b\"}", "\u{0}{}", String(repeating: "[", count: 9999),
    ])
    func `what is no configuration`(_ text: String) { #expect(ImageDetails(parsing: Array(text.utf8)) == nil) }
}
