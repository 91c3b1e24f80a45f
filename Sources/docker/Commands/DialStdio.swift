@preconcurrency import Glibc

/// `docker system dial-stdio`: the standard streams become a connection to the daemon. Clients elsewhere run it by ssh.
struct DialStdio: Command {
    static let usage = "system dial-stdio"

    func run(_ settings: Settings) throws(CLIError) {
        let connection = try settings.client().connect()
        var isInputOpen = true
        while true {
            var set = [
                pollfd(fd: connection.raw, events: Int16(POLLIN), revents: 0),
                pollfd(fd: isInputOpen ? 0 : -1, events: Int16(POLLIN), revents: 0),
            ]
            if poll(&set, 2, -1) < 0 {
                if errno == EINTR { continue }
                throw .system("poll", errno)
            }
            if set[0].revents != 0 {
                let bytes = try connection.receive(262_144)
                guard !bytes.isEmpty else { return }
                try writeAll(1, bytes)
            }
            if set[1].revents != 0 {
                let bytes = try readSome(0, 262_144)
                isInputOpen = !bytes.isEmpty
                if isInputOpen { try connection.send(bytes) } else { connection.finishSending() }
            }
        }
    }
}
