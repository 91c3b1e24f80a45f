import struct Crypto.SHA256
import FoundationEssentials
import HTTP
import Kernel
import NIOCore
import OCI
import RegistryPages
import RegistryStore

extension DistributionRoute {
    /// Pages for people: `/`, `/repositories`, `/search`, `/r/NAME`, `/r/NAME:TAG`, `/r/NAME@DIGEST`. No name of a repository has
    /// a colon or an at sign.
    static func page(_ path: String) -> DistributionRoute? {
        switch path {
        case "/": return DistributionRoute(.home)
        case "/repositories": return DistributionRoute(.list)
        case "/search": return DistributionRoute(.found)
        case "/login": return DistributionRoute(.login)
        default: break
        }
        guard path.hasPrefix("/r/"), path.utf8.count > 3 else { return nil }
        let rest = path.dropFirst(3)
        let mark = rest.firstIndex { $0 == "@" } ?? rest.firstIndex { $0 == ":" }
        guard let mark else { return DistributionRoute(.page, [rest]) }
        return DistributionRoute(.page, [rest[..<mark]], rest[rest.index(after: mark)...])
    }
}

extension DistributionRoute.Kind {
    var isPage: Bool { [.home, .list, .found, .page, .login].contains(self) }
}

extension RegistryAPI {
    /// Repositories and tags of one page.
    static let rowsMax = 50

    /// Nothing on a page is from elsewhere, nothing of an image can become a script, and nobody's page may have ours in it.
    private static let policy: String = {
        func hash(_ text: String) -> String {
            "'sha256-\(Data(SHA256.hash(data: Data(text.utf8))).base64EncodedString())'"
        }
        return """
            default-src 'none'; style-src \(hash(Stylesheet.text)); script-src \(hash(Script.text)); img-src data:; \
            connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'
            """
    }()

    static func page(_ html: HTML, status: Int = 200) -> Response {
        Response(
            status,
            headers: [
                "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy,
                "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
                // What is on it depends on who asks.
                "Cache-Control": "private, no-cache",
            ], body: .bytes(ByteBuffer(string: html.text)))
    }

    func site(_ request: Request, _ user: String?) -> Site {
        Site(host: Self.host(request), user: user, hasAccounts: authenticator != nil, now: RegistryStore.now)
    }

    /// Host and port as the client calls us: what it has to write in front of a repository's name.
    private static func host(_ request: Request) -> String {
        let typed = request.headers["host"] ?? ""
        let isName = typed.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || ".-_:[]".utf8.contains(byte)
        }
        return isName && (1...255).contains(typed.utf8.count) ? typed : "localhost:5000"
    }

    /// Whether a request that a browser makes for a page is for one of ours, and changes nothing.
    static func isOwnPage(_ head: RequestHead) -> Bool {
        guard head.method == .get || head.method == .head, let host = head.headers["host"],
            head.headers.values("origin").count == 1, let origin = head.headers["origin"]
        else { return false }
        return origin == "http://" + host || origin == "https://" + host
    }

    // MARK: Errors

    /// Whether a person is told, and not a program: on pages, and where nothing else is.
    func wantsPage(_ request: Request, _ route: DistributionRoute?) -> Bool {
        route.map(\.kind.isPage) ?? (request.headers["accept"]?.contains("text/html") ?? false)
    }

    func errorPage(_ refusal: Refusal, _ request: Request, _ user: String?) -> Response {
        let page = ErrorPage(
            site: site(request, user), status: refusal.status, message: Self.sentence(refusal.message))
        return Self.page(page.html, status: refusal.status)
    }

    /// `manifest unknown: x` as people write.
    private static func sentence(_ message: String) -> String {
        message.prefix(1).uppercased() + message.dropFirst() + (message.hasSuffix(".") ? "" : ".")
    }

    /// Who is here has been let in: a browser sends name and password from now on.
    var loggedIn: Response { Response(303, headers: ["Location": "/", "Cache-Control": "no-store"]) }
}
