// The log's files. Docker's json-file form, one object a line with a line feed,
//     {"log":"text\n","stream":"stdout","attrs":{"label":"value"},"time":"2026-11-23T19:04:05.123456789Z"}
// or frames of launch_plan.h. A full file becomes `path.N`, with a number that only grows: the daemon may compress it, and a
// reader knows which file comes next, without a lock between the three. Where one file is all, a new one takes its place
// and the old one goes with its last reader: no file is ever read while it begins anew.
#include "monitor.h"

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

// One byte may become six ("\u001f").
#define RECORD_BYTES_MAX (6 * LP_LOG_PIECE_BYTES_MAX + LP_LOG_ATTRIBUTES_BYTES_MAX + 128)
// What is collected for one write(2); more would not make it cheaper.
#define WRITE_BYTES (256u << 10)
#define PATH_BYTES_MAX (4096 + 16)
// Text is copied in blocks, beyond its end where that is special; as much stays free behind the output.
#define BLOCK_BYTES 32

static int file = -1;
static const char *file_path;
static uint64_t file_size;
static uint32_t sequence;
static char output[WRITE_BYTES + RECORD_BYTES_MAX + BLOCK_BYTES];
static size_t output_count;

// What follows the text in a JSON record, for each stream. Its time is replaced in place.
#define TIME_BYTES 30
static struct {
    char bytes[LP_LOG_ATTRIBUTES_BYTES_MAX + 128];
    size_t count, time;
} endings[2];
static int64_t stamped = INT64_MIN, stamped_second = INT64_MIN;

// ---- files ----

static void make_endings(void) {
    const char *attributes = plan_string(plan->log_attributes);
    for (int stream = 0; stream < 2; stream++) {
        size_t count = (size_t)snprintf(
            endings[stream].bytes, sizeof endings[stream].bytes, "\",\"stream\":\"%s\"%s%s,\"time\":\"",
            stream ? "stderr" : "stdout", *attributes ? ",\"attrs\":" : "", attributes);
        endings[stream].time = count;
        memcpy(endings[stream].bytes + count + TIME_BYTES, "\"}\n", 3);
        endings[stream].count = count + TIME_BYTES + 3;
    }
}

bool log_file_open(void) {
    file_path = plan_string(plan->log_path);
    sequence = plan->log_sequence;
    make_endings();
    file = open(file_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) return false;
    file_size = (uint64_t)status.st_size;
    return true;
}

static void remove_rotated(uint32_t number) {
    char path[PATH_BYTES_MAX];
    snprintf(path, sizeof path, "%s.%u", file_path, number);
    unlink(path);
    snprintf(path, sizeof path, "%s.%u.gz", file_path, number);
    unlink(path);
}

// Where a step fails, the file grows on and the next record tries again.
static void rotate(void) {
    char next[PATH_BYTES_MAX], to[PATH_BYTES_MAX];
    snprintf(next, sizeof next, "%s.next", file_path);
    int fresh = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640);
    if (fresh < 0) return;
    bool keeps = plan->log_files_max > 1;
    snprintf(to, sizeof to, "%s.%u", file_path, sequence);
    bool moved = !keeps || rename(file_path, to) == 0;
    if (keeps && moved) {
        if (sequence >= plan->log_files_max) remove_rotated(sequence - plan->log_files_max + 1);
        sequence++;
    }
    // Somebody may have removed it.
    moved |= errno == ENOENT;
    if (!moved || rename(next, file_path) != 0) {
        close(fresh);
        return;
    }
    close(file);
    file = fresh;
    file_size = 0;
    if (keeps) log_rotated();
}

// How many of the output's first `count` bytes are whole records.
static size_t whole_records(size_t count) {
    if (plan->log_format == LP_LOG_JSON) {
        const char *feed = memrchr(output, '\n', count);
        return feed ? (size_t)(feed - output) + 1 : 0;
    }
    size_t whole = 0;
    while (count - whole >= sizeof(struct lp_log_frame)) {
        const struct lp_log_frame *frame = (const struct lp_log_frame *)(output + whole);
        size_t length = sizeof *frame + (frame->length[0] | frame->length[1] << 8 | (size_t)frame->length[2] << 16);
        if (length > count - whole) break;
        whole += length;
    }
    return whole;
}

static void write_out(size_t count) {
    if (count == 0) return;
    ssize_t result = write(file, output, count);
    if (result <= 0) return;
    size_t done = (size_t)result;
    // A full disk must not stop the container. What it has torn goes; where even that fails, it is at least passed over.
    if (done < count && ftruncate(file, (off_t)(file_size + whole_records(done))) == 0) done = whole_records(done);
    file_size += done;
}

void log_file_flush(void) {
    write_out(output_count);
    output_count = 0;
}

// The record from `start` on is whole: where it does not fit the file any more, it begins the next one.
static void end_record(size_t start) {
    if (!plan->log_bytes_max || file_size + output_count <= plan->log_bytes_max || file_size + start == 0) return;
    write_out(start);
    rotate();
    memmove(output, output + start, output_count - start);
    output_count -= start;
}

// ---- records ----

static void put(const char *text, size_t count) {
    memcpy(output + output_count, text, count);
    output_count += count;
}

// Bytes of the UTF-8 sequence at `text`, 0 when it is not one.
static size_t sequence_length(const unsigned char *text, size_t count) {
    size_t length = text[0] >= 0xc2 && text[0] <= 0xdf ? 2 : (text[0] & 0xf0) == 0xe0 ? 3 : text[0] >= 0xf0 && text[0] <= 0xf4 ? 4 : 0;
    if (length == 0 || length > count) return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    if (text[0] == 0xe0 && text[1] < 0xa0) return 0;
    if (text[0] == 0xed && text[1] > 0x9f) return 0;
    if (text[0] == 0xf0 && text[1] < 0x90) return 0;
    if (text[0] == 0xf4 && text[1] > 0x8f) return 0;
    return length;
}

// Bytes that need an escape, or are not ASCII. Docker's: those of HTML do. Without a branch, for blocks of them at once.
static inline unsigned char is_special(unsigned char byte) {
    return (unsigned char)(byte - 0x20) >= 0x60 | (byte & 0xfb) == '"' | (byte & 0xfd) == '<' | byte == '\\';
}

static void put_special(unsigned char byte) {
    static const char digits[] = "0123456789abcdef";
    if (byte == '"' || byte == '\\') {
        output[output_count++] = '\\';
        output[output_count++] = (char)byte;
    } else if (byte == '\n' || byte == '\r') {
        put(byte == '\n' ? "\\n" : "\\r", 2);
    } else {
        put("\\u00", 4);
        output[output_count++] = digits[byte >> 4];
        output[output_count++] = digits[byte & 15];
    }
}

// One character that is not ASCII, or a byte that is none; returns its length.
static size_t put_wide(const unsigned char *text, size_t count) {
    size_t length = sequence_length(text, count);
    // Two line ends of Unicode, which JavaScript does not take in strings.
    bool ends_line = length == 3 && text[0] == 0xe2 && text[1] == 0x80 && (text[2] & 0xfe) == 0xa8;
    if (ends_line) put(text[2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
    else if (length) put((const char *)text, length);
    else put("\\ufffd", 6);
    return length ? length : 1;
}

// Copies what is plain at the front of `text`; returns its length.
static size_t put_plain(const unsigned char *text, size_t count) {
    char *to = output + output_count;
    size_t done = 0;
    while (count - done >= BLOCK_BYTES) {
        unsigned char special = 0;
        for (int i = 0; i < BLOCK_BYTES; i++) special |= is_special(text[done + i]);
        memcpy(to + done, text + done, BLOCK_BYTES);
        if (special) break;
        done += BLOCK_BYTES;
    }
    for (; done < count && !is_special(text[done]); done++) to[done] = (char)text[done];
    output_count += done;
    return done;
}

static void put_escaped(const char *bytes, size_t count) {
    const unsigned char *text = (const unsigned char *)bytes, *end = text + count;
    while (text < end) {
        text += put_plain(text, (size_t)(end - text));
        if (text == end) return;
        if (*text < 0x80) put_special(*text++);
        else text += put_wide(text, (size_t)(end - text));
    }
}

static void put_digits(char *to, int count, uint32_t value) {
    for (; count-- > 0; value /= 10) to[count] = (char)('0' + value % 10);
}

static void stamp(int64_t time) {
    if (time == stamped) return;
    stamped = time;
    int64_t seconds = time / 1000000000;
    char text[TIME_BYTES + 1];
    memcpy(text, endings[0].bytes + endings[0].time, TIME_BYTES);
    if (seconds != stamped_second) {
        // Not strftime(3), which reads the local time zone's file first.
        time_t whole = (time_t)seconds;
        struct tm parts;
        gmtime_r(&whole, &parts);
        snprintf(
            text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ", parts.tm_year + 1900, parts.tm_mon + 1,
            parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, 0);
        stamped_second = seconds;
    }
    put_digits(text + TIME_BYTES - 10, 9, (uint32_t)(time % 1000000000));
    for (int stream = 0; stream < 2; stream++) memcpy(endings[stream].bytes + endings[stream].time, text, TIME_BYTES);
}

static void put_json(const struct log_piece *piece) {
    stamp(piece->time);
    put("{\"log\":\"", 8);
    put_escaped(piece->bytes, piece->count);
    if (piece->ended) put("\\n", 2);
    put(endings[piece->stream].bytes, endings[piece->stream].count);
}

struct lp_log_frame log_frame(const struct log_piece *piece) {
    struct lp_log_frame frame = {
        .kind = LP_LOG_FRAME | (piece->stream ? LP_LOG_STDERR : 0) | (piece->ended ? LP_LOG_LINE_ENDED : 0),
        .length = {(uint8_t)piece->count, (uint8_t)(piece->count >> 8), (uint8_t)(piece->count >> 16)}};
    for (int i = 0; i < 8; i++) frame.time[i] = (uint8_t)((uint64_t)piece->time >> 8 * i);
    return frame;
}

static void put_frame(const struct log_piece *piece) {
    struct lp_log_frame frame = log_frame(piece);
    put((const char *)&frame, sizeof frame);
    put(piece->bytes, piece->count);
}

void log_file_put(const struct log_piece *piece) {
    size_t start = output_count;
    if (plan->log_format == LP_LOG_LOCAL) put_frame(piece);
    else put_json(piece);
    end_record(start);
    if (output_count >= WRITE_BYTES) log_file_flush();
}
