import Foundation
import OCI
import RegistryStore
import Testing

/// What the OCI distribution specification asks for, chapter by chapter, over real connections.
@Suite(.onBothIndexes) struct ProtocolTests {
    let lab: RegistryLab

    init() throws { lab = try RegistryLab() }

    private func bytes(_ count: Int, _ seed: UInt8 = 7) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) ^ seed }
    }

    @Test func `it tells its version and its health, and what is no path of it`() throws {
        let base = try lab.ask("GET", "/v2/")
        #expect(base.status == 200 && base.text == "{}")
        #expect(base.headers["docker-distribution-api-version"] == "registry/2.0")
        #expect(try lab.ask("GET", "/v2").status == 200)
        #expect(try lab.ask("GET", "/healthz").status == 200)
        #expect(try lab.ask("GET", "/v3/").status == 404)
        let refused = try lab.ask("POST", "/v2/")
        #expect(refused.status == 405 && refused.code == "UNSUPPORTED" && refused.headers["allow"] == "GET, HEAD")
    }

    // MARK: Blobs

    @Test(arguments: [Digest.Algorithm.sha256, .sha512])
    func `a blob is pushed in one request, in two, in chunks and in a stream`(_ algorithm: Digest.Algorithm) throws {
        let blob = bytes(100_000)
        let digest = StreamHash.digest(of: blob, algorithm)
        try lab.push(blob, to: "one", algorithm)

        let begun = try lab.ask("POST", "/v2/two/blobs/uploads/")
        #expect(begun.status == 202 && begun.headers["range"] == "0-0" && begun.headers["docker-upload-uuid"] != nil)
        let two = try lab.ask("PUT", try #require(begun.headers["location"]) + "?digest=\(digest)", [], blob)
        #expect(two.status == 201 && two.headers["location"] == "/v2/two/blobs/\(digest)")
        #expect(two.headers["docker-content-digest"] == "\(digest)")

        let chunked = try #require(try lab.ask("POST", "/v2/three/blobs/uploads/").headers["location"])
        for start in stride(from: 0, to: blob.count, by: 30_000) {
            let chunk = Array(blob[start..<min(start + 30_000, blob.count)])
            let reply = try lab.ask(
                "PATCH", chunked, ["Content-Range: \(start)-\(start + chunk.count - 1)"], chunk)
            #expect(reply.status == 202 && reply.headers["range"] == "0-\(start + chunk.count - 1)")
        }
        #expect(try lab.ask("PUT", chunked + "?digest=\(digest)").status == 201)

        let stream = try #require(try lab.ask("POST", "/v2/four/blobs/uploads/").headers["location"])
        let body = Array("4000\r\n".utf8) + blob[..<16384] + Array("\r\n0\r\n\r\n".utf8)
        let streamed = try lab.ask("PATCH", stream, ["Transfer-Encoding: chunked"], body, isRaw: true)
        #expect(streamed.status == 202 && streamed.headers["range"] == "0-16383")
        #expect(try lab.ask("PUT", stream + "?digest=\(digest)", [], Array(blob[16384...])).status == 201)

        let told = try lab.ask("POST", "/v2/five/blobs/uploads/?digest-algorithm=\(algorithm.rawValue)")
        let five = try #require(told.headers["location"])
        #expect(try lab.ask("PATCH", five, [], blob).status == 202)
        #expect(try lab.ask("PUT", five + "?digest=\(digest)").status == 201)
        #expect(try lab.ask("POST", "/v2/five/blobs/uploads/?digest-algorithm=md5").code == "DIGEST_INVALID")

        for name in ["one", "two", "three", "four", "five"] {
            #expect(try lab.ask("GET", "/v2/\(name)/blobs/\(digest)").body == blob)
        }
        #expect(lab.blobFiles == [digest.hex] && lab.uploadFiles == [])
    }

    @Test func `an upload tells how far it is, refuses what is not next, and can be given up`() throws {
        let (blob, upload) = (
            bytes(3000), try #require(try lab.ask("POST", "/v2/a/blobs/uploads/").headers["location"])
        )
        #expect(try lab.ask("PATCH", upload, ["Content-Range: 0-999"], Array(blob[..<1000])).status == 202)
        for range in ["500-1499", "1001-2000", "0-999"] {
            let refused = try lab.ask("PATCH", upload, ["Content-Range: \(range)"], Array(blob[1000..<2000]))
            #expect(refused.status == 416 && refused.headers["range"] == "0-999", "\(range)")
            #expect(refused.headers["location"] == upload && refused.code == "RANGE_INVALID")
            #expect(refused.headers["content-type"] == "application/json")
        }
        let digest = StreamHash.digest(of: blob, .sha256)
        let last = try lab.ask("PUT", upload + "?digest=\(digest)", ["Content-Range: 2000-2999"], Array(blob[2000...]))
        #expect(last.status == 416 && last.headers["range"] == "0-999" && last.headers["location"] == upload)
        #expect(try lab.ask("PATCH", upload, ["Content-Range: 1000-1001"], [1, 2, 3]).code == "SIZE_INVALID")
        #expect(try lab.ask("PATCH", upload, ["Content-Range: x"], [1]).status == 400)
        let status = try lab.ask("GET", upload)
        #expect(status.status == 204 && status.headers["range"] == "0-999" && status.headers["location"] == upload)
        // Of another repository, it is none.
        let elsewhere = upload.replacingOccurrences(of: "/v2/a/", with: "/v2/b/")
        #expect(try lab.ask("GET", elsewhere).code == "BLOB_UPLOAD_UNKNOWN")
        #expect(try lab.ask("DELETE", elsewhere).status == 404)
        #expect(try lab.ask("DELETE", upload).status == 204)
        for method in ["GET", "PATCH", "DELETE"] {
            #expect(try lab.ask(method, upload).code == "BLOB_UPLOAD_UNKNOWN", "\(method)")
        }
        #expect(lab.uploadFiles == [])
    }

    @Test func `a cut upload goes on where it was cut`() throws {
        let (blob, upload) = (
            bytes(200_000), try #require(try lab.ask("POST", "/v2/a/blobs/uploads/").headers["location"])
        )
        do {
            let cut = try Wire(lab.port)
            cut.send(Array("PATCH \(upload) HTTP/1.1\r\nHost: a\r\nContent-Length: \(blob.count)\r\n\r\n".utf8))
            cut.send(Array(blob[..<150_000]))
        }
        func here() throws -> Int {
            guard let range = try lab.ask("GET", upload).headers["range"], range != "0-0" else { return 0 }
            return (Int(range.dropFirst(2)) ?? -1) + 1
        }
        #expect(try soon { try here() == 150_000 })
        let rest = ["Content-Range: 150000-199999"]
        // The end of the request that was cut may still have the upload.
        #expect(try soon { try lab.ask("PATCH", upload, rest, Array(blob[150_000...])).status == 202 })
        let digest = StreamHash.digest(of: blob, .sha256)
        #expect(try lab.ask("PUT", upload + "?digest=\(digest)").status == 201)
        #expect(try lab.ask("GET", "/v2/a/blobs/\(digest)").body == blob)
    }

    @Test func `bytes that are not the digest's are refused and nothing is stored`() throws {
        let wrong = StreamHash.digest(of: [1], .sha256)
        let refused = try lab.ask("POST", "/v2/a/blobs/uploads/?digest=\(wrong)", [], [2])
        #expect(refused.status == 400 && refused.code == "DIGEST_INVALID")
        let whole = try #require(try lab.ask("POST", "/v2/a/blobs/uploads/").headers["location"])
        #expect(try lab.ask("PUT", whole + "?digest=\(wrong)", [], [2]).code == "DIGEST_INVALID")
        let parts = try #require(try lab.ask("POST", "/v2/a/blobs/uploads/").headers["location"])
        #expect(try lab.ask("PATCH", parts, ["Content-Range: 0-0"], [2]).status == 202)
        #expect(try lab.ask("PUT", parts + "?digest=\(wrong)").code == "DIGEST_INVALID")
        #expect(try lab.ask("HEAD", "/v2/a/blobs/\(wrong)").status == 404)
        #expect(lab.blobFiles == [] && lab.uploadFiles == [])
    }

    struct RangeCase: Sendable, CustomTestStringConvertible {
        let header: String
        let status: Int
        let range: Range<Int>
        init(_ header: String, _ status: Int, _ range: Range<Int>) {
            (self.header, self.status, self.range) = (header, status, range)
        }
        var testDescription: String { header }
    }

    @Test func `ranges of a blob are those of HTTP`() throws {
        let blob = bytes(1000)
        let digest = try lab.push(blob, to: "a")
        let path = "/v2/a/blobs/\(digest)"
        let cases: [RangeCase] = [
            .init("bytes=0-0", 206, 0..<1), .init("bytes=0-999", 206, 0..<1000), .init("bytes=10-19", 206, 10..<20),
            .init("bytes=990-", 206, 990..<1000), .init("bytes=-1", 206, 999..<1000),
            .init("bytes=-5000", 206, 0..<1000), .init("bytes=900-5000", 206, 900..<1000),
            .init("bytes=1-2,4-5", 200, 0..<1000), .init("bytes=a-b", 200, 0..<1000), .init("bytes=5-4", 416, 0..<0),
            .init("lines=1-2", 200, 0..<1000), .init("bytes=99999999999999999999-", 200, 0..<1000),
            .init("bytes=1000-", 416, 0..<0), .init("bytes=5000-6000", 416, 0..<0), .init("bytes=-0", 416, 0..<0),
        ]
        for item in cases {
            let reply = try lab.ask("GET", path, ["Range: \(item.header)"])
            #expect(reply.status == item.status, "\(item.header)")
            if item.status == 416 {
                #expect(reply.headers["content-range"] == "bytes */1000" && reply.code == "RANGE_INVALID")
            } else {
                #expect(reply.body == Array(blob[item.range]), "\(item.header)")
            }
            if item.status == 206 {
                #expect(
                    reply.headers["content-range"] == "bytes \(item.range.lowerBound)-\(item.range.upperBound - 1)/1000"
                )
            }
        }
        #expect(try lab.ask("GET", path, ["Range: bytes=0-9", "If-Range: \"other\""]).body == blob)
        #expect(try lab.ask("GET", path, ["If-None-Match: \"\(digest)\""]).status == 304)
        let head = try lab.ask("HEAD", path)
        #expect(head.status == 200 && head.headers["content-length"] == "1000" && head.body == [])
        let empty = try lab.push([], to: "a")
        #expect(try lab.ask("GET", "/v2/a/blobs/\(empty)").body == [])
    }

    @Test func `a blob of one repository is mounted in another, and belongs to those it was pushed to`() throws {
        let digest = try lab.push(bytes(10), to: "from/here")
        #expect(try lab.ask("HEAD", "/v2/to/there/blobs/\(digest)").status == 404)
        let mounted = try lab.ask("POST", "/v2/to/there/blobs/uploads/?mount=\(digest)&from=from/here")
        #expect(mounted.status == 201 && mounted.headers["location"] == "/v2/to/there/blobs/\(digest)")
        #expect(try lab.ask("DELETE", "/v2/from/here/blobs/\(digest)").status == 202)
        #expect(try lab.ask("GET", "/v2/from/here/blobs/\(digest)").code == "BLOB_UNKNOWN")
        #expect(try lab.ask("GET", "/v2/to/there/blobs/\(digest)").status == 200)
        for query in [
            "mount=\(digest)&from=nobody", "mount=x&from=to/there", "mount=\(digest)&from=..", "mount=\(digest)&from=",
            "mount=\(AccessTests.digest)", "mount=x",
        ] {
            #expect(try lab.ask("POST", "/v2/third/blobs/uploads/?\(query)").status == 202, "\(query)")
        }
        let found = try lab.ask("POST", "/v2/third/blobs/uploads/?mount=\(digest)")
        #expect(found.status == 201 && found.headers["location"] == "/v2/third/blobs/\(digest)")
        #expect(try lab.ask("GET", "/v2/third/blobs/\(digest)").body == bytes(10))
    }

    // MARK: Manifests

    @Test func `a manifest is had by tag and by digest, as it was pushed`() throws {
        let manifest = try lab.image("x", in: "a/b")
        let digest = StreamHash.digest(of: manifest, .sha256)
        let pushed = try lab.put(manifest, "v1", in: "a/b")
        #expect(pushed.status == 201 && pushed.headers["docker-content-digest"] == "\(digest)")
        #expect(pushed.headers["location"] == "/v2/a/b/manifests/\(digest)" && pushed.headers["oci-subject"] == nil)
        for reference in ["v1", "\(digest)"] {
            let reply = try lab.ask("GET", "/v2/a/b/manifests/\(reference)")
            #expect(reply.body == manifest && reply.headers["content-type"] == MediaType.ociManifest)
            #expect(reply.headers["docker-content-digest"] == "\(digest)")
            let head = try lab.ask("HEAD", "/v2/a/b/manifests/\(reference)")
            #expect(head.status == 200 && head.headers["content-length"] == "\(manifest.count)" && head.body == [])
        }
        let typed = try lab.put(manifest, "typed", in: "a/b", type: MediaType.ociManifest + "; charset=utf-8")
        #expect(typed.status == 201)
        #expect(try lab.ask("GET", "/v2/a/b/manifests/typed").headers["content-type"] == MediaType.ociManifest)
        let long = StreamHash.digest(of: manifest, .sha512)
        #expect(try lab.put(manifest, "\(long)", in: "a/b").headers["docker-content-digest"] == "\(long)")
        #expect(try lab.ask("GET", "/v2/a/b/manifests/\(long)").body == manifest)
        // A tag moves.
        let other = try lab.image("y", in: "a/b")
        #expect(try lab.put(other, "v1", in: "a/b").status == 201)
        #expect(try lab.ask("GET", "/v2/a/b/manifests/v1").body == other)
        #expect(try lab.ask("GET", "/v2/a/b/manifests/none").code == "MANIFEST_UNKNOWN")
        #expect(try lab.ask("GET", "/v2/nobody/manifests/v1").code == "MANIFEST_UNKNOWN")
    }

    @Test(arguments: [Digest.Algorithm.sha256, .sha512])
    func `a manifest that is pushed by its digest gets the tags that come with it`(
        _ algorithm: Digest.Algorithm
    ) throws {
        let manifest = try lab.image("x", in: "a")
        let digest = StreamHash.digest(of: manifest, algorithm)
        let tags = (0..<100).map { "t\($0)" }
        func query(_ tags: [String]) -> String { "?" + tags.map { "tag=\($0)" }.joined(separator: "&") }
        let pushed = try lab.put(manifest, "\(digest)" + query(tags[..<99] + ["t0"]), in: "a")
        #expect(pushed.status == 201 && pushed.values("oci-tag") == Array(tags[..<99]))
        #expect(pushed.headers["location"] == "/v2/a/manifests/\(digest)")
        #expect(try lab.ask("GET", "/v2/a/tags/list").json["tags"] as? [String] == tags[..<99].sorted())
        for tag in ["t0", "t98"] {
            let reply = try lab.ask("GET", "/v2/a/manifests/\(tag)")
            #expect(reply.body == manifest && reply.headers["docker-content-digest"] == "\(digest)")
        }
        // All of them, or none.
        let other = try lab.image("y", in: "a")
        let path = "\(StreamHash.digest(of: other, algorithm))"
        #expect(try lab.put(other, path + query(["t0", ".no"]), in: "a").code == "TAG_INVALID")
        #expect(try lab.put(other, path + query(tags + ["one-more"]), in: "a").status == 414)
        #expect(try lab.ask("GET", "/v2/a/manifests/t0").body == manifest)
        // With a tag in its path a push is of that one.
        #expect(try lab.put(other, "own" + query(["t0"]), in: "a").headers["oci-tag"] == nil)
        #expect(try lab.ask("GET", "/v2/a/manifests/t0").body == manifest)
        #expect(try lab.ask("DELETE", "/v2/a/manifests/\(digest)").status == 202)
        #expect(try lab.ask("GET", "/v2/a/tags/list").json["tags"] as? [String] == ["own"])
    }

    @Test func `a tag is removed alone, a manifest with its tags, and then its blobs can be`() throws {
        let manifest = try lab.image("x", in: "a")
        let digest = StreamHash.digest(of: manifest, .sha256)
        for tag in ["one", "two", "three"] { #expect(try lab.put(manifest, tag, in: "a").status == 201) }
        #expect(try lab.ask("DELETE", "/v2/a/manifests/one").status == 202)
        #expect(try lab.ask("DELETE", "/v2/a/manifests/one").status == 404)
        #expect(try lab.ask("GET", "/v2/a/manifests/two").status == 200)
        let layer = StreamHash.digest(of: Array("layer x".utf8), .sha256)
        let inUse = try lab.ask("DELETE", "/v2/a/blobs/\(layer)")
        #expect(inUse.status == 405 && inUse.code == "UNSUPPORTED")
        #expect(try lab.ask("DELETE", "/v2/a/manifests/\(digest)").status == 202)
        for reference in ["two", "three", "\(digest)"] {
            #expect(try lab.ask("GET", "/v2/a/manifests/\(reference)").status == 404, "\(reference)")
        }
        // The repository is there as long as anything of it is.
        #expect(try lab.ask("GET", "/v2/a/tags/list").json["tags"] as? [String] == [])
        let config = StreamHash.digest(of: Array("{\"seed\":\"x\"}".utf8), .sha256)
        for blob in [layer, config] {
            #expect(try lab.ask("DELETE", "/v2/a/blobs/\(blob)").status == 202)
            #expect(try lab.ask("GET", "/v2/a/blobs/\(blob)").status == 404)
        }
        #expect(try lab.ask("GET", "/v2/a/tags/list").code == "NAME_UNKNOWN")
    }

    @Test func `an index is taken when its manifests are there, a manifest when its blobs are`() throws {
        let manifest = try lab.image("x", in: "a")
        let digest = StreamHash.digest(of: manifest, .sha256)
        let index = Array(
            """
            {"schemaVersion":2,"mediaType":"\(MediaType.dockerList)","manifests":[{"mediaType":"\(MediaType.ociManifest)",\
            "digest":"\(digest)","size":\(manifest.count),"platform":{"os":"linux","architecture":"amd64"}}]}
            """.utf8)
        let early = try lab.put(index, "all", in: "a", type: MediaType.dockerList)
        #expect(early.status == 400 && early.code == "MANIFEST_BLOB_UNKNOWN")
        #expect(try lab.put(manifest, "\(digest)", in: "a").status == 201)
        #expect(try lab.put(index, "all", in: "a", type: MediaType.dockerList).status == 201)
        #expect(try lab.ask("GET", "/v2/a/manifests/all").headers["content-type"] == MediaType.dockerList)
        #expect(try lab.put(manifest, "v1", in: "elsewhere").code == "MANIFEST_BLOB_UNKNOWN")
        // A layer that only its owner may hand out need not be there.
        let config = try lab.push(Array("{}".utf8), to: "a")
        let missing = StreamHash.digest(of: [9], .sha256)
        let foreign = Array(
            """
            {"schemaVersion":2,"config":{"mediaType":"\(MediaType.ociConfig)","digest":"\(config)","size":2},"layers":[\
            {"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","digest":"\(missing)","size":1}]}
            """.utf8)
        #expect(try lab.put(foreign, "foreign", in: "a").status == 201)
    }

    @Test func `a page of referrers has few of those that say much, and the next ones follow`() throws {
        let lab = try RegistryLab()
        let subject = "{\"mediaType\":\"a/b\",\"digest\":\"\(AccessTests.digest)\",\"size\":1}"
        let long = String(repeating: "x", count: 3_900_000)
        var pushed: Set<String> = []
        for number in 0..<6 {
            let manifest = Array(
                """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociIndex)","manifests":[],"subject":\(subject),\
                "annotations":{"\(number)":"\(long)"}}
                """.utf8)
            let digest = StreamHash.digest(of: manifest, .sha256).description
            #expect(try lab.put(manifest, digest, in: "a", type: MediaType.ociIndex).status == 201)
            pushed.insert(digest)
        }
        var path = "/v2/a/referrers/\(AccessTests.digest)"
        var counts: [Int] = []
        while true {
            let reply = try lab.ask("GET", path)
            let found = (reply.json["manifests"] as? [[String: Any]] ?? []).compactMap { $0["digest"] as? String }
            counts.append(found.count)
            pushed.subtract(found)
            guard let link = reply.headers["link"] else { break }
            path = String(try #require(link.split(separator: ">").first).dropFirst())
        }
        #expect(counts == [1, 1, 1, 1, 1, 1] && pushed.isEmpty)
    }

    @Test func `referrers are listed by their subject and filtered by type`() throws {
        let subject = StreamHash.digest(of: Array("subject".utf8), .sha256)
        #expect(try lab.ask("GET", "/v2/a/referrers/\(subject)").json["manifests"] as? [String] == [])
        var digests: [String: String] = [:]
        for type in ["application/vnd.sig", "application/vnd.sbom"] {
            let extra = """
                ,"artifactType":"\(type)","annotations":{"k":"v"},"subject":{"mediaType":"\(MediaType.ociManifest)",\
                "digest":"\(subject)","size":7}
                """
            let manifest = try lab.image(type, in: "a", extra: extra)
            let digest = StreamHash.digest(of: manifest, .sha256)
            let pushed = try lab.put(manifest, "\(digest)", in: "a")
            #expect(pushed.status == 201 && pushed.headers["oci-subject"] == "\(subject)")
            digests[type] = "\(digest)"
        }
        let all = try lab.ask("GET", "/v2/a/referrers/\(subject)")
        #expect(all.headers["content-type"] == MediaType.ociIndex && all.headers["oci-filters-applied"] == nil)
        let list = try #require(all.json["manifests"] as? [[String: Any]])
        #expect(Set(list.compactMap { $0["digest"] as? String }) == Set(digests.values))
        #expect(list.allSatisfy { $0["annotations"] as? [String: String] == ["k": "v"] })
        #expect(try lab.ask("GET", "/v2/a/referrers/sha256:x").status == 400)
        // An index that does not say its type has none; what a configuration is, is its manifest's.
        let other = StreamHash.digest(of: Array("subject".utf8), .sha512)
        let named = ",\"subject\":{\"mediaType\":\"\(MediaType.ociManifest)\",\"digest\":\"\(other)\",\"size\":7}"
        let index = Array("{\"schemaVersion\":2,\"manifests\":[]\(named)}".utf8)
        #expect(try lab.put(index, "index", in: "a", type: MediaType.ociIndex).headers["oci-subject"] == "\(other)")
        #expect(try lab.put(try lab.image("x", in: "a", extra: named), "image", in: "a").status == 201)
        let plain = try lab.ask("GET", "/v2/a/referrers/\(other)").json["manifests"] as? [[String: Any]] ?? []
        let types = plain.map { "\($0["mediaType"] ?? "-") \($0["artifactType"] ?? "-")" }
        #expect(Set(types) == ["\(MediaType.ociIndex) -", "\(MediaType.ociManifest) \(MediaType.ociConfig)"])
        for tag in ["index", "image"] {
            let digest = try #require(try lab.ask("HEAD", "/v2/a/manifests/\(tag)").headers["docker-content-digest"])
            #expect(try lab.ask("DELETE", "/v2/a/manifests/\(digest)").status == 202)
        }
        #expect(try lab.ask("GET", "/v2/a/referrers/\(other)").json["manifests"] as? [String] == [])
        let one = try lab.ask("GET", "/v2/a/referrers/\(subject)?artifactType=application/vnd.sig")
        #expect(one.headers["oci-filters-applied"] == "artifactType")
        let found = try #require(one.json["manifests"] as? [[String: Any]])
        #expect(found.count == 1 && found[0]["digest"] as? String == digests["application/vnd.sig"])
        #expect(found[0]["artifactType"] as? String == "application/vnd.sig")
        let page = try lab.ask("GET", "/v2/a/referrers/\(subject)?n=1")
        let next = try #require(page.headers["link"]?.split(separator: ">").first.map { String($0.dropFirst()) })
        let rest = try lab.ask("GET", next)
        #expect((rest.json["manifests"] as? [Any])?.count == 1 && rest.headers["link"] == nil)
    }

    @Test func `lists come in pages and in the order of their bytes`() throws {
        let names = ["a", "b/c", "b/d"]
        for name in names {
            let manifest = try lab.image("x", in: name)
            for tag in name == "a" ? ["b", "A", "a.1", "_z", "a-0"] : ["t"] {
                #expect(try lab.put(manifest, tag, in: name).status == 201)
            }
        }
        #expect(try lab.ask("GET", "/v2/a/tags/list").json["tags"] as? [String] == ["A", "_z", "a-0", "a.1", "b"])
        #expect(try lab.ask("GET", "/v2/a/tags/list?n=0").json["tags"] as? [String] == [])
        var (path, seen) = ("/v2/a/tags/list?n=2", [[String]]())
        while true {
            let reply = try lab.ask("GET", path)
            seen.append(try #require(reply.json["tags"] as? [String]))
            guard let link = reply.headers["link"] else { break }
            #expect(link.hasSuffix("; rel=\"next\""))
            path = String(try #require(link.split(separator: ">").first).dropFirst())
        }
        #expect(seen == [["A", "_z"], ["a-0", "a.1"], ["b"]])
        #expect(try lab.ask("GET", "/v2/a/tags/list?last=a.1").json["tags"] as? [String] == ["b"])
        // Where a list begins need not be in it; the end of one has no next page.
        for (query, tags) in [("n=1&last=a", ["a-0"]), ("n=5", nil), ("n=900&last=b", [])] {
            let reply = try lab.ask("GET", "/v2/a/tags/list?\(query)")
            #expect(reply.json["tags"] as? [String] == tags ?? ["A", "_z", "a-0", "a.1", "b"], "\(query)")
            #expect((reply.headers["link"] == nil) == (query != "n=1&last=a"), "\(query)")
        }
        #expect(try lab.ask("GET", "/v2/a/tags/list?n=0").headers["link"] == nil)
        #expect(try lab.ask("GET", "/v2/nobody/tags/list").code == "NAME_UNKNOWN")
        #expect(try lab.ask("GET", "/v2/_catalog").json["repositories"] as? [String] == names)
        let page = try lab.ask("GET", "/v2/_catalog?n=1&last=a")
        #expect(page.json["repositories"] as? [String] == ["b/c"])
        #expect(page.headers["link"] == "</v2/_catalog?n=1&last=b/c>; rel=\"next\"")
    }
}

/// Whether `condition` comes to hold within seconds; a loaded machine may take long.
func soon(_ seconds: Double = 20, _ condition: () throws -> Bool) rethrows -> Bool {
    let end = Date().addingTimeInterval(seconds)
    while true {
        if try condition() { return true }
        if Date() > end { return false }
        usleep(20_000)
    }
}
