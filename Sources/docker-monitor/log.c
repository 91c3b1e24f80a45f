// The log: what the two streams say becomes pieces, lines or parts of long ones, each with the time its last bytes were read.
// They are written here and now, or by a thread of their own where the container must not wait for a disk.
#include "monitor.h"

#include <sys/eventfd.h>

// A longer line is split; only its last part ends with a line feed. Docker's figure.
#define LINE_MAX_BYTES LP_LOG_PIECE_BYTES_MAX

struct line {
    char bytes[LINE_MAX_BYTES];
    size_t count;
    int64_t time;
};

static bool is_open, is_queued;
static int rotations = -1;
static struct line lines[2];
static int64_t now, written;

// Times never go back, even where the clock does.
static void note_time(void) {
    int64_t time = time_now();
    if (time > now) now = time;
}

bool log_open(void) {
    if (!plan->log_path) return true;
    if (!log_file_open()) return false;
    is_open = true;
    // What earlier runs have logged comes before all of this one.
    note_time();
    if (!(plan->flags & LP_LOG_QUEUED)) return true;
    is_queued = true;
    rotations = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return rotations >= 0 && log_queue_open();
}

int log_descriptor(void) { return rotations; }

void log_serve(void) {
    uint64_t count;
    if (read(rotations, &count, sizeof count) == (ssize_t)sizeof count) tell_log_rotated();
}

void log_rotated(void) {
    const uint64_t one = 1;
    if (!is_queued) tell_log_rotated();
    else if (write(rotations, &one, sizeof one) < 0) return;  // so full that it is readable
}

int64_t log_time(void) {
    return now;
}

static void put(int stream, int64_t time, const char *bytes, size_t count, bool ended) {
    if (time > written) written = time;
    struct log_piece piece = {.time = written, .bytes = bytes, .count = count, .stream = stream, .ended = ended};
    if (is_queued) log_queue_put(&piece);
    else log_file_put(&piece);
}

// How much of a full buffer to write as one part: not half a character.
static size_t part_length(const char *bytes, size_t count) {
    for (size_t back = 1; back <= 3; back++) {
        unsigned char byte = (unsigned char)bytes[count - back];
        if ((byte & 0xc0) == 0x80) continue;
        size_t need = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
        return need > back ? count - back : count;
    }
    return count;
}

void log_append(int stream, const char *bytes, size_t count) {
    if (!is_open) return;
    struct line *line = &lines[stream];
    note_time();
    while (count > 0) {
        const char *feed = memchr(bytes, '\n', count);
        size_t length = feed ? (size_t)(feed - bytes) : count;
        if (feed && line->count == 0 && length < LINE_MAX_BYTES) {
            put(stream, now, bytes, length, true);
        } else {
            size_t room = LINE_MAX_BYTES - line->count;
            line->time = now;
            if (length >= room) {
                memcpy(line->bytes + line->count, bytes, room);
                size_t part = part_length(line->bytes, LINE_MAX_BYTES);
                put(stream, now, line->bytes, part, false);
                line->count = LINE_MAX_BYTES - part;
                memmove(line->bytes, line->bytes + part, line->count);
                bytes += room;
                count -= room;
                continue;
            }
            memcpy(line->bytes + line->count, bytes, length);
            line->count += length;
            if (feed) {
                put(stream, now, line->bytes, line->count, true);
                line->count = 0;
            }
        }
        bytes += length + (feed != NULL);
        count -= length + (feed != NULL);
    }
}

void log_flush(void) {
    if (is_open && !is_queued) log_file_flush();
}

void log_finish(void) {
    if (!is_open) return;
    int earlier = lines[1].count && lines[1].time < lines[0].time;
    for (int i = 0; i < 2; i++) {
        struct line *line = &lines[i ^ earlier];
        if (line->count) put(i ^ earlier, line->time, line->bytes, line->count, false);
        line->count = 0;
    }
    if (is_queued) log_queue_finish();
    else log_file_flush();
}
