import FoundationEssentials

/// Annotations as the index has them: JSON.
enum Annotations {
    static func text(_ annotations: [String: String]) throws -> String {
        String(decoding: try JSONEncoder().encode(annotations), as: UTF8.self)
    }

    static func parse(_ text: String) throws -> [String: String] {
        try JSONDecoder().decode([String: String].self, from: Data(text.utf8))
    }
}
