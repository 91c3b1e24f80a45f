import FoundationEssentials
import Kernel
import OCI
import RegistryMirror
import RegistryServer
import RegistryStore
import RegistryUpkeep

/// What `--config` says: the parts of the registry that options would not be enough for. An object of JSON, with the keys below.
struct Configuration: Decodable, Sendable {
    private static let known: Set<String> = Upkeep.Rules.keys.union([
        "database", "search", "tokens", "mirrors", "quotas", "storage", "redirects",
    ])
    private static let bytesMax = 1 << 20

    /// nil for a file of the data folder.
    private(set) var database: PostgresSettings?
    var search: SearchSettings?
    var storage: StorageConfiguration?
    var tokens: TokenSettings?
    /// Registries that this one is a copy of, by what the names of their repositories begin with here.
    private(set) var mirrors: [String: MirrorSettings]?
    /// Servers that have blobs, too, and are trusted with nothing.
    private(set) var redirects: RedirectRules?
    var quotas: Quotas?
    /// What the registry does by itself.
    var upkeep = Upkeep.Rules()

    init() {}

    init(from decoder: any Decoder) throws {
        let members = try decoder.members(Self.known)
        search = try members.decodeIfPresent(SearchSettings.self, forKey: "search")
        tokens = try members.decodeIfPresent(TokenSettings.self, forKey: "tokens")
        database = try members.decodeIfPresent(PostgresSettings.self, forKey: "database")
        mirrors = try members.decodeIfPresent([String: MirrorSettings].self, forKey: "mirrors")
        redirects = try members.decodeIfPresent(RedirectRules.self, forKey: "redirects")
        quotas = try members.decodeIfPresent(Quotas.self, forKey: "quotas")
        storage = try members.decodeIfPresent(StorageConfiguration.self, forKey: "storage")
        upkeep = try Upkeep.Rules(members)
    }

    /// - Parameter path: nil for none.
    /// - Throws: ``ServeOptions/Failure`` that says what is wrong where.
    static func read(_ path: String?) throws -> Configuration {
        guard let path else { return Configuration() }
        return try read(path, as: Configuration.self)
    }

    /// A file of JSON, the whole configuration or a part of it.
    ///
    /// - Throws: ``ServeOptions/Failure`` that says what is wrong where.
    static func read<Value: Decodable>(_ path: String, as _: Value.Type) throws -> Value {
        do {
            let bytes = try Files.read(path, bytesMax: bytesMax)
            try StrictJSON.check(bytes)
            return try JSONDecoder().decode(Value.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw ServeOptions.Failure("\(path): \(described(error))")
        } catch let error as OCIError {
            throw ServeOptions.Failure("\(path): \(error.message)")
        }
    }

    private static func described(_ error: DecodingError) -> String {
        let (context, wanted): (DecodingError.Context, String?) =
            switch error {
            case .typeMismatch(let type, let context): (context, "want \(type)")
            case .valueNotFound(let type, let context): (context, "want \(type), not null")
            case .keyNotFound(let key, let context): (context, "\(key.stringValue) is missing")
            case .dataCorrupted(let context): (context, nil)
            @unknown default: (DecodingError.Context(codingPath: [], debugDescription: "\(error)"), nil)
            }
        let place = context.codingPath.map { key in key.intValue.map { "[\($0)]" } ?? key.stringValue }
        let reason = wanted ?? context.debugDescription
        return place.isEmpty ? reason : "\(place.joined(separator: ".")): \(reason)"
    }
}
