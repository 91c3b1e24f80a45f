// The log: Docker's json-file form, one object a line with a line feed,
//     {"log":"text\n","stream":"stdout","attrs":{"label":"value"},"time":"2026-11-23T19:04:05.123456789Z"}
// or frames of launch_plan.h. A full file becomes `path.N`, with a number that only grows: the daemon may compress it, and a
// reader knows which file comes next, without a lock between the three.
#include "monitor.h"

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

// A longer line is split; only its last part ends with a line feed. Docker's figure.
#define LINE_MAX_BYTES LP_LOG_PIECE_BYTES_MAX
// One byte may become six ("\u001f").
#define RECORD_BYTES_MAX (6 * LINE_MAX_BYTES + LP_LOG_ATTRIBUTES_BYTES_MAX + 128)
#define PATH_BYTES_MAX (4096 + 16)

struct line {
    char bytes[LINE_MAX_BYTES];
    size_t count;
};

static int file = -1;
static const char *file_path, *attributes;
static uint64_t file_size;
static uint32_t sequence;
static struct line lines[2];
static char output[RECORD_BYTES_MAX * 2];
static size_t output_count, attributes_count;
static int64_t now;
static char stamp[40];

bool log_open(void) {
    if (!plan->log_path) return true;
    file_path = plan_string(plan->log_path);
    sequence = plan->log_sequence;
    attributes = plan_string(plan->log_attributes);
    attributes_count = strlen(attributes);
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

static void rotate(void) {
    bool keeps = plan->log_files_max > 1;
    if (keeps) {
        char to[PATH_BYTES_MAX];
        snprintf(to, sizeof to, "%s.%u", file_path, sequence);
        if (rename(file_path, to) != 0) return;
        if (sequence >= plan->log_files_max) remove_rotated(sequence - plan->log_files_max + 1);
        sequence++;
    }
    int fresh = open(file_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640);
    if (fresh < 0) return;
    close(file);
    file = fresh;
    file_size = 0;
    if (keeps) tell_log_rotated();
}

static void write_out(size_t count) {
    if (count == 0) return;
    ssize_t written = write(file, output, count);
    if (written == (ssize_t)count) {
        file_size += count;
    } else if (written > 0 && ftruncate(file, (off_t)file_size) != 0) {
        // A full disk must not stop the container; a torn record would hide the ones after it, so it is at least ended.
        file_size += (uint64_t)written;
    }
}

static void flush(void) {
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

// Bytes that need no escape. Docker's: those of HTML do.
static inline bool is_plain(unsigned char byte) {
    static const uint64_t special[4] = {
        (1ull << '"') | (1ull << '&') | (1ull << '<') | (1ull << '>') | 0xffffffffull, 1ull << ('\\' - 64), ~0ull, ~0ull};
    return !(special[byte >> 6] >> (byte & 63) & 1);
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

static void put_escaped(const char *bytes, size_t count) {
    const unsigned char *text = (const unsigned char *)bytes;
    for (size_t i = 0; i < count;) {
        size_t plain = i;
        while (plain < count && is_plain(text[plain])) plain++;
        put(bytes + i, plain - i);
        i = plain;
        if (i == count) return;
        if (text[i] < 0x80) {
            put_special(text[i++]);
            continue;
        }
        size_t length = sequence_length(text + i, count - i);
        if (length) put(bytes + i, length);
        else put("\\ufffd", 6);
        i += length ? length : 1;
    }
}

static void put_json(int stream, const char *bytes, size_t count, bool ended) {
    put("{\"log\":\"", 8);
    put_escaped(bytes, count);
    if (ended) put("\\n", 2);
    if (stream == 0) put("\",\"stream\":\"stdout\"", 19);
    else put("\",\"stream\":\"stderr\"", 19);
    if (attributes_count) {
        put(",\"attrs\":", 9);
        put(attributes, attributes_count);
    }
    put(",\"time\":\"", 9);
    put(stamp, strlen(stamp));
    put("\"}\n", 3);
}

static void put_frame(int stream, const char *bytes, size_t count, bool ended) {
    struct lp_log_frame frame = {
        .kind = LP_LOG_FRAME | (stream ? LP_LOG_STDERR : 0) | (ended ? LP_LOG_LINE_ENDED : 0),
        .length = {(uint8_t)count, (uint8_t)(count >> 8), (uint8_t)(count >> 16)}};
    for (int i = 0; i < 8; i++) frame.time[i] = (uint8_t)((uint64_t)now >> 8 * i);
    put((const char *)&frame, sizeof frame);
    put(bytes, count);
}

static void put_record(int stream, const char *bytes, size_t count, bool ended) {
    if (sizeof output - output_count < RECORD_BYTES_MAX) flush();
    size_t start = output_count;
    if (plan->log_format == LP_LOG_LOCAL) put_frame(stream, bytes, count, ended);
    else put_json(stream, bytes, count, ended);
    end_record(start);
}

static void set_stamp(void) {
    struct tm parts;
    now = time_now();
    time_t seconds = (time_t)(now / 1000000000);
    if (plan->log_format == LP_LOG_LOCAL) return;
    // Not strftime(3), which reads the local time zone's file first.
    gmtime_r(&seconds, &parts);
    snprintf(
        stamp, sizeof stamp, "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
        parts.tm_hour, parts.tm_min, parts.tm_sec, (int)(now % 1000000000));
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
    if (file < 0) return;
    struct line *line = &lines[stream];
    set_stamp();
    while (count > 0) {
        const char *feed = memchr(bytes, '\n', count);
        size_t length = feed ? (size_t)(feed - bytes) : count;
        if (feed && line->count == 0 && length < LINE_MAX_BYTES) {
            put_record(stream, bytes, length, true);
        } else {
            size_t room = LINE_MAX_BYTES - line->count;
            if (length >= room) {
                memcpy(line->bytes + line->count, bytes, room);
                size_t part = part_length(line->bytes, LINE_MAX_BYTES);
                put_record(stream, line->bytes, part, false);
                line->count = LINE_MAX_BYTES - part;
                memmove(line->bytes, line->bytes + part, line->count);
                bytes += room;
                count -= room;
                continue;
            }
            memcpy(line->bytes + line->count, bytes, length);
            line->count += length;
            if (feed) {
                put_record(stream, line->bytes, line->count, true);
                line->count = 0;
            }
        }
        bytes += length + (feed != NULL);
        count -= length + (feed != NULL);
    }
    flush();
}

void log_finish(void) {
    if (file < 0) return;
    set_stamp();
    for (int stream = 0; stream < 2; stream++) {
        if (lines[stream].count) put_record(stream, lines[stream].bytes, lines[stream].count, false);
        lines[stream].count = 0;
    }
    flush();
}
