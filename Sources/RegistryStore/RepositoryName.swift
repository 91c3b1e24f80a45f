package import OCI

/// The name of a repository: components of lower-case letters and digits, joined by slashes (OCI distribution
/// specification, "Pulling manifests").
package struct RepositoryName: Sendable, Hashable, CustomStringConvertible {
    package let description: String

    /// The grammar is that of references behind a host; any host does to check it.
    private static let anyHost = "a.b"

    /// - Throws: ``Refusal`` NAME_INVALID.
    package init(_ text: String) throws(Refusal) {
        // Which rule a name breaks is said as one sentence for all.
        let parsed = try? Reference(Self.anyHost + "/" + text)
        guard let parsed, parsed.domain == Self.anyHost, parsed.path == text, parsed.tag == nil, parsed.digest == nil
        else {
            throw Refusal(
                .nameInvalid, 400,
                "invalid repository name \(OCIError.quoted(text)): want lower-case letters and digits, joined by . _ - and /"
            )
        }
        description = text
    }
}

/// What names a manifest in a repository.
package enum ManifestName: Sendable, Hashable, CustomStringConvertible {
    case tag(String)
    case digest(Digest)

    /// - Throws: ``Refusal`` DIGEST_INVALID or TAG_INVALID.
    package init(_ text: String) throws(Refusal) {
        if text.contains(":") {
            self = .digest(try Self.digest(text))
        } else {
            self = .tag(try Self.checkedTag(text))
        }
    }

    package var description: String {
        switch self {
        case .tag(let tag): tag
        case .digest(let digest): digest.description
        }
    }

    /// - Throws: ``Refusal`` TAG_INVALID.
    package static func checkedTag(_ text: String) throws(Refusal) -> String {
        guard Reference.isTag(text) else {
            throw Refusal(
                .tagInvalid, 400,
                "invalid tag \(OCIError.quoted(text)): want up to 128 letters, digits, and . _ - inside")
        }
        return text
    }

    /// - Throws: ``Refusal`` DIGEST_INVALID.
    package static func digest(_ text: String) throws(Refusal) -> Digest {
        do throws(OCIError) { return try Digest(text) } catch { throw Refusal(.digestInvalid, 400, error.message) }
    }
}
