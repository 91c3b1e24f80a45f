import Foundation

/// Certificates and keys that a test makes for itself with openssl(1).
enum TestCertificates {
    /// Makes in a folder an authority (`ca.pem`), and what it vouches for: a client (`cert.pem`, `key.pem`), a server at
    /// 127.0.0.1 (`server.pem`, `server-key.pem`).
    static func make(in folder: String) throws {
        let script = """
            set -e
            request() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 "$@"; }
            request -x509 -subj /CN=authority -keyout authority.key -out ca.pem
            request -subj /CN=client -keyout key.pem -out client.csr
            request -subj /CN=server -keyout server-key.pem -out server.csr
            echo 'subjectAltName=IP:127.0.0.1' > names
            openssl x509 -req -days 30 -in client.csr -CA ca.pem -CAkey authority.key -CAcreateserial -out cert.pem
            openssl x509 -req -days 30 -in server.csr -CA ca.pem -CAkey authority.key -CAcreateserial -extfile names \
                -out server.pem
            """
        let process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        process.arguments = ["-c", script]
        process.currentDirectoryURL = URL(filePath: folder)
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw POSIXError(.ENOENT) }
    }
}
