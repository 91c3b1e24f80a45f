import NIOHTTP1
import OCI

extension RegistryClient {
    /// What `POST /auth` answers.
    package struct Login: Sendable, Hashable {
        /// `Login Succeeded`
        package let status: String
        /// To be kept by the client instead of the password; empty where the registry gives none.
        package let identityToken: String
    }

    /// Tries credentials at a registry, as `docker login` does.
    ///
    /// - Parameter serverAddress: `host[:port]`, a URL of it, or Docker Hub's `https://index.docker.io/v1/`; empty means Hub.
    /// - Throws: `RegistryError` (`unauthorized`) when they are refused.
    package func checkAuth(serverAddress: String, credentials: Credentials) async throws(RegistryError) -> Login {
        let endpoint = try await ownEndpoint(of: Self.domain(serverAddress))
        var access = Access(endpoint, [], credentials)
        access.wantsIdentityToken = credentials.identityToken.isEmpty
        let request = access
        let reply: Reply
        do throws(RegistryError) {
            reply = try await within(configuration.patience.exchange, "\(endpoint)") { () throws(RegistryError) in
                try await self.send(Request(), to: .path(Routes.base), request)
            }
        } catch {
            guard error.code == .unauthorized || error.code == .denied else { throw error }
            throw RegistryError(error.code, "Get \"\(endpoint)\(Routes.base)\": \(error.message)", remedy: error.remedy)
        }
        guard (200..<300).contains(reply.status) else {
            let phrase = HTTPResponseStatus(statusCode: reply.status).reasonPhrase
            throw RegistryError(
                reply.status == 401 ? .unauthorized : .server,
                "login attempt to \(reply.location) failed with status: \(reply.status) \(phrase)")
        }
        return Login(status: "Login Succeeded", identityToken: authorizer.token(for: access)?.identity ?? "")
    }

    /// The domain that a server address of a client configuration stands for.
    static func domain(_ address: String) -> String {
        var rest = Substring(address)
        for prefix in ["https://", "http://"] where rest.hasPrefix(prefix) { rest = rest.dropFirst(prefix.count) }
        let host = String(rest.prefix { $0 != "/" })
        return ["", "index.docker.io", "docker.io", "registry-1.docker.io"].contains(host)
            ? Reference.defaultDomain : host
    }
}
