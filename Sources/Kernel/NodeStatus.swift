import CLinux
import Glibc

/// What fstat(2) says of a file, directory, link or device, as plain numbers.
package struct NodeStatus: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        case file, directory, symlink, character, block, fifo, socket
    }

    package var kind: Kind
    /// Permission bits with set-id and sticky (07777).
    package var mode: UInt16
    package var uid: UInt32
    package var gid: UInt32
    /// Bytes.
    package var size: Int64
    package var mtime: Moment
    package var atime: Moment
    /// When anything of the object was last changed; nobody can set it.
    package var ctime: Moment
    /// Bytes on disk.
    package var storedBytes: Int64
    /// The file system and the object in it.
    package var device: UInt64
    package var inode: UInt64
    package var links: UInt64
    /// Device numbers of `.character` and `.block`.
    package var deviceMajor: UInt32
    package var deviceMinor: UInt32

    /// Seconds since 1970, negative before, and nanoseconds after that second.
    package struct Moment: Sendable, Hashable, Comparable {
        package var seconds: Int64
        package var nanoseconds: UInt32
        package static func < (left: Moment, right: Moment) -> Bool {
            (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
        }
        /// As file systems tell it: the clock that stamps changes, which may be some milliseconds late.
        package static var now: Moment {
            var time = Glibc.timespec()
            clock_gettime(CLOCK_REALTIME_COARSE, &time)
            return Moment(time)
        }
        package init(seconds: Int64, nanoseconds: UInt32) {
            self.seconds = seconds
            self.nanoseconds = nanoseconds
        }
        init(_ time: timespec) {
            self.init(seconds: Int64(time.tv_sec), nanoseconds: UInt32(truncatingIfNeeded: time.tv_nsec))
        }
        var timespec: timespec { Glibc.timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds)) }
    }

    /// Identity of the object while it exists: the key under which hard links meet.
    package struct Identity: Sendable, Hashable {
        package let device: UInt64
        package let inode: UInt64
        package init(device: UInt64, inode: UInt64) {
            self.device = device
            self.inode = inode
        }
    }

    package var identity: Identity { Identity(device: device, inode: inode) }

    init(_ status: stat) {
        kind =
            switch status.st_mode & S_IFMT {
            case S_IFDIR: .directory
            case S_IFLNK: .symlink
            case S_IFCHR: .character
            case S_IFBLK: .block
            case S_IFIFO: .fifo
            case S_IFSOCK: .socket
            default: .file
            }
        mode = UInt16(truncatingIfNeeded: status.st_mode & 0o7777)
        uid = status.st_uid
        gid = status.st_gid
        size = Int64(status.st_size)
        mtime = Moment(status.st_mtim)
        atime = Moment(status.st_atim)
        ctime = Moment(status.st_ctim)
        storedBytes = Int64(status.st_blocks) * 512
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        links = UInt64(status.st_nlink)
        deviceMajor = cl_major(status.st_rdev)
        deviceMinor = cl_minor(status.st_rdev)
    }
}
