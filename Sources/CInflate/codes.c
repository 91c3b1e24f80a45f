// From the lengths of codes to tables that are looked up.
#include "internal.h"

const uint16_t ci_length_base[29] = {
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
};
const uint8_t ci_length_extra[29] = {
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
};
const uint16_t ci_distance_base[30] = {
    1,   2,   3,   4,   5,    7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
};
const uint8_t ci_distance_extra[30] = {
    0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
};

// What is left of the codes of 15 bits, as a number of them: 0 for a complete set, below 0 for an over-subscribed one.
struct shape {
    int left;
    uint32_t longest;
};

// Sorts symbols by their codes. An over-subscribed set leaves `code` unusable.
static struct shape sort_codes(struct ci_code *code, const uint8_t *lengths, uint32_t count) {
    uint16_t counts[CI_CODE_BITS_MAX + 1] = {0};
    for (uint32_t symbol = 0; symbol < count; symbol++) counts[lengths[symbol]]++;
    counts[0] = 0;
    struct shape shape = {1 << CI_CODE_BITS_MAX, 0};
    uint16_t next[CI_CODE_BITS_MAX + 1];
    code->limit[0] = 0;
    code->start[0] = code->start[1] = 0;
    for (uint32_t length = 1; length <= CI_CODE_BITS_MAX; length++) {
        shape.left -= counts[length] << (CI_CODE_BITS_MAX - length);
        if (shape.left < 0) return shape;
        if (counts[length] > 0) shape.longest = length;
        code->limit[length] = (uint16_t)((1 << CI_CODE_BITS_MAX) - shape.left);
        next[length] = code->start[length];
        code->start[length + 1] = (uint16_t)(code->start[length] + counts[length]);
    }
    for (uint32_t symbol = 0; symbol < count; symbol++)
        if (lengths[symbol] > 0) code->sorted[next[lengths[symbol]]++] = (uint16_t)symbol;
    return shape;
}

// A set that leaves codes unused is an error, but for a single code of one bit, or none at all: an encoder without distances
// has nothing better to write.
static int is_usable(struct shape shape) { return shape.left == 0 || (shape.left > 0 && shape.longest <= 1); }

// The code of the symbol at `index` of `sorted`, first bit lowest.
static uint32_t reversed_code(const struct ci_code *code, uint32_t index, uint32_t length) {
    uint32_t first = code->limit[length - 1] >> (CI_CODE_BITS_MAX - length);
    return __builtin_bitreverse32(first + index - code->start[length]) >> (32 - length);
}

// What builds the literal table: for each symbol in order of codes, its code and its entry, as the first and as the second.
struct parts {
    uint16_t code[CI_LITERAL_SYMBOLS];
    uint32_t first[CI_LITERAL_SYMBOLS];
    uint32_t second[CI_LITERAL_SYMBOLS];
    // For each length, symbols are literals, then the end of the block, then lengths of matches, rare ones last.
    uint16_t literals_end[CI_LITERAL_TABLE_BITS + 1], matches_begin[CI_LITERAL_TABLE_BITS + 1],
        matches_end[CI_LITERAL_TABLE_BITS + 1];
};

static void prepare_parts(struct parts *parts, const struct ci_code *code) {
    for (uint32_t length = 1; length <= CI_LITERAL_TABLE_BITS; length++) {
        uint32_t begin = code->start[length], end = code->start[length + 1];
        parts->literals_end[length] = (uint16_t)begin;
        parts->matches_begin[length] = parts->matches_end[length] = (uint16_t)end;
        for (uint32_t index = begin; index < end; index++) {
            uint32_t symbol = code->sorted[index];
            parts->code[index] = (uint16_t)reversed_code(code, index, length);
            if (symbol < CI_SYMBOL_END_OF_BLOCK) {
                parts->first[index] = length | ENTRY_LITERAL | symbol << 8;
                parts->second[index] = length | ENTRY_LITERAL | symbol << 16;
                parts->literals_end[length] = (uint16_t)(index + 1);
            } else if (symbol > CI_SYMBOL_END_OF_BLOCK && symbol - 257 < 29) {
                uint32_t extra = ci_length_extra[symbol - 257], base = ci_length_base[symbol - 257];
                uint32_t entry = (length + extra) | length << 24;
                if (base + (1u << extra) - 1 > CI_CHUNK_BYTES || length + extra > CI_LITERAL_BITS_MAX) {
                    parts->first[index] = entry | (base - 3) << 16 | ENTRY_RARE;
                } else {
                    if (parts->matches_begin[length] == end) parts->matches_begin[length] = (uint16_t)index;
                    parts->matches_end[length] = (uint16_t)(index + 1);
                    parts->first[index] = parts->second[index] = entry | base << 16 | ENTRY_MATCH;
                }
            } else {
                parts->first[index] = ENTRY_RARE;
            }
        }
    }
}

// Entries of a literal and what follows it, `level` bits together.
static void add_pairs(uint32_t *table, const struct parts *parts, const struct ci_code *code, uint32_t level) {
    for (uint32_t one = 1; one < level; one++) {
        uint32_t two = level - one;
        uint32_t begin = code->start[two], end = code->start[two + 1];
        if (begin == end) continue;
        for (uint32_t a = code->start[one]; a < parts->literals_end[one]; a++) {
            uint32_t *place = table + parts->code[a];
            uint32_t first = parts->first[a];
            for (uint32_t b = begin; b < parts->literals_end[two]; b++)
                place[(uint32_t)parts->code[b] << one] = first + parts->second[b];
            // The extra bits come behind the literal's code, too.
            first += one << 24;
            for (uint32_t b = parts->matches_begin[two]; b < parts->matches_end[two]; b++)
                if (one + (parts->second[b] & 63) <= CI_LITERAL_BITS_MAX)
                    place[(uint32_t)parts->code[b] << one] = first + parts->second[b];
        }
    }
}

// A table grows bit by bit: what is known of shorter codes holds for both values of the next bit, then codes of that length
// overwrite it, and what codes make together.
static void build_literal_table(struct ci_inflate *stream) {
    const struct ci_code *code = &stream->literals;
    struct parts parts;
    prepare_parts(&parts, code);
    uint32_t *table = stream->literal_table;
    table[0] = ENTRY_RARE;
    uint32_t shortest = 1;
    while (shortest < CI_CODE_BITS_MAX && code->start[shortest + 1] == 0) shortest++;
    for (uint32_t level = 1; level <= CI_LITERAL_TABLE_BITS; level++) {
        memcpy(table + (1u << (level - 1)), table, sizeof *table << (level - 1));
        for (uint32_t index = code->start[level]; index < code->start[level + 1]; index++)
            table[parts.code[index]] = parts.first[index];
        if (level >= 2 * shortest) add_pairs(table, &parts, code, level);
    }
}

static void build_distance_table(struct ci_inflate *stream) {
    const struct ci_code *code = &stream->distances;
    uint32_t *table = stream->distance_table;
    table[0] = ENTRY_RARE;
    for (uint32_t level = 1; level <= CI_DISTANCE_TABLE_BITS; level++) {
        memcpy(table + (1u << (level - 1)), table, sizeof *table << (level - 1));
        for (uint32_t index = code->start[level]; index < code->start[level + 1]; index++) {
            uint32_t symbol = code->sorted[index];
            uint32_t entry = ENTRY_RARE;
            if (symbol < 30) {
                uint32_t total = level + ci_distance_extra[symbol], base = ci_distance_base[symbol];
                if (total <= CI_DISTANCE_BITS_MAX) entry = total | level << 24 | base << 8;
                if (base <= CI_CHUNK_BYTES / 2) entry |= ENTRY_RARE;
            }
            table[reversed_code(code, index, level)] = entry;
        }
    }
}

int ci_build_length_table(struct ci_inflate *stream, const uint8_t lengths[19]) {
    struct ci_code code;
    struct shape shape = sort_codes(&code, lengths, 19);
    if (shape.left != 0) return CI_BAD_LENGTH_CODES;
    uint8_t *table = stream->length_table;
    for (uint32_t level = 1; level <= CI_LENGTH_TABLE_BITS; level++) {
        memcpy(table + (1u << (level - 1)), table, 1u << (level - 1));
        for (uint32_t index = code.start[level]; index < code.start[level + 1]; index++)
            table[reversed_code(&code, index, level)] = (uint8_t)(code.sorted[index] | level << 5);
    }
    return CI_MORE;
}

int ci_use_fixed_codes(struct ci_inflate *stream) {
    if (stream->has_fixed_codes) return CI_MORE;
    memset(stream->lengths, 8, 144);
    memset(stream->lengths + 144, 9, 112);
    memset(stream->lengths + 256, 7, 24);
    memset(stream->lengths + 280, 8, 8);
    memset(stream->lengths + 288, 5, 32);
    sort_codes(&stream->literals, stream->lengths, 288);
    sort_codes(&stream->distances, stream->lengths + 288, 32);
    build_literal_table(stream);
    build_distance_table(stream);
    stream->has_fixed_codes = 1;
    return CI_MORE;
}

int ci_use_dynamic_codes(struct ci_inflate *stream) {
    stream->has_fixed_codes = 0;
    if (stream->lengths[CI_SYMBOL_END_OF_BLOCK] == 0) return CI_NO_END_OF_BLOCK;
    const uint8_t *literals = stream->lengths;
    if (!is_usable(sort_codes(&stream->literals, literals, stream->literal_count))) return CI_BAD_LITERAL_CODES;
    const uint8_t *distances = literals + stream->literal_count;
    if (!is_usable(sort_codes(&stream->distances, distances, stream->distance_count))) return CI_BAD_DISTANCE_CODES;
    build_literal_table(stream);
    build_distance_table(stream);
    return CI_MORE;
}
