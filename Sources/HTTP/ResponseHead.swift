import Glibc
import NIOCore

/// Writes status lines and headers.
enum ResponseHead {
    static func bytes(_ status: Int, _ reason: String? = nil, headers: Headers, extra: [(String, String)]) -> ByteBuffer
    {
        var head = ByteBuffer()
        head.reserveCapacity(512)
        head.writeString("HTTP/1.1 \(status) \(reason ?? self.reason(status))\r\n")
        for field in headers.fields { write(field.name, field.value, to: &head) }
        for (name, value) in extra { write(name, value, to: &head) }
        head.writeStaticString("\r\n")
        return head
    }

    /// A value from outside cannot end its line.
    private static func write(_ name: String, _ value: String, to head: inout ByteBuffer) {
        head.writeString(name)
        head.writeStaticString(": ")
        head.writeBytes(value.utf8.lazy.map { $0 < 0x20 || $0 == 0x7f ? 0x20 : $0 })
        head.writeStaticString("\r\n")
    }

    /// `Date` of now (RFC 9110 §5.6.7).
    static func date() -> String {
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return
            "\(days[Int(parts.tm_wday)]), \(two(parts.tm_mday)) \(months[Int(parts.tm_mon)]) \(Int(parts.tm_year) + 1900) "
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) GMT"
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 206: "Partial Content"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 413: "Request Entity Too Large"
        case 416: "Range Not Satisfiable"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 507: "Insufficient Storage"
        default: "Status"
        }
    }
}
