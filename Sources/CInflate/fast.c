// The loop where the time goes, and what it needs.
//
// Huffman decoding is a chain: index, load of the entry, shift of the bits, index. What it costs is the length of that
// chain, and the branches that are guessed wrong, of which "literal or match?" is the worst: 23 cycles where it was
// measured (Zen 5), as much as three lookups. So
// - an entry holds two literals, or a literal and a length, where their codes fit together;
// - a distance is a lookup like any other, in another table, and what kind the last entry was selects table, source and
//   count by conditional moves. A literal is copied from its entry as a match is from the window. Only what is rare
//   branches: long or near matches, long codes, the end of the block;
// - bits are kept shifted left by SCALE, which makes the index an offset: an address without a scale is a cycle less;
// - refills, stores and bounds are off the chain, and bounds are looked at once for several entries.
#include "internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    LOOKUPS = 3, // For one refill, see CI_DISTANCE_BITS_MAX.
    SCALE = 2,   // Logarithm of an entry's size.
    LITERAL_MASK = ((1 << CI_LITERAL_TABLE_BITS) - 1) << SCALE,
    DISTANCE_MASK = ((1 << CI_DISTANCE_TABLE_BITS) - 1) << SCALE,
    // Read in one round: three refills of at most 7 bytes, the last of which loads 8.
    INPUT_SLACK = 24,
    // Written in one round: a chunk for each lookup, and one match with the chunk that writes too much.
    OUTPUT_SLACK = LOOKUPS * CI_CHUNK_BYTES + CI_MATCH_BYTES_MAX + CI_CHUNK_BYTES,
};
// A chunk is copied from any entry of the first table; the second lies behind it.
_Static_assert(offsetof(struct ci_inflate, distance_table) ==
                   offsetof(struct ci_inflate, literal_table) + sizeof((struct ci_inflate *)0)->literal_table,
               "order of tables");

// Makes the compiler forget what it knows of a variable.
#define HIDE(variable) __asm__("" : "+r"(variable))

static inline void copy_chunk(uint8_t *to, const uint8_t *from) {
    memcpy(to, from, CI_CHUNK_BYTES / 2);
    memcpy(to + CI_CHUNK_BYTES / 2, from + CI_CHUNK_BYTES / 2, CI_CHUNK_BYTES / 2);
}

// Copies `length` bytes from `distance` before `to`, and writes up to 31 more.
static inline void copy_match(uint8_t *to, uint32_t distance, uint32_t length) {
    const uint8_t *from = to - distance;
    uint8_t *end = to + length;
    if (distance >= CI_CHUNK_BYTES / 2) {
        do {
            copy_chunk(to, from);
            to += CI_CHUNK_BYTES;
            from += CI_CHUNK_BYTES;
        } while (to < end);
    } else if (distance == 1) {
        uint64_t pattern = from[0] * UINT64_C(0x0101010101010101);
        do {
            memcpy(to, &pattern, 8);
            memcpy(to + 8, &pattern, 8);
            to += 16;
        } while (to < end);
    } else if (distance < 8) {
        // The pattern of `distance` bytes repeats: doubled until it fills a word, stored at multiples of its length.
        uint64_t pattern = ci_low_bits(ci_load64(from), 8 * distance);
        for (uint32_t filled = distance; filled < 8; filled *= 2) pattern |= pattern << (8 * filled);
        do {
            memcpy(to, &pattern, 8);
            to += 8 - 8 % distance;
        } while (to < end);
    } else {
        do {
            memcpy(to, from, 8);
            to += 8;
            from += 8;
        } while (to < end);
    }
}

// Copies a match that begins before this call's output.
static uint8_t *copy_from_history(const struct ci_inflate *stream, uint8_t *to, const uint8_t *output_begin,
                                  uint32_t distance, uint32_t length) {
    size_t before = distance - (size_t)(to - output_begin);
    const uint8_t *from = stream->history + stream->history_count - before;
    size_t count = before < length ? before : length;
    memcpy(to, from, count);
    to += count;
    for (size_t left = length - count; left > 0; left--, to++) *to = *(to - distance);
    return to;
}

// Fills `bits` from `in`: `count` is then 56 or more, of which SCALE are no bits of the stream.
#define REFILL() \
    do { \
        bits |= ci_load64(in) << (count & 63); \
        in += (~count & 63) >> 3; \
        count |= 56; \
    } while (0)
#define SKIP(number) \
    do { \
        bits >>= (number); \
        count -= (number); \
    } while (0)

#if defined(__x86_64__)
// With BMI2 (Haswell, Zen), shifts by a register are one operation, and so is cutting off bits.
#pragma clang attribute push(__attribute__((target("bmi,bmi2"))), apply_to = function)
#define LOW_BITS(value, entry) _bzhi_u32((uint32_t)(value), entry)
#define decode decode_bmi2
#define decode_with_history decode_with_history_bmi2
#define decode_with_window decode_with_window_bmi2
#include "loop.h"
#undef decode
#undef decode_with_history
#undef decode_with_window
#undef LOW_BITS
#pragma clang attribute pop
#endif

#define LOW_BITS(value, entry) ((uint32_t)ci_low_bits(value, (entry) & 63))
#include "loop.h"

typedef int loop(struct ci_inflate *stream, struct ci_buffers *buffers, const uint8_t *input_begin,
                 const uint8_t *output_begin);

int ci_inflate_fast(struct ci_inflate *stream, struct ci_buffers *buffers, const uint8_t *input_begin,
                    const uint8_t *output_begin) {
    int result = CI_MORE;
    while (result == CI_MORE && stream->phase == PHASE_LITERAL && buffers->input_count >= INPUT_SLACK &&
           buffers->output_count >= OUTPUT_SLACK) {
        ci_give_back(stream, buffers, input_begin);
        int has_window = buffers->output - output_begin >= CI_WINDOW_BYTES;
        loop *decode = has_window ? decode_with_window : decode_with_history;
#if defined(__x86_64__)
        if (__builtin_cpu_supports("bmi2")) decode = has_window ? decode_with_window_bmi2 : decode_with_history_bmi2;
#endif
        result = decode(stream, buffers, input_begin, output_begin);
    }
    return result;
}
