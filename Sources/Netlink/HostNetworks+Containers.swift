import Glibc
import Kernel

extension HostNetworks {
    // MARK: Attached containers

    /// A namespace with `lo` and every requested endpoint, ready for a process. It is held until ``detach(_:)``.
    ///
    /// With one request and a spare for it this costs nothing but a hand-over.
    /// - Parameter resolver: also the sockets of the embedded DNS server at 127.0.0.11 and the redirection of port 53.
    /// - Throws: `alreadyAttached`, `unknownNetwork`, `addressTaken`, `addressOutside`, `exhausted`, `invalid` or `system`;
    ///   then nothing is left.
    package func attach(
        _ container: String, _ requests: [EndpointRequest], resolver: Bool
    ) async throws(NetworkError) -> Sandbox {
        guard slots[container] == nil else {
            throw NetworkError(.alreadyAttached, "container \(container) is already attached to its networks")
        }
        attachCount += 1
        let number = attachCount
        slots[container] = .attaching(number)
        let attached: Attached
        do throws(NetworkError) {
            attached = try await prepare(container, requests, resolver: resolver)
        } catch {
            if case .attaching(number) = slots[container] { slots[container] = nil }
            throw error
        }
        guard case .attaching(number) = slots[container] else {
            retire(attached.sandbox.endpoints, attached.prepared, of: container)
            throw NetworkError(.notAttached, "container \(container) was detached while it was being attached")
        }
        slots[container] = .attached(attached)
        use(attached.sandbox.endpoints)
        return attached.sandbox
    }

    /// Takes a container off all networks; call it when its processes have ended. Unknown containers are no error.
    ///
    /// Returns at once: the namespace and its interfaces go in the background, in batches, and only then are the addresses
    /// free again.
    package func detach(_ container: String) {
        guard let slot = slots.removeValue(forKey: container), case .attached(let attached) = slot else { return }
        retire(attached.sandbox.endpoints, attached.prepared, of: container)
        unmap(attached.ports, of: attached)
    }

    package func sandbox(of container: String) -> Sandbox? {
        guard case .attached(let attached) = slots[container] else { return nil }
        return attached.sandbox
    }

    package func endpoints(on network: String) -> [(container: String, endpoint: Endpoint)] {
        networks[network]?.members.sorted().compactMap { container in
            sandbox(of: container)?.endpoints.first { $0.network == network }.map { (container, $0) }
        } ?? []
    }

    /// The UDP and the listening TCP socket on 127.0.0.11 in the container's namespace, non-blocking; duplicates that the
    /// caller closes when the container is detached. nil without a resolver.
    ///
    /// - Throws: `notAttached` or `system`.
    package func resolverSockets(of container: String) throws(NetworkError) -> ResolverSockets? {
        guard let pair = try attached(container).prepared.resolver else { return nil }
        return try doing("share the DNS sockets of container \(container)") { () throws(SystemError) in
            try pair.duplicates()
        }
    }

    func attached(_ container: String) throws(NetworkError) -> Attached {
        guard case .attached(let attached) = slots[container] else {
            throw NetworkError(.notAttached, "container \(container) is not attached to a network")
        }
        return attached
    }

    // MARK: While a container runs

    /// Adds a container, running or adopted, to one more network; default routes and published ports follow the choice of
    /// the gateway.
    ///
    /// - Parameter resolver: the sockets of the embedded DNS server are made when there are none yet.
    /// - Throws: as ``attach(_:_:resolver:)``, and `notAttached`; then nothing has changed.
    package func connect(
        _ container: String, _ request: EndpointRequest, resolver: Bool
    ) async throws(NetworkError) -> Sandbox {
        await beginChange(of: container)
        defer { endChange(of: container) }
        let before = try attached(container)
        let sandbox = before.sandbox
        guard !sandbox.endpoints.contains(where: { $0.network == request.network }) else {
            throw NetworkError(
                .alreadyAttached,
                "container \(container) is already attached to network \(networks[request.network]?.plan.name ?? "")")
        }
        let endpoint = try await reserve(request, for: container, beside: sandbox.endpoints)
        let after = arranged(sandbox.endpoints + [endpoint])
        let made: ResolverPair?
        do throws(NetworkError) {
            made = try await builder.extend(
                before.prepared.namespace, with: try plans([endpoint]), after.routes,
                instead: arranged(sandbox.endpoints).routes, resolver: resolver && before.prepared.resolver == nil)
        } catch {
            release([endpoint], of: container)
            throw explained(error, request.network)
        }
        guard var attached = try? attached(container),
            attached.prepared.namespace === before.prepared.namespace
        else {
            retire([endpoint], nil, of: container)
            throw NetworkError(.notAttached, "container \(container) was detached while it was being connected")
        }
        attached.prepared = PreparedNamespace(
            namespace: before.prepared.namespace, resolver: made ?? before.prepared.resolver)
        attached.sandbox = Sandbox(
            container: container, namespacePath: sandbox.namespacePath, endpoints: sandbox.endpoints + [endpoint],
            gateway4: after.gateway4?.id, gateway6: after.gateway6?.id, resolver: attached.prepared.resolver?.ports)
        do throws(NetworkError) {
            try movePorts(from: before.sandbox, to: attached)
        } catch {
            let routes = (before: arranged(sandbox.endpoints).routes, after: after.routes)
            try? await builder.shrink(
                before.prepared.namespace, by: endpoint, routes.before, instead: routes.after)
            retire([endpoint], nil, of: container)
            throw error
        }
        use([endpoint])
        return attached.sandbox
    }

    /// Takes a container off one network; default routes and published ports follow first.
    ///
    /// - Throws: `notAttached`, `notOnNetwork` or `system`.
    package func disconnect(
        _ container: String, from network: String
    ) async throws(NetworkError) -> Sandbox {
        await beginChange(of: container)
        defer { endChange(of: container) }
        var attached = try attached(container)
        let before = attached.sandbox
        guard let endpoint = before.endpoints.first(where: { $0.network == network }) else {
            throw NetworkError(
                .notOnNetwork,
                "container \(container) is not connected to network \(networks[network]?.plan.name ?? network)")
        }
        let rest = before.endpoints.filter { $0.id != endpoint.id }
        let after = arranged(rest)
        attached.sandbox = Sandbox(
            container: container, namespacePath: before.namespacePath, endpoints: rest,
            gateway4: after.gateway4?.id, gateway6: after.gateway6?.id, resolver: before.resolver)
        try movePorts(from: before, to: attached)
        do throws(NetworkError) {
            try await builder.shrink(
                attached.prepared.namespace, by: endpoint, after.routes, instead: arranged(before.endpoints).routes)
        } catch {
            if var now = try? self.attached(container), now.prepared.namespace === attached.prepared.namespace {
                // Still on the network: as it was.
                now.sandbox = before
                try? movePorts(from: attached.sandbox, to: now)
            } else {
                retire([endpoint], nil, of: container)  // detached meanwhile: it goes with its namespace
            }
            throw error
        }
        // Detached meanwhile, this endpoint was no longer among what was retired.
        release([endpoint], of: container)
        return attached.sandbox
    }

    /// One change of a container at a time: the next waits.
    private func beginChange(of container: String) async {
        while changing[container] != nil {
            await withCheckedContinuation { changing[container]?.append($0) }
        }
        changing[container] = []
    }

    private func endChange(of container: String) {
        for waiter in changing.removeValue(forKey: container) ?? [] { waiter.resume() }
    }

    // MARK: Making

    /// Everything of a container that is being attached; nothing is left when it throws.
    private func prepare(
        _ container: String, _ requests: [EndpointRequest], resolver: Bool
    ) async throws(NetworkError) -> Attached {
        guard Set(requests.map(\.network)).count == requests.count else {
            throw NetworkError(.alreadyAttached, "container \(container) asks for one network twice")
        }
        var endpoints: [Endpoint] = []
        var spare: ActiveNetwork.Spare?
        do throws(NetworkError) {
            for request in requests {
                if endpoints.isEmpty, let ready = try takeSpare(for: request, container, resolver: resolver) {
                    spare = ready
                    endpoints = [ready.endpoint.with(priority: request.gatewayPriority)]
                } else {
                    endpoints.append(try await reserve(request, for: container, beside: endpoints))
                }
            }
            let choice = arranged(endpoints)
            let prepared = try await make(endpoints, choice.routes, spare, resolver: resolver)
            return Attached(
                sandbox: Sandbox(
                    container: container, namespacePath: prepared.namespace.path, endpoints: endpoints,
                    gateway4: choice.gateway4?.id, gateway6: choice.gateway6?.id, resolver: prepared.resolver?.ports),
                prepared: prepared)
        } catch {
            if let spare { retire([spare.endpoint], spare.prepared, of: container) }
            release(endpoints.filter { $0.id != spare?.endpoint.id }, of: container)
            throw explained(error, requests.first?.network ?? "")
        }
    }

    private func make(
        _ endpoints: [Endpoint], _ routes: DefaultRoutes, _ spare: ActiveNetwork.Spare?, resolver: Bool
    ) async throws(NetworkError) -> PreparedNamespace {
        guard let spare else { return try await builder.build(try plans(endpoints), routes, resolver: resolver) }
        if endpoints.count > 1 {
            _ = try await builder.extend(
                spare.prepared.namespace, with: try plans(Array(endpoints.dropFirst())), routes,
                instead: arranged([spare.endpoint]).routes, resolver: false)
        }
        return spare.prepared
    }

    private func takeSpare(
        for request: EndpointRequest, _ container: String, resolver: Bool
    ) throws(NetworkError) -> ActiveNetwork.Spare? {
        _ = try network(request.network)
        // What the container had before is better than a spare.
        let preferred = [request.preferred4, request.preferred6].compactMap(\.self)
        var relaxed = request
        if !preferred.contains(where: { mayBeHad($0, on: request.network) }) {
            relaxed.preferred4 = nil
            relaxed.preferred6 = nil
        }
        guard let spare = networks[request.network]?.takeSpare(for: relaxed, resolver: resolver) else { return nil }
        networks[request.network]?.members.insert(container)
        return spare
    }

    /// True for an address that is free, that a spare has, or that its last owner is about to lose.
    private func mayBeHad(_ address: IPAddress, on network: String) -> Bool {
        guard let active = networks[network], active.mayBeAsked(address) else { return false }
        return !active.isTaken(address) || retired.holds(address, on: network)
            || active.spares.contains { $0.endpoint.addresses.contains(address) }
    }

    func plans(_ endpoints: [Endpoint]) throws(NetworkError) -> [InterfacePlan] {
        var plans: [InterfacePlan] = []
        for endpoint in endpoints {
            plans.append(try network(endpoint.network).interfacePlan(endpoint, alias: links.alias))
        }
        return plans
    }

    /// Says what a full bridge means.
    private func explained(_ error: NetworkError, _ network: String) -> NetworkError {
        guard error.cause?.code == EXFULL else { return error }
        return NetworkError(
            .exhausted, "network \(networks[network]?.plan.name ?? network) takes no more containers",
            remedy: "a bridge has 1023 ports; spread the containers over more networks", cause: error.cause)
    }

    // MARK: The gateway

    /// Which endpoints give the default routes.
    struct Arrangement {
        var gateway4: Endpoint?
        var gateway6: Endpoint?

        var routes: DefaultRoutes {
            DefaultRoutes(
                v4: gateway4.flatMap { endpoint in
                    endpoint.gateway4.map { DefaultRoutes.Route(gateway: $0, interface: endpoint.interface) }
                },
                v6: gateway6.flatMap { endpoint in
                    endpoint.gateway6.map { DefaultRoutes.Route(gateway: $0, interface: endpoint.interface) }
                })
        }
    }

    /// The endpoint with the highest priority; then one of a network with both families; then the network's name decides.
    func arranged(_ endpoints: [Endpoint]) -> Arrangement {
        func key(_ endpoint: Endpoint) -> (Int, Int, String) {
            let isDual = endpoint.gateway4 != nil && endpoint.gateway6 != nil
            return (-endpoint.gatewayPriority, isDual ? 0 : 1, networks[endpoint.network]?.plan.name ?? "")
        }
        let sorted = endpoints.sorted { key($0) < key($1) }
        return Arrangement(
            gateway4: sorted.first { $0.gateway4 != nil }, gateway6: sorted.first { $0.gateway6 != nil })
    }
}
