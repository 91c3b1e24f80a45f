/// What a daemon finds that starts again.
extension HostNetworks {
    /// After ``restore(_:)`` of all networks, once: takes over what outlived the previous daemon, and removes what it left
    /// behind: interfaces, bridges of networks that are no more, rules.
    ///
    /// Rules and ports are replaced in one transaction, so that packets to containers that stay never meet a gap.
    package func adopt(_ sandboxes: [AdoptedSandbox]) async throws(NetworkError) -> Adoption {
        var report = Adoption()
        for sandbox in sandboxes where try await !adopt(sandbox, &report) { report.refused.append(sandbox.container) }
        try install()
        isInstalled = true
        for network in networks.values { try openLoopback(network) }
        report.removedInterfaces = try removeLeftovers()
        startRefill()
        return report
    }

    /// False when the records do not fit what is there.
    private func adopt(_ adopted: AdoptedSandbox, _ report: inout Adoption) async throws(NetworkError) -> Bool {
        let container = adopted.container
        guard slots[container] == nil, take(adopted.endpoints, for: container) else { return false }
        attachCount += 1
        slots[container] = .attaching(attachCount)
        let prepared: PreparedNamespace
        do throws(NetworkError) {
            prepared = try await builder.adopt(adopted)
        } catch {
            release(adopted.endpoints, of: container)
            slots[container] = nil
            return false
        }
        let choice = arranged(adopted.endpoints)
        var attached = Attached(
            sandbox: Sandbox(
                container: container, namespacePath: prepared.namespace.path, endpoints: adopted.endpoints,
                gateway4: choice.gateway4?.id, gateway6: choice.gateway6?.id, resolver: prepared.resolver?.ports),
            prepared: prepared)
        for binding in firewall == nil ? [] : adopted.ports {
            guard
                let address = attached.sandbox.gatewayEndpoint(binding.hostAddress.family)?.address(
                    binding.hostAddress.family)
            else { continue }
            do throws(NetworkError) {
                attached.ports.append(try ports.reserve(binding, for: container, at: address))
            } catch {
                report.contestedPorts.append(binding)
                if ports.force(binding, for: container, at: address) { attached.ports.append(binding) }
            }
        }
        slots[container] = .attached(attached)
        use(adopted.endpoints)
        return true
    }

    /// Takes all of these addresses, or none.
    private func take(_ endpoints: [Endpoint], for container: String) -> Bool {
        var taken: [(network: String, address: IPAddress)] = []
        for endpoint in endpoints {
            for address in endpoint.addresses {
                guard networks[endpoint.network]?.reserve(address) == true else {
                    for item in taken { networks[item.network]?.release([item.address]) }
                    return false
                }
                taken.append((endpoint.network, address))
            }
        }
        guard endpoints.allSatisfy({ networks[$0.network] != nil }) else { return false }
        for endpoint in endpoints { networks[endpoint.network]?.members.insert(container) }
        return true
    }

    /// Removes interfaces of ours that no record names.
    private func removeLeftovers() throws(NetworkError) -> [String] {
        var known = Set(networks.values.map { $0.plan.parent ?? $0.plan.interface })
        for slot in slots.values {
            guard case .attached(let attached) = slot else { continue }
            known.formUnion(attached.sandbox.endpoints.map(\.hostInterface))
        }
        for network in networks.values { known.formUnion(network.spares.map(\.endpoint.hostInterface)) }
        known.formUnion(retired.hostInterfaces)
        let bridges = Set(
            networks.values.compactMap { network -> UInt32? in
                guard case .port(let bridge) = network.attachment else { return nil }
                return UInt32(bitPattern: bridge)
            })
        let leftovers = try links.all().filter { link in
            guard !known.contains(link.name) else { return false }
            let isOurPort =
                link.kind == "veth" && bridges.contains(link.master) && InterfacePlan.isOurs(link.name)
            return isOurPort || link.alias == links.alias
        }
        return try links.remove(leftovers)
    }
}
