// Who the program runs as, from the container's own passwd and group files (passwd(5), group(5)).
#include "monitor.h"

#include <stdlib.h>
#include <sys/stat.h>

// A file is read no further than this, and a longer line is passed over.
#define FILE_BYTES_MAX (10u << 20)
#define LINE_BYTES_MAX 65536
#define ID_MAX 2147483647u

struct reader {
    int fd;
    size_t total, start, end;
    char buffer[LINE_BYTES_MAX];
};

static struct reader reader;

// Only a regular file is read: a FIFO or a device would block or never end.
static bool reader_open(const char *path) {
    struct stat status;
    reader.start = reader.end = reader.total = 0;
    reader.fd = root_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (reader.fd < 0) return false;
    if (fstat(reader.fd, &status) == 0 && S_ISREG(status.st_mode)) return true;
    close(reader.fd);
    return false;
}

// More bytes into the buffer; false at the end of the file or of what may be read.
static bool reader_fill(void) {
    if (reader.start > 0) {
        memmove(reader.buffer, reader.buffer + reader.start, reader.end - reader.start);
        reader.end -= reader.start;
        reader.start = 0;
    }
    if (reader.end == LINE_BYTES_MAX - 1) reader.end = 0;
    if (reader.total >= FILE_BYTES_MAX) return false;
    ssize_t count = read(reader.fd, reader.buffer + reader.end, LINE_BYTES_MAX - 1 - reader.end);
    if (count <= 0) return false;
    reader.end += (size_t)count;
    reader.total += (size_t)count;
    return true;
}

// The next line without its feed, NUL-terminated; NULL at the end, where the file is closed.
static char *reader_line(void) {
    for (;;) {
        char *start = reader.buffer + reader.start;
        char *feed = memchr(start, '\n', reader.end - reader.start);
        if (feed) {
            *feed = 0;
            reader.start = (size_t)(feed - reader.buffer) + 1;
            return start;
        }
        if (reader_fill()) continue;
        size_t rest = reader.end - reader.start;
        start = reader.buffer + reader.start;
        start[rest] = 0;
        reader.start = reader.end;
        if (rest > 0) return start;
        close(reader.fd);
        return NULL;
    }
}

// Splits at colons into at most `count` fields; the rest are empty.
static void split(char *line, char **fields, int count) {
    static char nothing[1];
    for (int i = 0; i < count; i++) {
        fields[i] = line ? line : nothing;
        if (!line) continue;
        line = strchr(line, ':');
        if (line) *line++ = 0;
    }
}

enum number { NOT_A_NUMBER, OUT_OF_RANGE, A_NUMBER };

// Digits only, with an optional minus that is never in range.
static enum number parse_id(const char *text, uint32_t *id) {
    bool negative = *text == '-';
    if (negative) text++;
    if (!*text) return NOT_A_NUMBER;
    uint64_t value = 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return NOT_A_NUMBER;
        if (value <= ID_MAX) value = value * 10 + (uint64_t)(*text - '0');
    }
    if (negative || value > ID_MAX) return OUT_OF_RANGE;
    *id = (uint32_t)value;
    return A_NUMBER;
}

static void add_group(struct identity *identity, uint32_t gid) {
    for (int i = 0; i < identity->group_count; i++)
        if (identity->groups[i] == gid) return;
    if (identity->group_count == (int)(sizeof identity->groups / sizeof identity->groups[0]))
        child_fail(E2BIG, LP_FAIL_ERRNO, "supplementary groups");
    identity->groups[identity->group_count++] = gid;
}

// The first passwd line of the user; false when there is none.
static bool find_user(const char *name, bool numeric, struct identity *identity, char *matched, size_t matched_size) {
    if (!reader_open("/etc/passwd")) return false;
    bool found = false;
    char *line, *fields[7];
    while ((line = reader_line())) {
        if (found) continue;
        uint32_t uid, gid;
        split(line, fields, 7);
        if (parse_id(fields[2], &uid) != A_NUMBER || parse_id(fields[3], &gid) != A_NUMBER) continue;
        if (numeric ? uid != identity->uid : strcmp(fields[0], name) != 0) continue;
        if (strlen(fields[0]) >= matched_size) continue;
        strcpy(matched, fields[0]);
        if (strlen(fields[5]) < sizeof identity->home) strcpy(identity->home, fields[5]);
        identity->uid = uid;
        identity->gid = gid;
        found = true;
    }
    return found;
}

static bool find_group(const char *name, bool numeric, uint32_t *gid) {
    if (!reader_open("/etc/group")) return false;
    bool found = false;
    char *line, *fields[4];
    while ((line = reader_line())) {
        uint32_t candidate;
        if (found) continue;
        split(line, fields, 4);
        if (parse_id(fields[2], &candidate) != A_NUMBER) continue;
        if (numeric ? candidate != *gid : strcmp(fields[0], name) != 0) continue;
        *gid = candidate;
        found = true;
    }
    return found;
}

static bool lists(char *members, const char *name) {
    for (char *member = members; member;) {
        char *comma = strchr(member, ',');
        if (comma) *comma++ = 0;
        if (strcmp(member, name) == 0) return true;
        member = comma;
    }
    return false;
}

static void add_memberships(struct identity *identity, const char *name) {
    if (!reader_open("/etc/group")) return;
    char *line, *fields[4];
    while ((line = reader_line())) {
        uint32_t gid;
        split(line, fields, 4);
        if (parse_id(fields[2], &gid) == A_NUMBER && lists(fields[3], name)) add_group(identity, gid);
    }
}

static void resolve_group(const char *name, uint32_t *gid) {
    enum number kind = parse_id(name, gid);
    if (kind == OUT_OF_RANGE) child_fail(ERANGE, LP_FAIL_ID_RANGE, name);
    if (!find_group(name, kind == A_NUMBER, gid) && kind != A_NUMBER) child_fail(ENOENT, LP_FAIL_NO_GROUP, name);
}

void identity_resolve(const struct lp_op *op, struct identity *identity) {
    char user[512], matched[512] = "";
    const char *spec = plan_string(op->s0), *colon = strchr(spec, ':');
    size_t length = colon ? (size_t)(colon - spec) : strlen(spec);
    if (length >= sizeof user || (colon && strchr(colon + 1, ':'))) child_fail(ENOENT, LP_FAIL_NO_USER, spec);
    memcpy(user, spec, length);
    user[length] = 0;
    *identity = (struct identity){.home = "/"};
    enum number kind = length ? parse_id(user, &identity->uid) : A_NUMBER;
    if (kind == OUT_OF_RANGE) child_fail(ERANGE, LP_FAIL_ID_RANGE, user);
    bool found = find_user(user, kind == A_NUMBER, identity, matched, sizeof matched);
    if (!found && kind != A_NUMBER) child_fail(ENOENT, LP_FAIL_NO_USER, user);
    bool explicit_group = colon && colon[1];
    if (explicit_group) resolve_group(colon + 1, &identity->gid);
    add_group(identity, identity->gid);
    if (found && !explicit_group) add_memberships(identity, matched);
    for (uint32_t i = 0; i < op->list_count; i++) {
        uint32_t gid = 0;
        resolve_group(plan_item(op, i), &gid);
        add_group(identity, gid);
    }
    if (identity->home[0] == 0) strcpy(identity->home, "/");
}
