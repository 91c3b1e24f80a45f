import Testing

@testable import RegistryPages

@Suite struct MarkdownTests {
    private static let rel = "rel=\"nofollow noopener noreferrer ugc\""

    static let cases: [(String, String)] = [
        ("", ""), ("plain", "<p>plain</p>"), ("a\nb\n\nc", "<p>a\nb</p><p>c</p>"),
        ("# One\n## Two", "<h3>One</h3><h4>Two</h4>"), ("One\n===\nTwo\n---", "<h3>One</h3><h4>Two</h4>"),
        ("#hash", "<p>#hash</p>"), ("# a #", "<h3>a</h3>"), ("* * *", "<hr>"),
        ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
        ("- a\n  - b\n- c", "<ul><li><p>a</p><ul><li>b</li></ul></li><li>c</li></ul>"),
        ("3. a\n4. b", "<ol start=\"3\"><li>a</li><li>b</li></ol>"),
        ("> q\n> r", "<blockquote><p>q\nr</p></blockquote>"),
        ("```sh\na <b>\n```\nx", "<pre tabindex=\"0\"><code>a &lt;b&gt;</code></pre><p>x</p>"),
        ("```\nopen", "<pre tabindex=\"0\"><code>open</code></pre>"),
        ("    code\n\n    more", "<pre tabindex=\"0\"><code>code\n\nmore</code></pre>"),
        (
            "**b** *i* `c` ~~d~~ __s__",
            "<p><strong>b</strong> <em>i</em> <code>c</code> <del>d</del> <strong>s</strong></p>"
        ),
        ("snake_case_name 2 * 3 * 4", "<p>snake_case_name 2 * 3 * 4</p>"), ("\\*no\\*", "<p>*no*</p>"),
        ("a  \nb", "<p>a<br>b</p>"), ("&amp; &lt; &bad;", "<p>&amp; &lt; &amp;bad;</p>"),
        ("[t](https://a.b/c)", "<p><a href=\"https://a.b/c\" \(rel)>t</a></p>"),
        ("[t](javascript:alert(1))", "<p>t)</p>"), ("[t](rel/a.md)", "<p>t</p>"),
        ("![alt](https://a.b/c.png)", "<p><a href=\"https://a.b/c.png\" \(rel)>alt</a></p>"),
        ("[![Build](https://a.b/c.svg)](https://d.e)", "<p><a href=\"https://d.e\" \(rel)>Build</a></p>"),
        ("see https://a.b/c.", "<p>see <a href=\"https://a.b/c\" \(rel)>https://a.b/c</a>.</p>"),
        ("<https://a.b>", "<p><a href=\"https://a.b\" \(rel)>https://a.b</a></p>"),
        ("a <b>c</b> <!-- d --> e", "<p>a c  e</p>"), ("<script>alert(1)</script>", "<p>alert(1)</p>"),
        ("1 < 2 > 0", "<p>1 &lt; 2 &gt; 0</p>"),
        (
            "| a | b |\n|---|:-:|\n| 1 | `x\\|y` |\n",
            """
            <div class="scroll" tabindex="0"><table><thead><tr><th scope="col">a</th><th scope="col">b</th></tr></thead>\
            <tbody><tr><td>1</td><td><code>x\\|y</code></td></tr></tbody></table></div>
            """
        ),
    ]

    @Test(arguments: cases) func `a README as markup`(_ text: String, _ html: String) {
        #expect(Markdown.html(text).text == html)
    }

    /// Tags that the renderer itself writes; a text cannot bring any other.
    @Test func `no tag of a text survives`() {
        let parts = [
            "<", ">", "script", "\"", "'", "[", "](", ")", "`", "*", "_", "~~", "\\", "\n", "\n\n", "- ", "> ", "# ",
            "|", "---",
            "https://", "javascript:", "&", ";", "<!--", "-->", "<img src=x onerror=y>", " ", "a", "    ", "```", "!",
            "\t", "é",
        ]
        let tags: Set<String> = [
            "p", "h3", "h4", "h5", "h6", "ul", "ol", "li", "pre", "code", "strong", "em", "del", "a", "br", "hr", "div",
            "table",
            "thead", "tbody", "tr", "th", "td", "blockquote",
        ]
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let text = (0..<40).map { _ in parts.randomElement(using: &random) ?? "" }.joined()
            let html = Markdown.html(text).text
            for tag in html.split(separator: "<").dropFirst(html.hasPrefix("<") ? 0 : 1) {
                let name = tag.drop { $0 == "/" }.prefix { $0.isLetter || $0.isNumber }
                #expect(tags.contains(String(name)), "\(text.debugDescription) gave <\(tag)")
                #expect(tag.contains(">"), "\(text.debugDescription) gave <\(tag)")
            }
            #expect(!html.contains("href=\"javascript"), "\(text.debugDescription)")
        }
    }

    @Test(arguments: [
        "[", "(", "*", "**a", "_a ", "`", "``a", "<", "<!--", "[a](", "> ", "- ", "#", "|", "~~x", "&", "\\", "![",
        "-http://",
        "1. a\n   ", "> - ", "`` ` ",
    ]) func `a text of one mark takes no longer than another`(_ mark: String) {
        let text = String(repeating: mark, count: Markdown.bytesMax / 4 / mark.utf8.count)
        let began = ContinuousClock.now
        _ = Markdown.html(text)
        // What takes the square of the text's length would take hours.
        #expect(ContinuousClock.now - began < .seconds(60))
    }

    @Test func `runs of backticks of every length take no longer than another text`() {
        let text = (1...715).reversed().map { String(repeating: "`", count: $0) + "a" }.joined()
        let began = ContinuousClock.now
        #expect(Markdown.html("x " + text).text.utf8.count < text.utf8.count + 20)
        #expect(ContinuousClock.now - began < .seconds(10))
        #expect(Markdown.html("`a``b` \\``c` ``d").text == "<p><code>a``b</code> `<code>c</code> ``d</p>")
    }

    @Test func `a long README is cut`() {
        let html = Markdown.html(String(repeating: "é", count: Markdown.bytesMax))
        #expect(html.text.utf8.count <= Markdown.bytesMax + 100)
    }
}
