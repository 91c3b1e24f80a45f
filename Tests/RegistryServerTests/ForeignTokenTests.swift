import Crypto
import CryptoExtras
import Foundation
import Testing

@testable import RegistryServer

/// Tokens of a token service that is not ours, and of those who would like to be it.
@Suite struct ForeignTokenTests {
    private static let now = Date().timeIntervalSince1970

    private static func claims() -> WebToken.Claims {
        WebToken.Claims(
            iss: "auth.example", sub: "ann", aud: .init("registry.example"), exp: now + 600, nbf: now - 5, iat: now,
            access: [Scope(type: "repository", name: "team", actions: ["pull"])])
    }

    /// The service's keys, in files.
    private struct Service {
        let folder: String
        let rsa: _RSA.Signing.PrivateKey
        let p256 = P256.Signing.PrivateKey()
        let ed25519 = Curve25519.Signing.PrivateKey()
        let certified = P256.Signing.PrivateKey()

        init(_ folder: String) throws {
            self.folder = folder
            rsa = try _RSA.Signing.PrivateKey(keySize: .bits2048)
            let parts = try rsa.publicKey.getKeyPrimitives()
            func text(_ bytes: some Sequence<UInt8>) -> String { Base64URL.encode(bytes) }
            let point = Array(p256.publicKey.rawRepresentation)
            let set = WebKeySet(keys: [
                WebKey(kty: "RSA", kid: "r", n: text(parts.modulus), e: text(parts.publicExponent)),
                WebKey(kty: "EC", kid: "p", alg: "ES256", crv: "P-256", x: text(point[..<32]), y: text(point[32...])),
                WebKey(kty: "OKP", kid: "e", crv: "Ed25519", x: text(ed25519.publicKey.rawRepresentation)),
                WebKey(kty: "oct", kid: "o"), WebKey(kty: "EC", kid: "bad", crv: "P-256", x: "AA", y: "AA"),
            ])
            try JSONEncoder().encode(set).write(to: URL(filePath: folder + "/keys.json"))
            try certified.pemRepresentation.write(toFile: folder + "/leaf.key", atomically: true, encoding: .utf8)
            let script = """
                set -e; cd \(folder)
                ext() { printf "basicConstraints=critical,CA:$1\\nkeyUsage=critical,$2\\n" > ext.cnf; }
                for ca in root stranger; do
                    openssl ecparam -name prime256v1 -genkey -noout -out $ca.key
                    openssl req -new -x509 -key $ca.key -subj /CN=$ca -days 30 -out $ca.pem \
                        -addext keyUsage=critical,keyCertSign
                    openssl req -new -key leaf.key -subj /CN=leaf -out leaf.csr
                    ext FALSE digitalSignature
                    openssl x509 -req -in leaf.csr -CA $ca.pem -CAkey $ca.key -CAcreateserial -days 30 \
                        -extfile ext.cnf -out leaf-$ca.pem
                    openssl x509 -in leaf-$ca.pem -outform der | base64 -w0 > leaf-$ca.b64
                done
                """
            let made = try RegistryLab.run("/bin/bash", ["-c", script])
            try #require(made.status == 0, "\(made.err)")
        }

        func chain(_ authority: String) throws -> [String] {
            [try String(contentsOfFile: "\(folder)/leaf-\(authority).b64", encoding: .utf8)]
        }

        func sign(_ header: WebToken.Header, _ claims: WebToken.Claims) throws -> String {
            try WebToken.make(header, claims) { bytes in
                let digest = SHA256.hash(data: bytes)
                return switch header.kid {
                case "r": Array(try rsa.signature(for: digest, padding: .insecurePKCS1v1_5).rawRepresentation)
                case "e": Array(try ed25519.signature(for: bytes))
                case nil: Array(try certified.signature(for: digest).rawRepresentation)
                default: Array(try p256.signature(for: digest).rawRepresentation)
                }
            }
        }
    }

    private static func start(_ service: Service) throws -> RegistryLab {
        let path = service.folder + "/config.json"
        try """
        {"tokens":{"realm":"https://auth.example/token","service":"registry.example","issuer":"auth.example",
        "jwks":"\(service.folder)/keys.json","certificates":"\(service.folder)/root.pem"}}
        """.write(toFile: path, atomically: true, encoding: .utf8)
        return try RegistryLab(["--config", path])
    }

    private static func changed(_ change: (inout WebToken.Claims) -> Void) -> WebToken.Claims {
        var claims = claims()
        change(&claims)
        return claims
    }

    @Test func `tokens of another service are taken when all of them is right, and no others`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let service = try Service(folder)
        let lab = try Self.start(service)
        func reply(_ token: String, _ path: String = "/v2/team/tags/list") throws -> RegistryLab.Reply {
            try lab.ask("GET", path, ["Authorization: Bearer \(token)"])
        }
        let challenge = try lab.ask("GET", "/v2/team/tags/list").headers["www-authenticate"]
        #expect(
            challenge
                == "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",scope=\"repository:team:pull\""
        )
        #expect(try lab.ask("GET", "/token").status == 404)
        let good: [(String, WebToken.Header)] = [
            ("RS256", .init(alg: "RS256", kid: "r")), ("ES256", .init(alg: "ES256", kid: "p", typ: "JWT")),
            ("EdDSA", .init(alg: "EdDSA", kid: "e")),
            ("a chain", .init(alg: "ES256", x5c: try service.chain("root"))),
        ]
        for (name, header) in good {
            let token = try service.sign(header, Self.claims())
            let opened = try reply(token)
            #expect(opened.status == 404, "\(name): \(opened.text)")
            #expect(try reply(token, "/v2/").status == 200)
            #expect(try reply(token, "/v2/other/tags/list").status == 401)
            #expect(try reply(token, "/v2/_catalog").status == 401)
        }
        let p256 = WebToken.Header(alg: "ES256", kid: "p")
        let list = Self.changed { $0.access = [.catalog] }
        #expect(try reply(try service.sign(p256, list), "/v2/_catalog").status == 200)
        let bad = try Self.hostile(service)
        for (name, token) in bad {
            let refused = try reply(token)
            #expect(refused.status == 401, "\(name): \(refused.text)")
            #expect(refused.headers["www-authenticate"]?.hasSuffix("error=\"invalid_token\"") == true, "\(name)")
        }
        // More than any header may have.
        #expect(try (400...499).contains(reply(String(repeating: "a", count: 200_000)).status))
        #expect(try lab.ask("GET", "/healthz").status == 200)
    }

    /// Tokens that are wrong in one thing.
    private static func hostile(_ service: Service) throws -> [(String, String)] {
        let p256 = WebToken.Header(alg: "ES256", kid: "p")
        let right = try service.sign(p256, claims())
        let parts = right.split(separator: ".").map(String.init)
        func encoded(_ json: String) -> String { Base64URL.encode(Array(json.utf8)) }
        // The public key as the secret of a MAC.
        let confused = encoded("{\"alg\":\"HS256\",\"kid\":\"r\"}") + "." + parts[1]
        let mac = HMAC<SHA256>.authenticationCode(
            for: Data(confused.utf8), using: SymmetricKey(data: Data(service.rsa.publicKey.pemRepresentation.utf8)))
        let twice = encoded(
            "{\"iss\":\"auth.example\",\"iss\":\"auth.example\",\"aud\":\"registry.example\",\"exp\":99999999999}")
        var stranger = WebToken.Header(alg: "ES256")
        stranger.x5c = try service.chain("stranger")
        var long = WebToken.Header(alg: "ES256")
        long.x5c = Array(repeating: try service.chain("root")[0], count: 9)
        var claimless: [(String, String)] = []
        for (name, change) in [
            ("expired", { $0.exp = now - 120 }), ("endless", { $0.exp = nil }), ("early", { $0.nbf = now + 120 }),
            ("another service", { $0.aud = .init("other.example") }), ("no service", { $0.aud = nil }),
            ("another issuer", { $0.iss = "evil.example" }), ("no issuer", { $0.iss = nil }),
        ] as [(String, (inout WebToken.Claims) -> Void)] {
            claimless.append((name, try service.sign(p256, changed(change))))
        }
        return claimless + [
            ("none", encoded("{\"alg\":\"none\"}") + "." + parts[1] + "."),
            ("none, signed", encoded("{\"alg\":\"none\",\"kid\":\"p\"}") + "." + parts[1] + "." + parts[2]),
            ("a MAC", confused + "." + Base64URL.encode(Array(mac))),
            ("another algorithm", try service.sign(.init(alg: "RS256", kid: "p"), claims())),
            ("another key", try service.sign(.init(alg: "ES256", kid: "x"), claims())),
            ("no key", try service.sign(.init(alg: "ES256"), claims())),
            ("a key that is none", try service.sign(.init(alg: "ES256", kid: "o"), claims())),
            ("a stranger's chain", try service.sign(stranger, claims())),
            ("a long chain", try service.sign(long, claims())),
            ("an extension", try service.sign(.init(alg: "ES256", kid: "p", crit: ["exp"]), claims())),
            ("changed claims", parts[0] + "." + encoded("{\"iss\":\"auth.example\"}") + "." + parts[2]),
            ("claims twice", parts[0] + "." + twice + "." + parts[2]),
            ("no signature", parts[0] + "." + parts[1] + "."),
            ("a cut signature", String(right.dropLast(4))), ("two parts", parts[0] + "." + parts[1]),
            ("four parts", right + ".x"), ("padding", right + "="), ("nothing", ""), ("dots", ".."),
            ("deep", encoded(String(repeating: "[", count: 5000)) + "." + parts[1] + "." + parts[2]),
            ("long", right + String(repeating: "A", count: 20_000)),
        ]
    }

    @Test func `a key whose certificate is not valid now verifies nothing, alone or as an authority`() async throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let made = try RegistryLab.run(
            "/bin/bash",
            [
                "-c",
                """
                set -e; cd \(folder)
                openssl ecparam -name prime256v1 -genkey -noout -out a.key
                openssl req -new -key a.key -subj /CN=a -out a.csr
                touch index.txt; printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes
                default_md=sha256\npolicy=p\nunique_subject=no\nemail_in_dn=no\n[p]\ncommonName=supplied\n' > ca.cnf
                for span in past:20200101000000Z:20210101000000Z now:20200101000000Z:20400101000000Z \
                    future:20390101000000Z:20400101000000Z; do
                    IFS=: read name from to <<< $span
                    openssl ca -batch -config ca.cnf -selfsign -keyfile a.key -in a.csr -out $name.pem \
                        -startdate $from -enddate $to -notext
                done
                cat past.pem now.pem > renewed.pem
                openssl x509 -in past.pem -outform der | base64 -w0 > past.b64
                """,
            ])
        try #require(made.status == 0, "\(made.err)")
        let text = try String(contentsOfFile: folder + "/a.key", encoding: .utf8)
        let key = try P256.Signing.PrivateKey(pemRepresentation: text)
        let name = VerificationKey.p256(key.publicKey).name
        for (file, isTaken) in [("past", false), ("now", true), ("future", false), ("renewed", true)] {
            let keys = try ExternalKeys(keySet: nil, certificates: "\(folder)/\(file).pem")
            for kid in [name, nil] {
                let taken = try? await keys.key(for: .init(alg: "ES256", kid: kid))
                #expect((taken != nil) == isTaken, "\(file)")
            }
        }
        let past = try ExternalKeys(keySet: nil, certificates: folder + "/past.pem")
        let chain = [try String(contentsOfFile: folder + "/past.b64", encoding: .utf8)]
        await #expect(throws: WebToken.Failure.self) { try await past.key(for: .init(alg: "ES256", x5c: chain)) }
    }

    @Test func `a configuration that says too little is refused with what is missing`() throws {
        let folder = try AccessTests.folder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for (tokens, reason) in [
            ("{}", "realm is missing"), ("{\"realm\":\"https://a/token\"}", "jwks or certificates is missing"),
            ("{\"issue\":true,\"jwks\":\"/x\"}", "issue needs no jwks"), ("{\"isue\":true}", "unknown key"),
            ("{\"issue\":true,\"lifetime\":\"5\"}", "tokens.lifetime: want a number and s, m, h or d"),
            ("{\"issue\":true,\"lifetime\":\"5s\"}", "at least 60s"),
            ("{\"issue\":true,\"service\":\"a\\\"b\"}", "no blanks, quotes"),
            ("{\"realm\":\"https://a/token\",\"jwks\":\"/nowhere\"}", "/nowhere"),
        ] {
            let path = folder + "/config.json"
            try "{\"tokens\":\(tokens)}".write(toFile: path, atomically: true, encoding: .utf8)
            let done = try RegistryLab.run(
                RegistryLab.binaries + "/docker",
                ["registry", "serve", "--addr", "127.0.0.1:0", "--data", folder + "/data", "--config", path])
            #expect(done.status == 1 && done.err.contains(reason), "\(tokens): \(done.err)")
        }
    }
}
