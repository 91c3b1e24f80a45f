import CLinux
import Glibc

/// A file that another process has open, named so that no other file can be meant.
package struct PeerFile: Sendable, Hashable {
    /// What the process calls it: its descriptor's number.
    package let number: CInt
    package let identity: NodeStatus.Identity

    package init(number: CInt, identity: NodeStatus.Identity) {
        self.number = number
        self.identity = identity
    }

    /// The process's own open file once more (pidfd_getfd(2)), with its rights, its flags and its place.
    ///
    /// - Returns: nil when there is none, when it is another one, or when it is no plain file and no pipe.
    package func open(in process: Int32) -> OpenedNode? {
        let handle = cl_pidfd_open(process)
        guard handle >= 0 else { return nil }
        let pidfd = OwnedFD(adopting: handle)
        let raw = cl_pidfd_getfd(pidfd.raw, number)
        guard raw >= 0 else { return nil }
        let file = OwnedFD(adopting: raw)
        guard let status = try? file.nodeStatus(), status.identity == identity,
            status.kind == .file || status.kind == .fifo
        else { return nil }
        return OpenedNode(file, status)
    }
}
