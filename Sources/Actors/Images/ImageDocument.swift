import FoundationEssentials
import OCI

/// JSON documents of images: configurations, manifests, indexes.
enum ImageDocument {
    /// - Throws: ``OCIError`` that says which member is wrong and how.
    static func decode<Value: Decodable>(
        _ type: Value.Type, _ bytes: [UInt8], is top: StrictJSON.Top = .object
    ) throws(OCIError) -> Value {
        try StrictJSON.check(bytes, is: top)
        do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch let error as OCIError {
            throw error
        } catch let error as DecodingError {
            throw OCIError(reason(error))
        } catch { throw OCIError("it is not JSON") }
    }

    private static func reason(_ error: DecodingError) -> String {
        func text(_ context: DecodingError.Context, missing: String? = nil) -> String {
            let names = context.codingPath.map(\.stringValue) + (missing.map { [$0] } ?? [])
            return names.isEmpty
                ? context.debugDescription : "\(names.joined(separator: ".")): \(context.debugDescription)"
        }
        return switch error {
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context): text(context)
        case .keyNotFound(let key, let context): text(context, missing: key.stringValue)
        @unknown default: "it is not of the expected form"
        }
    }
}
