// The json-file log: {"log":"text\n","stream":"stdout","time":"2026-11-23T19:04:05.123456789Z"} and a line feed.
#include "monitor.h"

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

// A longer line is split; only its last part ends with a line feed. Docker's figure.
#define LINE_MAX_BYTES 16384
// One byte may become six ("\u001f").
#define RECORD_BYTES_MAX (6 * LINE_MAX_BYTES + 128)

struct line {
    char bytes[LINE_MAX_BYTES];
    size_t count;
};

static int file = -1;
static const char *file_path;
static uint64_t file_size, size_max;
static uint32_t files_max;
static struct line lines[2];
static char output[RECORD_BYTES_MAX * 2];
static size_t output_count;
static char stamp[40];

bool log_open(const char *path, uint64_t bytes_max, uint32_t count) {
    file_path = path;
    size_max = bytes_max;
    files_max = count;
    file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) return false;
    file_size = (uint64_t)status.st_size;
    return true;
}

// path.2 becomes path.3, path.1 becomes path.2, path becomes path.1.
static void rotate(void) {
    char from[4096 + 16], to[4096 + 16];
    for (uint32_t i = files_max > 1 ? files_max - 1 : 0; i > 0; i--) {
        snprintf(to, sizeof to, "%s.%u", file_path, i);
        if (i > 1) snprintf(from, sizeof from, "%s.%u", file_path, i - 1);
        else snprintf(from, sizeof from, "%s", file_path);
        rename(from, to);
    }
    int fresh = open(file_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640);
    if (fresh < 0) return;
    close(file);
    file = fresh;
    file_size = 0;
}

static void flush(void) {
    if (output_count == 0) return;
    if (size_max && file_size && file_size + output_count > size_max) rotate();
    ssize_t written = write(file, output, output_count);
    if (written == (ssize_t)output_count) {
        file_size += output_count;
    } else if (written > 0 && ftruncate(file, (off_t)file_size) != 0) {
        // A full disk must not stop the container; a torn record would hide the ones after it, so it is at least ended.
        file_size += (uint64_t)written;
    }
    output_count = 0;
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

static void put_escaped(const char *bytes, size_t count) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *text = (const unsigned char *)bytes;
    for (size_t i = 0; i < count;) {
        unsigned char byte = text[i];
        if (byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\' && byte != '<' && byte != '>' && byte != '&') {
            output[output_count++] = (char)byte;
            i++;
        } else if (byte >= 0x80) {
            size_t length = sequence_length(text + i, count - i);
            if (length) put(bytes + i, length);
            else put("\\ufffd", 6);
            i += length ? length : 1;
        } else {
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
            i++;
        }
    }
}

static void put_record(int stream, const char *bytes, size_t count, bool ended) {
    if (sizeof output - output_count < RECORD_BYTES_MAX) flush();
    put("{\"log\":\"", 8);
    put_escaped(bytes, count);
    if (ended) put("\\n", 2);
    if (stream == 0) put("\",\"stream\":\"stdout\",\"time\":\"", 28);
    else put("\",\"stream\":\"stderr\",\"time\":\"", 28);
    put(stamp, strlen(stamp));
    put("\"}\n", 3);
}

static void set_stamp(void) {
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    // Not strftime(3), which reads the local time zone's file first.
    gmtime_r(&now.tv_sec, &parts);
    snprintf(
        stamp, sizeof stamp, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
        parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec);
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
