import FoundationEssentials
import HTTP
import Kernel
import Logging
import OCI
import RegistryPages
import RegistryStore

extension RegistryAPI {
    /// Bytes of a configuration that is read for a page. Those of images have some thousands.
    private static let configBytesMax = 4 << 20
    /// Manifests that refer to an image, on one page of it.
    private static let referrersMax = 50

    /// `/r/NAME:TAG` and `/r/NAME@DIGEST`.
    func imagePage(_ call: Call) async throws -> Response {
        let name = try call.repository()
        let reference = try ManifestName(call.route.reference)
        let top = try await store.manifest(reference, in: name)
        var page = TagPage(
            site: site(call.request, call.caller.name), name: name.description, tag: nil,
            digest: top.digest.description,
            mediaType: top.mediaType)
        if case .tag(let tag) = reference { page.tag = tag }
        let shown = try await member(of: top, in: name, call.request.query["digest"], &page)
        try await describe(shown, in: name, &page)
        try await addReferrers(of: [top.digest, shown.digest], in: name, after: call.request.query["referrers"], &page)
        return Self.page(await BlockingPool.shared.run { [page] in page.html })
    }

    /// The manifest whose layers are shown: of an index, the one that was asked for, or that most people pull.
    private func member(
        of top: StoredManifest, in name: RepositoryName, _ wanted: String?, _ page: inout TagPage
    ) async throws -> StoredManifest {
        guard MediaType.indexes.contains(top.mediaType),
            let index = try? JSONDecoder().decode(ImageIndex.self, from: Data(top.body))
        else { return top }
        page.annotations = index.annotations ?? [:]
        page.members = index.manifests.map(Self.member)
        for chosen in try Self.candidates(page.members, wanted) {
            do {
                let manifest = try await store.manifest(.digest(index.manifests[chosen].digest), in: name)
                page.shown = page.members[chosen].digest
                return manifest
            } catch let refusal as Refusal where refusal.code == .manifestUnknown {
                // A mirror has what somebody has asked for.
                continue
            }
        }
        return top
    }

    /// Members of an index that are looked for until one of them is here.
    private static let candidatesMax = 8

    /// Which members may be shown, the best first: what was asked for, or what most people pull.
    private static func candidates(_ members: [TagPage.Member], _ wanted: String?) throws(Refusal) -> [Int] {
        if let wanted {
            guard let found = members.firstIndex(where: { $0.digest == wanted }) else {
                throw Refusal(
                    .manifestUnknown, 404, "manifest unknown: \(OCIError.quoted(wanted)) is not of this index")
            }
            return [found]
        }
        let platforms = members.indices.filter { !members[$0].isAttestation }
        func isUsual(_ place: Int) -> Bool { members[place].title == "linux/amd64" }
        return Array((platforms.filter(isUsual) + platforms.filter { !isUsual($0) }).prefix(candidatesMax))
    }

    private static func member(_ descriptor: Descriptor) -> TagPage.Member {
        let isAttestation = descriptor.annotations?["vnd.docker.reference.type"] == "attestation-manifest"
        let platform = descriptor.platform.map(\.description)
        var member = TagPage.Member(
            digest: descriptor.digest.description,
            title: isAttestation ? descriptor.digest.short : platform ?? descriptor.digest.short)
        member.isAttestation = isAttestation
        return member
    }

    /// Layers and configuration of a manifest.
    private func describe(_ shown: StoredManifest, in name: RepositoryName, _ page: inout TagPage) async throws {
        page.manifest = String(decoding: shown.body, as: UTF8.self)
        guard let manifest = try? JSONDecoder().decode(Manifest.self, from: Data(shown.body)) else { return }
        page.annotations.merge(manifest.annotations ?? [:]) { $1 }
        page.layers = manifest.layers.map { layer in
            var row = TagPage.Layer(
                digest: layer.digest.description, mediaType: layer.mediaType, size: layer.size)
            row.title = layer.annotations?["org.opencontainers.image.title"]
            return row
        }
        page.artifactType = Self.artifactType(manifest)
        guard page.artifactType == nil else { return }
        do {
            let blob = try await store.blob(manifest.config.digest, in: name)
            guard blob.size <= Self.configBytesMax else { return }
            let bytes = try await store.bytes(of: blob, bytesMax: Self.configBytesMax)
            page.details = await BlockingPool.shared.run { ImageDetails(parsing: bytes) }
        } catch let error as StoreFailure {
            // The page says what can be said without it.
            logger.error("\(error)")
        } catch let refusal as Refusal where refusal.code == .blobUnknown {
            // A mirror gets it when somebody pulls the image.
            return
        }
    }

    /// What it is, where that is no image.
    private static func artifactType(_ manifest: Manifest) -> String? {
        let isImage = [MediaType.ociConfig, MediaType.dockerConfig].contains(manifest.config.mediaType)
        return manifest.artifactType ?? (isImage ? nil : manifest.config.mediaType)
    }

    /// Whether Docker can pull it: an index is taken for one.
    static func isImage(_ manifest: StoredManifest) -> Bool {
        guard MediaType.manifests.contains(manifest.mediaType),
            let document = try? JSONDecoder().decode(Manifest.self, from: Data(manifest.body))
        else { return true }
        return artifactType(document) == nil
    }

    // MARK: What refers to it

    private func addReferrers(
        of digests: [Digest], in name: RepositoryName, after last: String?, _ page: inout TagPage
    ) async throws {
        let first = try await store.referrers(
            of: digests[0], in: name, artifactType: nil, after: last, countMax: Self.referrersMax)
        page.referrers.items = first.items.map(Self.referrer)
        if first.hasMore, let last = first.items.last {
            let path = page.tag.map { Link.tag($0, of: page.name) } ?? Link.manifest(page.digest, of: page.name)
            page.referrers.next = Link.path(path, ["digest": page.shown, "referrers": last.digest.description])
        }
        guard last == nil else { return }
        for digest in Set(digests) {
            if digest != digests[0] {
                let more = try await store.referrers(
                    of: digest, in: name, artifactType: nil, after: nil, countMax: Self.referrersMax)
                page.referrers.items += more.items.map(Self.referrer)
            }
            page.referrers.items += try await attachments(to: digest, in: name)
        }
    }

    private static func referrer(_ referrer: RegistryStore.Referrer) -> TagPage.Referrer {
        var row = TagPage.Referrer(
            digest: referrer.digest.description, artifactType: referrer.artifactType ?? referrer.mediaType,
            size: referrer.size)
        row.created = referrer.annotations["org.opencontainers.image.created"]
        return row
    }

    /// What cosign attached by a tag before registries listed referrers: `sha256-<hex>.sig`.
    private func attachments(to digest: Digest, in name: RepositoryName) async throws -> [TagPage.Referrer] {
        var found: [TagPage.Referrer] = []
        for kind in ["sig", "att", "sbom"] {
            let tag = "\(digest.algorithm.rawValue)-\(digest.hex).\(kind)"
            guard Reference.isTag(tag) else { continue }
            do {
                let manifest = try await store.manifest(.tag(tag), in: name)
                found.append(
                    TagPage.Referrer(
                        digest: manifest.digest.description,
                        artifactType: "application/vnd.dev.cosign.artifact.\(kind)",
                        size: Int64(manifest.body.count)))
            } catch let refusal as Refusal where refusal.code == .manifestUnknown { continue }
        }
        return found
    }
}
