import S3

/// Removes what no row names any more, behind the answers.
actor ObjectRemover {
    enum Leftover: Sendable, Hashable {
        case object(String)
        /// Parts of an object that has not come to be.
        case parts(String, upload: String)
    }

    /// What waits: more than one collection brings. The sweep finds the rest.
    private static let waitingMax = 100_000

    private let client: S3Client
    private var objects: [String] = []
    private var uploads: [(key: String, upload: String)] = []
    private var isRunning = false

    init(_ client: S3Client) { self.client = client }

    func remove(_ leftovers: some Sequence<Leftover>) {
        for leftover in leftovers where objects.count + uploads.count < Self.waitingMax {
            switch leftover {
            case .object(let key): objects.append(key)
            case .parts(let key, let upload): uploads.append((key, upload))
            }
        }
        guard !isRunning, !objects.isEmpty || !uploads.isEmpty else { return }
        isRunning = true
        Task { await run() }
    }

    private func run() async {
        while !objects.isEmpty || !uploads.isEmpty {
            let batch = Array(objects.prefix(S3Client.removedAtOnceMax))
            objects.removeFirst(batch.count)
            // What cannot be removed now is found by the sweep.
            try? await client.remove(batch)
            if let upload = uploads.popLast() { try? await client.abandonParts(upload.key, upload: upload.upload) }
        }
        isRunning = false
    }
}
