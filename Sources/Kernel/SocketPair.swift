import CLinux
import Glibc

/// socketpair(2).
package enum SocketPair {
    /// A connected stream socket whose peer has gone: it reads as ended.
    package static func ended() throws(SystemError) -> OwnedFD {
        var ends: [CInt] = [-1, -1]
        try checked("socketpair") { cl_socket_pair(&ends) }
        close(ends[1])
        return OwnedFD(adopting: ends[0])
    }
}
