import Glibc

/// Device numbers as makedev(3) packs them.
enum DeviceNumber {
    static func major(_ device: dev_t) -> UInt32 {
        UInt32(truncatingIfNeeded: (device >> 8) & 0xfff | (device >> 32) & ~0xfff)
    }

    static func minor(_ device: dev_t) -> UInt32 {
        UInt32(truncatingIfNeeded: device & 0xff | (device >> 12) & ~0xff)
    }

    static func make(_ major: UInt32, _ minor: UInt32) -> dev_t {
        let (major, minor) = (dev_t(major), dev_t(minor))
        return (major & 0xfff) << 8 | (major & ~0xfff) << 32 | minor & 0xff | (minor & ~0xff) << 12
    }
}
