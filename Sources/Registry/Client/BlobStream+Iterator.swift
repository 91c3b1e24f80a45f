import AsyncHTTPClient
import NIOCore
import OCI

extension BlobStream {
    package struct Iterator: AsyncIteratorProtocol {
        private let blob: BlobStream
        private var body: HTTPClientResponse.Body.AsyncIterator?
        private var location: Location?
        private var route: BlobRoute
        /// The next byte the consumer gets.
        private var offset: Int64
        /// Bytes of the current body before ``offset``: the server ignored the range.
        private var skipByteCount: Int64 = 0
        private var backoff: Backoff
        /// Bytes that came of the current body.
        private var bodyByteCount: Int64 = 0
        private var pace: SourcePace
        private var wasConnected = false
        /// How often the blob was asked for, the first included.
        package private(set) var requestCount = 0

        init(_ blob: BlobStream) {
            self.blob = blob
            offset = blob.offset
            var patience = blob.client.configuration.patience
            // Of those that are trusted with nothing, the next one is asked.
            if !blob.endpoint.resolvesTags { patience.attempts = 1 }
            backoff = Backoff(patience)
            pace = SourcePace(patience)
            route =
                blob.opened?.route
                ?? BlobRoute(blob.access, blob.reference, blob.descriptor.digest, blob.sources)
        }

        /// The next bytes; `nil` after the last.
        ///
        /// - Throws: `RegistryError` when the blob cannot be had whole from this endpoint.
        package mutating func next() async throws(RegistryError) -> BlobChunk? {
            while true {
                do throws(RegistryError) { return try await step() } catch {
                    body = nil
                    let origin = route.origin
                    let patience = blob.client.configuration.patience
                    if route.leave(after: error, received: bodyByteCount, patience) { continue }
                    guard let pause = backoff.pause(after: error, wasConnected: wasConnected) else {
                        route.name(goingOnWith: nil)
                        throw error.from(origin ?? blob.endpoint.description)
                    }
                    try await Backoff.sleep(pause)
                }
            }
        }

        private mutating func step() async throws(RegistryError) -> BlobChunk? {
            let size = blob.descriptor.size
            while true {
                if offset == size && (body == nil || size == 0) { return nil }
                if body == nil { try await open() }
                guard var part = try await read() else {
                    body = nil
                    if offset == size { return nil }
                    throw RegistryError(
                        .cut, "blob \(blob.descriptor.digest) ended after \(offset) of \(size) bytes: unexpected EOF")
                }
                if skipByteCount > 0 {
                    let skipped = Swift.min(Int64(part.readableBytes), skipByteCount)
                    part.moveReaderIndex(forwardBy: Int(skipped))
                    skipByteCount -= skipped
                }
                if part.readableBytes == 0 { continue }
                route.credit()
                guard Int64(part.readableBytes) <= size - offset else {
                    throw RegistryError(
                        .tooLarge, "blob \(blob.descriptor.digest) is longer than the \(size) bytes its manifest says")
                }
                offset += Int64(part.readableBytes)
                backoff.advanced(by: part.readableBytes)
                bodyByteCount += Int64(part.readableBytes)
                return BlobChunk(part)
            }
        }

        private mutating func read() async throws(RegistryError) -> ByteBuffer? {
            guard var current = body else { return nil }
            body = nil
            let start = ContinuousClock.now
            do {
                let part = try await current.next(isolation: #isolation)
                body = current
                if route.mayBeLeft {
                    try pace.check(part?.readableBytes ?? 0, waited: .now - start, blob.descriptor.digest)
                }
                return part
            } catch {
                if Task.isCancelled { throw .cancelled }
                guard let location else { throw .cancelled }
                throw RegistryError.transport(error, "Get", location)
            }
        }

        private mutating func open() async throws(RegistryError) {
            requestCount += 1
            let reply: Reply
            if requestCount == 1, let opened = blob.opened {
                (reply, skipByteCount) = (opened.reply, try blob.skip(opened.reply, offset))
            } else {
                let (blob, offset) = (blob, offset)
                (reply, skipByteCount) = try await route.open(blob.client, at: offset) {
                    (reply) throws(RegistryError) in try blob.skip(reply, offset)
                }
            }
            wasConnected = true
            bodyByteCount = 0
            pace.begin()
            location = reply.location
            body = reply.body.makeAsyncIterator()
        }
    }
}
