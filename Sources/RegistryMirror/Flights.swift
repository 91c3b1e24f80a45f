/// One task for all who want the same thing at once; it is not cancelled with any of them.
actor Flights<Key: Hashable & Sendable, Value: Sendable> {
    private var tasks: [Key: Task<Value, any Error>] = [:]

    func value(_ key: Key, _ body: @escaping @Sendable () async throws -> Value) async throws -> Value {
        if let task = tasks[key] { return try await task.value }
        let task = Task { try await body() }
        tasks[key] = task
        defer { tasks[key] = nil }
        return try await task.value
    }
}
