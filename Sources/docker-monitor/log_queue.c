// Pieces of the log on their way to a thread that writes them, for a container that must not wait for a disk: a ring of
// frames, mapped twice in a row so that each lies in one piece. Where it is full, the newest are dropped, as Docker does.
#include "monitor.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

// The thread's: a few paths, and what the C library needs.
#define STACK_BYTES (128u << 10)
// Room for the frames' heads beyond that for as much of them as of text, and so for the longest piece.
#define SPARE_BYTES (64u << 10)

static char *ring;
// Positions of the next to be written and of the next to come. Both begin anew whenever all is written, so that memory is
// used for what has to wait and not for all that passes.
static size_t ring_bytes, first, last;
static uint64_t text_bytes;
static bool ends, waits;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t thread;

void log_queue_put(const struct log_piece *piece) {
    struct lp_log_frame frame = log_frame(piece);
    size_t need = sizeof frame + piece->count;
    pthread_mutex_lock(&lock);
    // One that is alone has room, whatever the limit.
    bool fits = first == last || (text_bytes + piece->count <= plan->log_queue_bytes && last - first + need <= ring_bytes);
    if (fits) {
        char *to = ring + last % ring_bytes;
        memcpy(to, &frame, sizeof frame);
        memcpy(to + sizeof frame, piece->bytes, piece->count);
        last += need;
        text_bytes += piece->count;
        if (waits) pthread_cond_signal(&changed);
    }
    pthread_mutex_unlock(&lock);
}

// The piece at `first`, which stays where it is until it is taken.
static struct log_piece oldest(void) {
    const char *from = ring + first % ring_bytes;
    struct lp_log_frame frame;
    memcpy(&frame, from, sizeof frame);
    struct log_piece piece = {
        .bytes = from + sizeof frame, .stream = (frame.kind & LP_LOG_STDERR) != 0, .ended = frame.kind & LP_LOG_LINE_ENDED,
        .count = frame.length[0] | frame.length[1] << 8 | (size_t)frame.length[2] << 16};
    uint64_t time = 0;
    for (int i = 0; i < 8; i++) time |= (uint64_t)frame.time[i] << 8 * i;
    piece.time = (int64_t)time;
    return piece;
}

static void *write_all(void *unused) {
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        if (first == last) {
            first = last = 0;
            pthread_mutex_unlock(&lock);
            log_file_flush();
            pthread_mutex_lock(&lock);
            if (first == last && ends) break;
            waits = true;
            while (first == last && !ends) pthread_cond_wait(&changed, &lock);
            waits = false;
            continue;
        }
        struct log_piece piece = oldest();
        pthread_mutex_unlock(&lock);
        log_file_put(&piece);
        pthread_mutex_lock(&lock);
        first += sizeof(struct lp_log_frame) + piece.count;
        text_bytes -= piece.count;
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static bool map_ring(void) {
    uint64_t wanted = 2 * plan->log_queue_bytes + SPARE_BYTES;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    ring_bytes = (size_t)((wanted + page - 1) / page * page);
    int memory = (int)syscall(SYS_memfd_create, "log", MFD_CLOEXEC);
    if (memory < 0 || ftruncate(memory, (off_t)ring_bytes) != 0) return false;
    ring = mmap(NULL, 2 * ring_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ring == MAP_FAILED) return false;
    for (int half = 0; half < 2; half++) {
        void *place = ring + half * ring_bytes;
        if (mmap(place, ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, memory, 0) != place)
            return false;
    }
    close(memory);
    return true;
}

// Before the container's process is made: a monitor that has entered another pid namespace can make no thread.
bool log_queue_open(void) {
    if (!map_ring()) return false;
    pthread_attr_t attributes;
    if ((errno = pthread_attr_init(&attributes)) != 0) return false;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    errno = pthread_create(&thread, &attributes, write_all, NULL);
    return errno == 0;
}

void log_queue_finish(void) {
    pthread_mutex_lock(&lock);
    ends = true;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(thread, NULL);
}
