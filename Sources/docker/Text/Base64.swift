/// Base 64 (RFC 4648), standard and URL alphabets.
enum Base64 {
    private static let standard = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let url = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    static func encode(_ bytes: [UInt8]) -> String { encode(bytes, standard) }

    /// With the URL alphabet, padded, as Docker's headers want it.
    static func encodeURL(_ bytes: [UInt8]) -> String { encode(bytes, url) }

    private static func encode(_ bytes: [UInt8], _ alphabet: [UInt8]) -> String {
        var out: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for index in 0..<4 {
                out.append(index <= group.count ? alphabet[bits >> (18 - 6 * index) & 63] : UInt8(ascii: "="))
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// Reads either alphabet, with or without padding; `nil` when malformed.
    static func decode(_ text: String) -> [UInt8]? {
        var out: [UInt8] = []
        var bits = 0
        var count = 0
        for byte in text.utf8 where byte != UInt8(ascii: "=") && byte > 0x20 {
            guard let value = standard.firstIndex(of: byte) ?? url.firstIndex(of: byte) else { return nil }
            bits = (bits << 6 | value) & 0xffffff
            count += 6
            if count >= 8 {
                count -= 8
                out.append(UInt8(truncatingIfNeeded: bits >> count))
            }
        }
        return out
    }
}
