import CLinux
import Glibc
import Kernel

/// A descriptor that several owners keep open: a network namespace, or a socket that reserves a port.
final class NamespaceHandle: Sendable {
    let descriptor: OwnedFD

    init(_ descriptor: consuming OwnedFD) { self.descriptor = descriptor }

    /// Opens the same object from any process that may look into this one.
    var path: String { "/proc/\(getpid())/fd/\(descriptor.raw)" }
}

/// Network namespaces of the calling thread (network_namespaces(7)); never call these on the cooperative pool.
enum NetworkNamespace {
    /// CLONE_NEWNET
    private static let kind: CInt = 0x4000_0000

    /// The one the thread is in.
    static func current() throws(SystemError) -> OwnedFD { try OwnedFD.open("/proc/thread-self/ns/net", O_RDONLY) }

    /// Moves the thread into a new one.
    static func enterNew() throws(SystemError) { try checked("unshare", "network namespace") { cl_unshare(kind) } }

    /// Moves the thread into this one.
    static func enter(_ namespace: borrowing OwnedFD) throws(SystemError) {
        let raw = namespace.raw
        try checked("setns", "network namespace") { cl_setns(raw, kind) }
    }

    /// Parameters every container namespace starts with, as Docker sets them: ports below 1024 and ping need no privilege.
    private static let defaults = [
        ("ipv4/ip_unprivileged_port_start", "0"), ("ipv4/ping_group_range", "0 2147483647"),
    ]

    /// Sets what every container namespace starts with in the thread's.
    static func setDefaults() throws(SystemError) { for (name, value) in defaults { try set(name, value) } }

    /// Reads a parameter of the thread's namespace, without its newline.
    static func get(_ name: String) throws(SystemError) -> String {
        let bytes = try Files.read("/proc/sys/net/\(name)", bytesMax: 4096)
        return String(decoding: bytes.prefix { $0 != 0x0A }, as: UTF8.self)
    }

    /// Writes a parameter of the thread's namespace; `name` is the path below /proc/sys/net.
    static func set(_ name: String, _ value: String) throws(SystemError) {
        let file = try OwnedFD.open("/proc/sys/net/\(name)", O_WRONLY)
        var failure: SystemError?
        var value = value
        value.withUTF8 { bytes in
            do throws(SystemError) { try file.writeAll(UnsafeRawBufferPointer(bytes)) } catch { failure = error }
        }
        if let failure { throw SystemError(failure.call, failure.code, "net/\(name)") }
    }
}
