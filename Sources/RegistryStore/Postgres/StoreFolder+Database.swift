import Kernel
import S3

extension RegistryStore {
    /// The index that `settings` name. Blocks its thread.
    static func openIndex(_ settings: Settings, _ folder: StoreFolder) throws -> any IndexDatabase {
        guard let database = settings.database else {
            if let place = try folder.movedTo() {
                throw StoreFailure(
                    "the index of these blobs was moved to \(place): name it with DOCKER_REGISTRY_DATABASE_URL, or remove "
                        + "\(folder.moved) to go back to what it was then")
            }
            return try SQLiteIndex(folder.index)
        }
        guard try !Files.exists(folder.index) || folder.movedTo() != nil else {
            throw StoreFailure(
                "\(folder.index) is the index of these blobs: start the registry with it, and move it by `docker registry move --database`, "
                    + "or give the database another folder with --data")
        }
        let index = PostgresIndex(database)
        let storages: [String]
        if let bucket = settings.bucket {
            let names = try StorageNames(folder, bucket)
            storages = [names.bucket, names.both]
        } else {
            storages = [try folder.identity()]
        }
        let hasMovedHere = try folder.movedTo() == database.place
        do { try index.prepare(storages: storages, hasMovedHere: hasMovedHere) } catch let error as Refusal {
            throw StoreFailure("\(database.place): \(error.message)")
        }
        return index
    }

    /// What names the place of the blobs to a database.
    nonisolated func storageName() async throws -> String {
        let folder = folder
        guard let configuration = bucket.use?.storage.client.configuration else {
            return try await BlockingPool.shared.run { () throws(SystemError) in try folder.identity() }
        }
        let hasFiles = try await index.read {
            try $0.isAny("SELECT 1 AS found FROM blobs WHERE \(Self.isFile) LIMIT 1", [])
        }
        guard hasFiles else { return configuration.identity }
        return try await BlockingPool.shared.run { () throws(SystemError) in
            try StorageNames(folder, configuration).both
        }
    }
}

/// What a database calls the places that blobs have been in while they were moved into a bucket.
struct StorageNames: Sendable {
    let folder: String
    let bucket: String
    /// Some are in the one, some in the other: a registry then needs both.
    var both: String { "\(folder)+\(bucket)" }

    init(_ folder: StoreFolder, _ configuration: S3Configuration) throws(SystemError) {
        self.folder = try folder.identity()
        bucket = configuration.identity
    }

    /// Tells a database that shares the blobs; the embedded index is in their folder.
    func rename(_ old: String, to new: String, _ connection: any SQLConnection) throws {
        guard connection.dialect == .postgres else { return }
        try PostgresIndex.renameStorage(old, to: new, connection)
    }
}

extension S3Configuration {
    /// Names the bucket to a database: registries that share that have to share this. By which host each reaches it is its own.
    var identity: String { "bucket:\(bucket)/\(prefix ?? "")" }
}

extension StoreFolder {
    /// Names the folder to a database that has the index of its blobs; made when it is asked for first.
    private static let identityBytes = 16

    func identity() throws(SystemError) -> String {
        let path = root + "/id"
        if Files.exists(path) { return String(decoding: try Files.read(path, bytesMax: 4096), as: UTF8.self) }
        let random = (0..<Self.identityBytes).map { _ in UInt8.random(in: 0...255) }
        let identity = "folder:" + random.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        try Files.replace(path, with: Array(identity.utf8))
        return identity
    }

    /// Tells that the index is somewhere else now; durable when this returns.
    func noteMove(to place: String) throws(SystemError) { try Files.replace(moved, with: Array(place.utf8)) }

    /// Where the index is that was here; nil when it is here.
    fileprivate func movedTo() throws(SystemError) -> String? {
        guard Files.exists(moved) else { return nil }
        return String(decoding: try Files.read(moved, bytesMax: 4096), as: UTF8.self)
    }
}
