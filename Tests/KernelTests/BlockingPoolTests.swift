import Kernel
import Testing

struct BlockingPoolTests {
    /// Calls that each wait until all of them run.
    private final class Meeting: Sendable {
        private let arrived = Guarded(0)
        private let count: Int

        init(of count: Int) { self.count = count }

        func wait() {
            arrived.withLock { $0 += 1 }
            arrived.wait(until: { $0 >= count }) { _ in }
        }
    }

    @Test(.timeLimit(.minutes(1))) func `threads that wait are woken by as many calls, whoever else ends meanwhile`()
        async
    {
        let pool = BlockingPool(threadsMax: 4)
        for _ in 0..<300 {
            let meeting = Meeting(of: 4)
            await withDiscardingTaskGroup { group in
                for _ in 0..<4 { group.addTask { await pool.run { meeting.wait() } } }
            }
            let sum = await withTaskGroup(of: Int.self) { group in
                for number in 0..<20 { group.addTask { await pool.run { number } } }
                return await group.reduce(0, +)
            }
            #expect(sum == 190)
        }
    }
}
