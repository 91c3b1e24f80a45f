import HTTP
import OCI
package import RegistryStore

/// What is done without a request from the network.
extension AuditLog {
    /// What an operator changes. What was typed is cut to what a line takes.
    struct Deed: Sendable {
        /// Characters: no name that can be is longer.
        private static let typedMax = 300

        let action: String
        let account: String?
        let rights: String?
        let target: String?
        let repository: String?

        init(
            _ action: String, account: String? = nil, rights: String? = nil, target: String? = nil,
            repository: String? = nil
        ) {
            func short(_ text: String?) -> String? {
                text.flatMap { $0.isEmpty ? nil : String($0.prefix(Self.typedMax)) }
            }
            self.action = action
            self.account = short(account)
            self.rights = short(rights)
            self.target = short(target)
            self.repository = short(repository)
        }
    }

    /// Returns when the line is on disk.
    ///
    /// - Parameter peer: nil when nobody is at the other end of the socket any more.
    func add(_ deed: Deed, status: Int, by peer: PeerProcess?) async {
        await add(
            Entry(
                by: .operator, uid: peer?.user, pid: peer?.id, action: deed.action, account: deed.account,
                rights: deed.rights, target: deed.target, repository: deed.repository, status: status),
            isPatient: true)
    }

    /// What a rule of retention has removed, a line each; returns when they are on disk.
    package func add(_ removals: [Removal]) async {
        for (place, removal) in removals.enumerated() {
            await add(
                Entry(
                    by: .retention, action: "delete", repository: removal.repository.description,
                    reference: removal.tag, digest: removal.digest.description, status: 200),
                // The last takes those before it along.
                isPatient: place == removals.count - 1)
        }
    }
}
