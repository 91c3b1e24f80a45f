import FoundationEssentials
import OCI
import S3

/// An upload to the bucket as its row has it: all that another instance, or this one after a crash, needs to go on with it.
struct UploadRecord: Sendable {
    let id: String
    let repository: RepositoryName
    let algorithm: Digest.Algorithm
    /// Key of what the parts become, or of the whole. No other upload ever has it, and the row is there before anything of that
    /// key is.
    private(set) var object: String
    /// S3's id of the parts; nil before the first.
    var parts: (upload: String?, list: [S3Client.Part])
    /// Key of an object with what came after the parts; nil for nothing.
    var tail: String?
    /// Bytes, the tail's included.
    var count: Int64
    /// Which turn of which request this is.
    var holder: String

    var tailBytes: Int64 { count - parts.list.reduce(0) { $0 + $1.size } }

    init(_ repository: RepositoryName, _ algorithm: Digest.Algorithm) {
        id = UploadID.fresh()
        self.repository = repository
        self.algorithm = algorithm
        object = BucketStorage.freshKey()
        parts = (nil, [])
        count = 0
        holder = ""
    }

    init(_ row: SQLRow) throws {
        id = try row.text("id")
        repository = try RepositoryName(try row.text("repository"))
        algorithm = Digest.Algorithm(rawValue: try row.text("algorithm")) ?? .sha256
        object = try row.text("object")
        let list = try JSONDecoder().decode([S3Client.Part].self, from: Data(try row.text("parts").utf8))
        parts = (try row.optionalText("multipart"), list)
        tail = try row.optionalText("tail")
        count = try row.integer("count")
        holder = try row.text("holder")
    }

    /// The upload in the hands of the next request. That gets a key to which none before it can still be writing; only where
    /// there are parts the key is theirs: what becomes an object by them does so once, and no part comes to it afterwards.
    func next(_ holder: String) -> UploadRecord {
        var record = self
        record.holder = holder
        guard parts.list.isEmpty else { return record }
        record.object = BucketStorage.freshKey()
        record.parts.upload = nil
        return record
    }

    private func partsText() throws -> String {
        String(decoding: try JSONEncoder().encode(parts.list), as: UTF8.self)
    }

    static func find(_ id: String, _ connection: any SQLConnection) throws -> (record: UploadRecord, lease: Int64)? {
        try connection.row("SELECT * FROM uploads WHERE id = ?", [.text(id)]).map {
            (try UploadRecord($0), try $0.integer("lease"))
        }
    }

    /// - Parameter lease: until when ``holder`` has it.
    func insert(_ connection: any SQLConnection, now: Int64, lease: Int64 = 0) throws {
        try connection.execute(
            """
            INSERT INTO uploads (id, repository, algorithm, object, parts, count, touched, lease, holder)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                .text(id), .text(repository.description), .text(algorithm.rawValue), .text(object),
                .text(try partsText()), .integer(count), .integer(now), .integer(lease), .text(holder),
            ])
    }

    /// Begins a turn.
    func begin(_ connection: any SQLConnection, lease: Int64) throws {
        try connection.execute(
            "UPDATE uploads SET lease = ?, holder = ?, object = ?, multipart = ? WHERE id = ?",
            [.integer(lease), .text(holder), .text(object), .text(parts.upload), .text(id)])
    }

    /// Ends a turn.
    ///
    /// - Returns: false when the upload has ended, or is another's turn.
    func save(_ connection: any SQLConnection, now: Int64) throws -> Bool {
        try connection.execute(
            """
            UPDATE uploads SET multipart = ?, parts = ?, tail = ?, count = ?, touched = ?, lease = 0
            WHERE id = ? AND holder = ?
            """,
            [
                .text(parts.upload), .text(try partsText()), .text(tail), .integer(count), .integer(now), .text(id),
                .text(holder),
            ]) > 0
    }
}
