package import OCI

/// Where the bytes of a blob are: its row says so, and nothing else does.
package enum BlobPlace: Sendable, Hashable {
    /// A file of the folder, by its path.
    case file(String)
    /// An object of the bucket, by its key. No other blob ever has the same key: whoever removes it removes these bytes only.
    case object(String)

    var isFile: Bool {
        if case .file = self { return true }
        return false
    }

    /// As the column `object` has it: null is the file of the digest.
    init(_ object: String?, _ digest: Digest, _ folder: StoreFolder) {
        self = object.map { .object($0) } ?? .file(folder.blob(digest))
    }
}

/// A blob of a repository.
package struct StoredBlob: Sendable, Hashable {
    package let digest: Digest
    /// Bytes.
    package let size: Int64
    package let place: BlobPlace
}

extension StoredBlob {
    /// A blob that another program keeps in a file.
    package init(digest: Digest, size: Int64, file: String) {
        self.init(digest: digest, size: size, place: .file(file))
    }
}
