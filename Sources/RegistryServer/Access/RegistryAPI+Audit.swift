import HTTP
import NIOCore
import RegistryStore

extension RegistryAPI {
    /// Characters of what a client has typed that the audit log takes: no name that can be is longer.
    private static let auditedMax = 300

    /// Writes down what a request has changed, read, or been refused.
    func audit(
        _ request: Request, _ route: DistributionRoute?, _ caller: Caller?, _ claimed: Claimed, _ response: Response
    ) async {
        guard let auditLog, let route else { return }
        let isRefused = [401, 403, 429].contains(response.status)
        guard let action = Self.audited(AccessPolicy.right(route.kind, request.method)) else { return }
        // Parts of an upload are nothing yet: its end is.
        let isPart = route.kind == .uploads || route.kind == .upload
        guard isRefused || !isPart || response.status == 201 else { return }
        func short(_ text: String) -> String? { text.isEmpty ? nil : String(text.prefix(Self.auditedMax)) }
        let isDigest = route.reference.contains(":")
        let tags = response.headers.values("oci-tag").joined(separator: ", ")
        // Of one who was not let in: who it said to be.
        let typed =
            caller == nil
            ? request.headers["authorization"].flatMap(Authenticator.credentials)?.name : claimed.name
        let entry = AuditLog.Entry(
            peer: request.peerAddress, user: caller?.name ?? typed.flatMap(short), action: action,
            method: request.method.description, repository: short(route.name),
            reference: !tags.isEmpty ? tags : isDigest ? nil : short(route.reference),
            digest: response.headers["docker-content-digest"] ?? (isDigest ? short(route.reference) : nil),
            status: response.status, bytes: Self.bytes(request, response))
        let isReading = request.method == .get || request.method == .head
        await auditLog.add(entry, isPatient: isRefused || !isReading)
    }

    /// nil for what tells nothing about anybody's repositories.
    private static func audited(_ right: AccessPolicy.Right) -> String? {
        switch right {
        case .health: nil
        case .base: "login"
        case .token: "token"
        case .overview, .browse: "list"
        case .pull: "pull"
        case .push: "push"
        case .delete: "delete"
        }
    }

    /// Of content that was sent or taken.
    private static func bytes(_ request: Request, _ response: Response) -> Int64? {
        guard (200...299).contains(response.status), request.method != .head else { return nil }
        if request.method != .get { return request.headers["content-length"].flatMap(ByteRange.number) }
        switch response.body {
        case .bytes(let buffer): return Int64(buffer.readableBytes)
        case .file(let file): return Int64(file.count)
        default: return nil
        }
    }
}
