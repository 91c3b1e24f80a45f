import Actors
import HTTP

/// Swarm mode, which this engine does not have: clients see what a Docker outside of a swarm answers.
enum Swarm {
    static func notManager(_ call: Call) async throws -> Response {
        throw EngineError(
            .unavailable,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again."
        )
    }

    static func leave(_ call: Call) async throws -> Response {
        throw EngineError(.unavailable, "This node is not part of a swarm")
    }

    /// Ways into a swarm end here: "try docker swarm init" would be no answer to `docker swarm init`.
    static func enter(_ call: Call) async throws -> Response {
        throw EngineError(
            .notImplemented,
            "swarm mode is not supported by this engine: run containers on this node, or use another orchestrator")
    }
}

/// Managed plugins, which this engine does not have: there are none, and none can be installed.
enum Plugins {
    static func list(_ call: Call) async throws -> Response {
        _ = try call.filters()
        return Call.json([])
    }

    static func notFound(_ call: Call) async throws -> Response {
        throw EngineError(.notFound, "plugin \"\(call.id)\" not found")
    }

    static func install(_ call: Call) async throws -> Response {
        throw EngineError(.notImplemented, "plugins are not supported by this engine: volumes and networks are its own")
    }
}
