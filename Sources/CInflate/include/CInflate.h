// A decoder of DEFLATE (RFC 1951), streaming, with memory of a fixed size.
//
// It is C and not Swift because its inner loop is exact about branches and bounds: it loads and stores words at addresses it
// has checked once for many symbols. Written from the RFC.
#ifndef CINFLATE_H
#define CINFLATE_H

#include <stddef.h>
#include <stdint.h>

// What ci_inflate returns: >= 0, or what is wrong with the data.
enum {
    CI_MORE = 0, // The input or the room for output is used up.
    CI_END = 1,  // The last block has ended; the input is taken up to that byte.
    CI_BAD_BLOCK_TYPE = -1,
    CI_BAD_STORED_LENGTH = -2,     // LEN and NLEN do not match.
    CI_TOO_MANY_SYMBOLS = -3,      // More than 286 literal/length or 30 distance codes.
    CI_BAD_LENGTH_CODES = -4,    // Over-subscribed or incomplete.
    CI_BAD_REPEAT = -5,            // Repeats nothing, or runs past the last code.
    CI_BAD_LITERAL_CODES = -6,     // Over-subscribed or incomplete.
    CI_BAD_DISTANCE_CODES = -7,    // Over-subscribed, or incomplete with more than one code of one bit.
    CI_NO_END_OF_BLOCK = -8,       // Symbol 256 has no code.
    CI_BAD_LITERAL = -9,           // A code that stands for no literal and no length.
    CI_BAD_DISTANCE = -10,         // A code that stands for no distance.
    CI_DISTANCE_TOO_FAR = -11,     // A match that begins before the first byte.
};

enum {
    CI_WINDOW_BYTES = 32768,
    // Bits looked up at once: 32 KiB and 4 KiB of tables, which the first cache holds beside what is read and written.
    CI_LITERAL_TABLE_BITS = 13,
    CI_DISTANCE_TABLE_BITS = 10,
    CI_LENGTH_TABLE_BITS = 7,
    CI_CODE_BITS_MAX = 15,
    CI_LITERAL_SYMBOLS = 288,
    CI_DISTANCE_SYMBOLS = 32,
};

// A canonical code: symbols in order of their codes, and for each length where its codes end.
struct ci_code {
    uint16_t limit[CI_CODE_BITS_MAX + 1]; // What follows the last code of up to this length, as the upper bits of 15.
    uint16_t start[CI_CODE_BITS_MAX + 2]; // Index in `sorted` of the first symbol of this length.
    uint16_t sorted[CI_LITERAL_SYMBOLS];
};

// All state of a stream. Opaque: ci_inflate_init makes it valid.
struct ci_inflate {
    uint64_t bits; // The next `bit_count` bits, first in the lowest.
    uint32_t bit_count;
    uint32_t phase;
    uint32_t is_last_block;
    uint32_t has_fixed_codes; // The tables hold the fixed codes.
    uint32_t match_length;    // Of a match that is not all written.
    uint32_t match_distance;
    uint32_t stored_left;
    uint32_t literal_count, distance_count, length_code_count, lengths_read;
    uint32_t history_count; // Valid bytes of `history`, which are the last ones written.
    uint8_t lengths[CI_LITERAL_SYMBOLS + CI_DISTANCE_SYMBOLS];
    uint8_t length_table[1 << CI_LENGTH_TABLE_BITS];
    struct ci_code literals, distances;
    uint32_t literal_table[1 << CI_LITERAL_TABLE_BITS];
    uint32_t distance_table[1 << CI_DISTANCE_TABLE_BITS];
    uint8_t history[2 * CI_WINDOW_BYTES];
};

// The caller's buffers; ci_inflate moves the pointers past what it has taken and written.
struct ci_buffers {
    const uint8_t *input;
    size_t input_count;
    uint8_t *output;
    size_t output_count;
    // Bytes right before `output` that are what the stream has written last, as it has written them. Matches are copied from
    // there when it is a whole window; fewer are not looked at.
    size_t written_count;
};

// Prepares for a new stream. Allocates nothing; there is nothing to free.
void ci_inflate_init(struct ci_inflate *stream);

// Decodes until the input or the room for output is used up, or the stream ends.
//
// Reads and writes nothing outside of the buffers, and may write into all of the output's room, also behind what it counts
// as written. Output is not read again after the call, but for what `written_count` of a later call says. After an error the stream is of no more use.
int ci_inflate(struct ci_inflate *stream, struct ci_buffers *buffers);

#endif
