@preconcurrency import Glibc

/// The text of an errno value.
func systemMessage(_ code: CInt) -> String { String(cString: strerror(code)) }

/// The value of an environment variable; `nil` when unset or empty, which Docker treats alike.
func environment(_ name: String) -> String? {
    guard let value = getenv(name) else { return nil }
    let text = String(cString: value)
    return text.isEmpty ? nil : text
}

/// A descriptor that closes itself.
final class Descriptor {
    let raw: CInt
    init(adopting raw: CInt) { self.raw = raw }
    deinit { close(raw) }
}

/// Writes all bytes to a descriptor, waiting as long as it takes.
func writeAll(_ descriptor: CInt, _ bytes: some Collection<UInt8>) throws(CLIError) {
    let contiguous = Array(bytes)
    var offset = 0
    while offset < contiguous.count {
        let count = contiguous.withUnsafeBytes {
            write(descriptor, $0.baseAddress.map { $0 + offset }, $0.count - offset)
        }
        if count < 0 {
            if errno == EINTR { continue }
            if errno == EAGAIN {
                var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&waiting, 1, -1)
                continue
            }
            // Nobody reads the output any more: end as programs do.
            if errno == EPIPE, descriptor == 1 || descriptor == 2 {
                signal(SIGPIPE, SIG_DFL)
                raise(SIGPIPE)
            }
            throw .system("write", errno)
        }
        offset += count
    }
}

/// One read(2) of at most `countMax` bytes; empty at the end of the stream.
func readSome(_ descriptor: CInt, _ countMax: Int = 65536) throws(CLIError) -> [UInt8] {
    var failure: CInt = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: countMax) { buffer, count in
        var result = read(descriptor, buffer.baseAddress, countMax)
        while result < 0, errno == EINTR { result = read(descriptor, buffer.baseAddress, countMax) }
        if result < 0 { failure = errno }
        count = max(0, result)
    }
    guard failure == 0 else { throw .system("read", failure) }
    return bytes
}

/// The whole of a file, refused above `limit` bytes.
func readFile(_ path: String, limit: Int = 64 << 20) throws(CLIError) -> [UInt8] {
    let raw = open(path, O_RDONLY | O_CLOEXEC)
    guard raw >= 0 else { throw CLIError("open \(path): \(systemMessage(errno).lowercasedFirst)") }
    let file = Descriptor(adopting: raw)
    var bytes: [UInt8] = []
    while true {
        let part = try readSome(file.raw)
        if part.isEmpty { return bytes }
        bytes += part
        guard bytes.count <= limit else { throw CLIError("\(path) is larger than \(limit) bytes") }
    }
}

/// Writes a file so that readers see the old or the new content, never a part: temporary name, fsync, rename.
func writeFileAtomically(_ path: String, _ bytes: [UInt8], mode: mode_t) throws(CLIError) {
    let temporary = "\(path).\(getpid()).tmp"
    let raw = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard raw >= 0 else { throw CLIError("open \(temporary): \(systemMessage(errno).lowercasedFirst)") }
    let file = Descriptor(adopting: raw)
    do throws(CLIError) {
        try writeAll(raw, bytes)
        guard fsync(raw) == 0, rename(temporary, path) == 0 else { throw .system("rename \(path)", errno) }
    } catch {
        unlink(temporary)
        throw error
    }
    withExtendedLifetime(file) {}
}

/// Writes a file that must not be there yet.
func writeNewFile(_ path: String, _ bytes: [UInt8], mode: mode_t) throws(CLIError) {
    let raw = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard raw >= 0 else { throw CLIError("open \(path): \(systemMessage(errno).lowercasedFirst)") }
    let file = Descriptor(adopting: raw)
    try writeAll(file.raw, bytes)
    withExtendedLifetime(file) {}
}

/// Prints a line on standard output.
func say(_ text: String) { print(text) }

/// Prints a line on standard error, after what standard output still holds.
func complain(_ text: String) {
    fflush(stdout)
    fputs(text + "\n", stderr)
}

/// A pipe that is not inherited: the end to read from and the end to write to.
func openPipe() throws(CLIError) -> (read: Descriptor, write: Descriptor) {
    var ends: [CInt] = [-1, -1]
    guard pipe(&ends) == 0 else { throw .system("pipe", errno) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (Descriptor(adopting: ends[0]), Descriptor(adopting: ends[1]))
}

extension String {
    /// As Go prints errno texts: without the capital.
    var lowercasedFirst: String { prefix(1).lowercased() + dropFirst() }

    /// The text without `prefix` at its beginning.
    func droppingPrefix(_ prefix: String) -> String { hasPrefix(prefix) ? String(dropFirst(prefix.count)) : self }
}
