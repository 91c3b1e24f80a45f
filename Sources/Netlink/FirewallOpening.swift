/// The packet rules of a host, or why there are none, and its published ports. Made in the host's namespace.
/// Its way through the initializer of `HostNetworks` is the only crossing, and nothing keeps it on the other side.
struct FirewallOpening: @unchecked Sendable {  // made and used on the thread of `HostNetworks` alone
    let firewall: Firewall?
    let failure: NetworkError?
    let ports = PortTable()

    init(_ table: String) {
        do throws(NetworkError) {
            firewall = try Firewall(table: table)
            failure = nil
        } catch {
            firewall = nil
            failure = error
        }
    }
}
