import Kernel

extension RegistryStore {
    /// The index that `settings` name. Blocks its thread.
    static func openIndex(_ settings: Settings, _ folder: StoreFolder) throws -> any IndexDatabase {
        guard let database = settings.database else { return try SQLiteIndex(folder.index) }
        guard !Files.exists(folder.index) else {
            throw StoreFailure(
                "\(folder.index) is the index of these blobs: start the registry with it, and move it to the database, "
                    + "or give the database another folder with --data")
        }
        let index = PostgresIndex(database)
        do { try index.prepare(storage: try folder.identity()) } catch let error as Refusal {
            throw StoreFailure("\(database.place): \(error.message)")
        }
        return index
    }
}

extension StoreFolder {
    /// Names the folder to a database that has the index of its blobs; made when it is asked for first.
    private static let identityBytes = 16

    fileprivate func identity() throws(SystemError) -> String {
        let path = root + "/id"
        if Files.exists(path) { return String(decoding: try Files.read(path, bytesMax: 4096), as: UTF8.self) }
        let random = (0..<Self.identityBytes).map { _ in UInt8.random(in: 0...255) }
        let identity = "folder:" + random.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        try Files.replace(path, with: Array(identity.utf8))
        return identity
    }
}
