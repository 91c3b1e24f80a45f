import Testing

@testable import OCI

struct ReferenceTests {
    @Test(arguments: [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("me/app:1", "docker.io/me/app:1", "me/app:1"),
        ("localhost:5000/x", "localhost:5000/x", "localhost:5000/x"),
        ("ghcr.io/a/b:v1.2-x", "ghcr.io/a/b:v1.2-x", "ghcr.io/a/b:v1.2-x"),
        ("index.docker.io/library/a", "docker.io/library/a", "a"),
    ])
    func `a reference has a whole and a familiar form`(_ text: String, _ whole: String, _ familiar: String) throws {
        let reference = try Reference(text)
        #expect(reference.description == whole)
        #expect(reference.familiar == familiar)
    }

    @Test(arguments: ["", "UPPER", "a//b", "a:", "a@sha256:12", "-a", "a/../b", "a:" + String(repeating: "t", count: 129)])
    func `what is no reference is refused`(_ text: String) {
        #expect(throws: OCIError.self) { try Reference(text) }
    }

    @Test(arguments: [
        "sha256:", "sha256:../../etc/passwd", "md5:" + String(repeating: "0", count: 32),
        "sha256:" + String(repeating: "A", count: 64), "sha256:" + String(repeating: "0", count: 63),
    ])
    func `a digest is an algorithm and its hex and nothing else`(_ text: String) {
        #expect(throws: OCIError.self) { try Digest(text) }
    }

    @Test func `a platform without variant matches any`() throws {
        #expect(Platform(os: "linux", architecture: "arm64").matches(try Platform("linux/arm64/v8")))
        #expect(!Platform(os: "linux", architecture: "amd64").matches(try Platform("arm64")))
    }
}
