import CLinux
import Glibc

/// Starting programs with vfork semantics: cheap from a large process, and no Swift runs in the child.
package enum Spawn {
    /// Starts `path` with `arguments` after its name, an environment of `PATH` and `LC_ALL=C`, and `descriptors` as 0, 1, …
    ///
    /// - Parameter session: the process leads a session of its own.
    /// - Returns: its pid; the caller waits for it.
    package static func run(
        _ path: String, _ arguments: [String], descriptors: [CInt], session: Bool = false
    ) throws(SystemError) -> Int32 {
        var argv: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
        var environment: [UnsafeMutablePointer<CChar>?] = [
            strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), strdup("LC_ALL=C"), nil,
        ]
        defer { for pointer in argv + environment { free(pointer) } }
        return try checked("posix_spawn", path) {
            cl_spawn(path, &argv, &environment, descriptors, CInt(descriptors.count), session ? 1 : 0)
        }
    }
}
