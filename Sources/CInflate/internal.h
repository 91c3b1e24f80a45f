// What the parts of the decoder share: the entries of its tables, and loads and stores at any address.
#ifndef CINFLATE_INTERNAL_H
#define CINFLATE_INTERNAL_H

#include <string.h>
#include "CInflate.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bits are loaded as little-endian words"
#endif

// An entry of a table says what the next bits stand for.
//
//  bits  0-7   bits to take: all codes, and extra bits
//  bits 29-30  how many literals there are: none, one in bits 8-15, or two in bits 8-23
// and for the length of a match, alone or behind a literal (the next bits are a distance)
//  bits 16-23  length, without its extra bits
//  bits 24-28  bits of the codes, which are those before the extra bits
//  bit  31     1
// or for a distance
//  bits  8-23  distance, without its extra bits
//  bits 24-28  bits of the code
//
// ENTRY_RARE is for what the loop does in a way of its own. Either a length (less 3) or a distance that one chunk does not
// copy; or, with no bits to take, the end of a block and whatever the table does not hold: see ci_find.
#define ENTRY_LITERAL (1u << 29)
#define ENTRY_MATCH (1u << 31)
#define ENTRY_RARE (3u << 30)

enum {
    CI_CHUNK_BYTES = 32, // Copied for an entry, as two halves: the second may overlap what the first has written.
    // Of entries that are not rare, so that any three in a row take less than the 54 bits there are after a refill.
    CI_DISTANCE_BITS_MAX = 20,
    CI_LITERAL_BITS_MAX = 54 - 2 * CI_DISTANCE_BITS_MAX,
};

enum { CI_MATCH_BYTES_MAX = 258, CI_SYMBOL_END_OF_BLOCK = 256, CI_SYMBOL_NONE = 0xFFFF };

// Where the decoder stands between two calls: what comes next in the input.
enum ci_phase {
    PHASE_BLOCK_HEADER,
    PHASE_STORED_LENGTH,
    PHASE_STORED,
    PHASE_COUNTS,
    PHASE_LENGTH_CODES,
    PHASE_LENGTHS,
    PHASE_LITERAL,
    PHASE_DISTANCE,
    PHASE_MATCH,
    PHASE_END,
};

struct ci_symbol {
    uint16_t symbol; // CI_SYMBOL_NONE when the bits are no code.
    uint16_t bits;   // Length of its code.
};

extern const uint16_t ci_length_base[29], ci_distance_base[30];
extern const uint8_t ci_length_extra[29], ci_distance_extra[30];

// Builds codes and tables from stream->lengths. CI_MORE, or what is wrong.
int ci_use_fixed_codes(struct ci_inflate *stream);
int ci_use_dynamic_codes(struct ci_inflate *stream);
int ci_build_length_table(struct ci_inflate *stream, const uint8_t lengths[19]);

// Gives back whole bytes that no symbol needed, as far as they are this call's. Bits that an earlier call took belong to a
// symbol it could not finish, so none of them are left when a symbol ends.
void ci_give_back(struct ci_inflate *stream, struct ci_buffers *buffers, const uint8_t *input_begin);

// Decodes symbols as long as there is much input and much room, from PHASE_LITERAL on; see fast.c.
int ci_inflate_fast(struct ci_inflate *stream, struct ci_buffers *buffers, const uint8_t *input_begin,
                    const uint8_t *output_begin);

static inline uint64_t ci_low_bits(uint64_t value, uint32_t count) { return value & ((UINT64_C(1) << count) - 1); }

static inline uint64_t ci_load64(const uint8_t *from) {
    uint64_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

// The symbol whose code the bits begin with. Bits that are not there yet are zeros: the code found may then be longer than what
// is there, but where none is found, no bits to come make one.
static inline struct ci_symbol ci_find(const struct ci_code *code, uint64_t bits) {
    uint32_t value = __builtin_bitreverse32((uint32_t)bits) >> (32 - CI_CODE_BITS_MAX);
    for (uint32_t length = 1; length <= CI_CODE_BITS_MAX; length++) {
        if (value >= code->limit[length]) continue;
        uint32_t index = (value - code->limit[length - 1]) >> (CI_CODE_BITS_MAX - length);
        return (struct ci_symbol){code->sorted[code->start[length] + index], (uint16_t)length};
    }
    return (struct ci_symbol){CI_SYMBOL_NONE, 0};
}

#endif
