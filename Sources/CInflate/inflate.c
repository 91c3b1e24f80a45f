// The decoder symbol by symbol: stops and goes on at any bit of the input and at any byte of the output.
#include "internal.h"

void ci_inflate_init(struct ci_inflate *stream) {
    stream->bits = 0;
    stream->bit_count = 0;
    stream->phase = PHASE_BLOCK_HEADER;
    stream->is_last_block = 0;
    stream->has_fixed_codes = 0;
    stream->history_count = 0;
}

// Gets bits until there are 56 or no input is left.
static void fill(struct ci_inflate *stream, struct ci_buffers *buffers) {
    while (stream->bit_count < 56 && buffers->input_count > 0) {
        stream->bits |= (uint64_t)*buffers->input++ << stream->bit_count;
        buffers->input_count--;
        stream->bit_count += 8;
    }
}

static uint32_t take(struct ci_inflate *stream, uint32_t count) {
    uint32_t value = (uint32_t)ci_low_bits(stream->bits, count);
    stream->bits >>= count;
    stream->bit_count -= count;
    return value;
}

void ci_give_back(struct ci_inflate *stream, struct ci_buffers *buffers, const uint8_t *input_begin) {
    size_t back = stream->bit_count / 8, taken = (size_t)(buffers->input - input_begin);
    if (back > taken) back = taken;
    buffers->input -= back;
    buffers->input_count += back;
    stream->bit_count -= 8 * (uint32_t)back;
    stream->bits = ci_low_bits(stream->bits, stream->bit_count);
}

// What a step returns, or an error.
enum {
    STEP_NEEDS_INPUT = CI_MORE,
    STEP_DONE,
    STEP_NEEDS_ROOM,
};

static int read_block_header(struct ci_inflate *stream) {
    if (stream->is_last_block) {
        stream->phase = PHASE_END;
        return STEP_DONE;
    }
    if (stream->bit_count < 3) return STEP_NEEDS_INPUT;
    stream->is_last_block = take(stream, 1);
    switch (take(stream, 2)) {
    case 0: stream->phase = PHASE_STORED_LENGTH; return STEP_DONE;
    case 1: stream->phase = PHASE_LITERAL; ci_use_fixed_codes(stream); return STEP_DONE;
    case 2: stream->phase = PHASE_COUNTS; return STEP_DONE;
    default: return CI_BAD_BLOCK_TYPE;
    }
}

static int read_stored_length(struct ci_inflate *stream, struct ci_buffers *buffers, const uint8_t *input_begin) {
    take(stream, stream->bit_count % 8);
    if (stream->bit_count < 32) return STEP_NEEDS_INPUT;
    uint32_t length = take(stream, 16), inverse = take(stream, 16);
    if (length != (inverse ^ 0xFFFF)) return CI_BAD_STORED_LENGTH;
    ci_give_back(stream, buffers, input_begin);
    stream->stored_left = length;
    stream->phase = PHASE_STORED;
    return STEP_DONE;
}

static int copy_stored(struct ci_inflate *stream, struct ci_buffers *buffers) {
    size_t count = stream->stored_left;
    if (count > buffers->input_count) count = buffers->input_count;
    if (count > buffers->output_count) count = buffers->output_count;
    if (count > 0) memcpy(buffers->output, buffers->input, count);
    buffers->input += count;
    buffers->input_count -= count;
    buffers->output += count;
    buffers->output_count -= count;
    stream->stored_left -= (uint32_t)count;
    if (stream->stored_left > 0) return buffers->output_count == 0 ? STEP_NEEDS_ROOM : STEP_NEEDS_INPUT;
    stream->phase = PHASE_BLOCK_HEADER;
    return STEP_DONE;
}

static int read_counts(struct ci_inflate *stream) {
    if (stream->bit_count < 14) return STEP_NEEDS_INPUT;
    stream->literal_count = take(stream, 5) + 257;
    stream->distance_count = take(stream, 5) + 1;
    stream->length_code_count = take(stream, 4) + 4;
    if (stream->literal_count > 286 || stream->distance_count > 30) return CI_TOO_MANY_SYMBOLS;
    stream->lengths_read = 0;
    stream->phase = PHASE_LENGTH_CODES;
    return STEP_DONE;
}

static int read_length_codes(struct ci_inflate *stream, struct ci_buffers *buffers) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t *lengths = stream->lengths; // Its beginning, until the table of them is built.
    while (stream->lengths_read < stream->length_code_count) {
        if (stream->bit_count < 3) fill(stream, buffers);
        if (stream->bit_count < 3) return STEP_NEEDS_INPUT;
        lengths[order[stream->lengths_read++]] = (uint8_t)take(stream, 3);
    }
    while (stream->lengths_read < 19) lengths[order[stream->lengths_read++]] = 0;
    int result = ci_build_length_table(stream, lengths);
    if (result < 0) return result;
    stream->lengths_read = 0;
    stream->phase = PHASE_LENGTHS;
    return STEP_DONE;
}

static int read_lengths(struct ci_inflate *stream, struct ci_buffers *buffers) {
    uint8_t *lengths = stream->lengths;
    uint32_t total = stream->literal_count + stream->distance_count;
    while (stream->lengths_read < total) {
        if (stream->bit_count < CI_LENGTH_TABLE_BITS + 7) fill(stream, buffers);
        uint8_t entry = stream->length_table[ci_low_bits(stream->bits, CI_LENGTH_TABLE_BITS)];
        uint32_t bits = entry >> 5, symbol = entry & 31;
        uint32_t extra = symbol < 16 ? 0 : symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
        if (stream->bit_count < bits + extra) return STEP_NEEDS_INPUT;
        take(stream, bits);
        uint32_t index = stream->lengths_read, repeats = take(stream, extra);
        if (symbol < 16) {
            lengths[stream->lengths_read++] = (uint8_t)symbol;
            continue;
        }
        if (symbol == 16 && index == 0) return CI_BAD_REPEAT;
        repeats += symbol == 18 ? 11 : 3;
        if (repeats > total - index) return CI_BAD_REPEAT;
        memset(lengths + index, symbol == 16 ? lengths[index - 1] : 0, repeats);
        stream->lengths_read += repeats;
    }
    stream->phase = PHASE_LITERAL;
    int result = ci_use_dynamic_codes(stream);
    return result < 0 ? result : STEP_DONE;
}

// A literal, the end of the block, or the length of a match.
static int read_literal(struct ci_inflate *stream, struct ci_buffers *buffers) {
    struct ci_symbol found = ci_find(&stream->literals, stream->bits);
    if (found.symbol == CI_SYMBOL_NONE) return stream->bit_count == 0 ? STEP_NEEDS_INPUT : CI_BAD_LITERAL;
    if (found.bits > stream->bit_count) return STEP_NEEDS_INPUT;
    if (found.symbol < CI_SYMBOL_END_OF_BLOCK) {
        if (buffers->output_count == 0) return STEP_NEEDS_ROOM;
        take(stream, found.bits);
        *buffers->output++ = (uint8_t)found.symbol;
        buffers->output_count--;
        return STEP_DONE;
    }
    if (found.symbol == CI_SYMBOL_END_OF_BLOCK) {
        take(stream, found.bits);
        stream->phase = PHASE_BLOCK_HEADER;
        return STEP_DONE;
    }
    if (found.symbol - 257 >= 29) return CI_BAD_LITERAL;
    uint32_t extra = ci_length_extra[found.symbol - 257];
    if (found.bits + extra > stream->bit_count) return STEP_NEEDS_INPUT;
    take(stream, found.bits);
    stream->match_length = ci_length_base[found.symbol - 257] + take(stream, extra);
    stream->phase = PHASE_DISTANCE;
    return STEP_DONE;
}

static int read_distance(struct ci_inflate *stream, struct ci_buffers *buffers, const uint8_t *output_begin) {
    struct ci_symbol found = ci_find(&stream->distances, stream->bits);
    if (found.symbol == CI_SYMBOL_NONE) return stream->bit_count == 0 ? STEP_NEEDS_INPUT : CI_BAD_DISTANCE;
    if (found.bits > stream->bit_count) return STEP_NEEDS_INPUT;
    if (found.symbol >= 30) return CI_BAD_DISTANCE;
    uint32_t extra = ci_distance_extra[found.symbol];
    if (found.bits + extra > stream->bit_count) return STEP_NEEDS_INPUT;
    take(stream, found.bits);
    stream->match_distance = ci_distance_base[found.symbol] + take(stream, extra);
    if (stream->match_distance > (size_t)(buffers->output - output_begin) + stream->history_count)
        return CI_DISTANCE_TOO_FAR;
    stream->phase = PHASE_MATCH;
    return STEP_DONE;
}

static int write_match(struct ci_inflate *stream, struct ci_buffers *buffers, const uint8_t *output_begin) {
    uint8_t *to = buffers->output;
    size_t count = stream->match_length < buffers->output_count ? stream->match_length : buffers->output_count;
    const uint8_t *history_end = stream->history + stream->history_count;
    for (size_t index = 0; index < count; index++, to++) {
        size_t written = (size_t)(to - output_begin);
        *to = stream->match_distance <= written ? *(to - stream->match_distance)
                                                : *(history_end - (stream->match_distance - written));
    }
    buffers->output = to;
    buffers->output_count -= count;
    stream->match_length -= (uint32_t)count;
    if (stream->match_length > 0) return STEP_NEEDS_ROOM;
    stream->phase = PHASE_LITERAL;
    return STEP_DONE;
}

// Keeps the last 32 KiB written, for the matches of later calls. A byte is copied twice at most, however small the calls.
static void remember(struct ci_inflate *stream, const uint8_t *output, size_t count) {
    if (count >= CI_WINDOW_BYTES) {
        memcpy(stream->history, output + count - CI_WINDOW_BYTES, CI_WINDOW_BYTES);
        stream->history_count = CI_WINDOW_BYTES;
        return;
    }
    if (stream->history_count + count > sizeof stream->history) {
        memmove(stream->history, stream->history + stream->history_count - CI_WINDOW_BYTES, CI_WINDOW_BYTES);
        stream->history_count = CI_WINDOW_BYTES;
    }
    if (count > 0) memcpy(stream->history + stream->history_count, output, count);
    stream->history_count += (uint32_t)count;
}

static int step(struct ci_inflate *stream, struct ci_buffers *buffers, const uint8_t *input_begin,
                const uint8_t *output_begin) {
    if (stream->phase == PHASE_LITERAL) {
        int result = ci_inflate_fast(stream, buffers, input_begin, output_begin);
        if (result < 0) return result;
    }
    if (stream->phase != PHASE_STORED) fill(stream, buffers);
    switch (stream->phase) {
    case PHASE_BLOCK_HEADER: return read_block_header(stream);
    case PHASE_STORED_LENGTH: return read_stored_length(stream, buffers, input_begin);
    case PHASE_STORED: return copy_stored(stream, buffers);
    case PHASE_COUNTS: return read_counts(stream);
    case PHASE_LENGTH_CODES: return read_length_codes(stream, buffers);
    case PHASE_LENGTHS: return read_lengths(stream, buffers);
    case PHASE_LITERAL: return read_literal(stream, buffers);
    case PHASE_DISTANCE: return read_distance(stream, buffers, output_begin);
    case PHASE_MATCH: return write_match(stream, buffers, output_begin);
    default: return STEP_NEEDS_INPUT;
    }
}

int ci_inflate(struct ci_inflate *stream, struct ci_buffers *buffers) {
    const uint8_t *input_begin = buffers->input, *output_begin = buffers->output, *window_begin = output_begin;
    if (buffers->written_count >= CI_WINDOW_BYTES) window_begin -= CI_WINDOW_BYTES;
    int result;
    do result = step(stream, buffers, input_begin, window_begin);
    while (result == STEP_DONE && stream->phase != PHASE_END);
    if (result < 0) return result;
    // Where input was missing, all bits belong to a symbol that is not whole yet, and stay.
    if (result != STEP_NEEDS_INPUT) ci_give_back(stream, buffers, input_begin);
    remember(stream, output_begin, (size_t)(buffers->output - output_begin));
    return stream->phase == PHASE_END ? CI_END : CI_MORE;
}
