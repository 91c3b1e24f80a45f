import Glibc
import Kernel
import Ring
import Testing

struct RingWriterTests {
    @Test(arguments: [true, false], [1, 4096, 65_536, 65_537, 300_001])
    func `blocks land in order and the file has the exact size`(direct: Bool, size: Int) throws {
        let path = "/var/tmp/ring-test-\(getpid())-\(UInt64.random(in: 0 ... .max))"
        defer { unlink(path) }
        let memory = try BlockMemory(count: 3, blockBytes: 65_536)
        var writer = try RingWriter(path, memory: memory, depth: 2, direct: direct)
        var free = [0, 1, 2]
        var written = 0
        while written < size {
            while free.isEmpty {
                try writer.reap(waitFor: 1)
                free += writer.takeCompleted()
            }
            let block = free.removeLast()
            let count = min(memory.blockBytes, size - written)
            for index in 0..<count { memory[block][index] = UInt8(truncatingIfNeeded: (written + index) / 4099) }
            try writer.write(block: block, count: count)
            free += writer.takeCompleted()
            written += count
        }
        try writer.finish(durable: true)
        #expect(try Files.read(path) == (0..<size).map { UInt8(truncatingIfNeeded: $0 / 4099) })
    }
}
