// The loop of fast.c, which includes this once for each kind of processor it is compiled for.

// Decodes from PHASE_LITERAL on until input or room get short, the block ends, or something is wrong.
//
// `has_window` says that all that a match can reach is this call's output. If not, the loop ends when that has become so.
static inline __attribute__((always_inline)) int decode(struct ci_inflate *stream, struct ci_buffers *buffers,
                                                        const uint8_t *input_begin, const uint8_t *output_begin,
                                                        int has_window) {
    const uint8_t *const literals = (const uint8_t *)stream->literal_table;
    const uint8_t *const distances = (const uint8_t *)stream->distance_table;
    const uint8_t *const history_end = stream->history + stream->history_count;
    const ptrdiff_t history_count = (ptrdiff_t)stream->history_count;
    const uint8_t *in = buffers->input;
    const uint8_t *const in_end = in + buffers->input_count, *const in_safe = in_end - INPUT_SLACK;
    uint8_t *out = buffers->output;
    uint8_t *const out_end = out + buffers->output_count;
    const uint8_t *out_safe = out_end - OUTPUT_SLACK;
    if (!has_window && out_safe - output_begin > CI_WINDOW_BYTES) out_safe = output_begin + CI_WINDOW_BYTES;

    uint64_t bits = stream->bits << SCALE, before;
    uint64_t count = stream->bit_count + SCALE; // Of `bits`; upper bits are of no meaning.
    const uint8_t *table = literals;
    uint64_t mask = LITERAL_MASK;
    int is_distance = 0; // What comes next, and is in `table`.
    uint32_t length = 0, distance, entry;
    uint32_t rare = ENTRY_RARE;
    HIDE(rare); // Else it becomes a shift and a comparison.
    int result = CI_MORE;

    do {
        REFILL();
#pragma clang loop unroll(full)
        for (int lookup = 0; lookup < LOOKUPS; lookup++) {
            const uint8_t *place = table + (bits & mask);
            memcpy(&entry, place, sizeof entry);
            before = bits;
            bits >>= entry & 63;
            count -= entry;
            if (__builtin_expect(entry >= rare, 0)) goto rare;
            // Its parts are loaded again: loads are cheaper here than shifts.
            HIDE(place);
            uint16_t base;
            memcpy(&base, place + 1, sizeof base);
            uint32_t extra = LOW_BITS(before >> SCALE, entry) >> (place[3] & 31);
            size_t written = __builtin_unpredictable(is_distance) ? length : (entry >> 29) & 3;
            uintptr_t from =
                __builtin_unpredictable(is_distance) ? (uintptr_t)out - base - extra : (uintptr_t)place + 1;
            if (!has_window) {
                distance = base + extra;
                // How far it begins before the output: in the history, but for one that runs from there into the output.
                ptrdiff_t before_output =
                    (__builtin_unpredictable(is_distance) ? (ptrdiff_t)distance : 0) - (out - output_begin);
                if (__builtin_expect((size_t)before_output - 1 < CI_CHUNK_BYTES || before_output > history_count, 0))
                    goto far;
                if (__builtin_unpredictable(before_output > 0)) from = (uintptr_t)history_end - (size_t)before_output;
            }
            copy_chunk(out, (const uint8_t *)from);
            out += written;
            length = place[2] + extra;
            is_distance = (int32_t)entry < 0;
            table = __builtin_unpredictable(is_distance) ? distances : literals;
            mask = __builtin_unpredictable(is_distance) ? DISTANCE_MASK : LITERAL_MASK;
        }
        continue;

    rare:
        REFILL();
        before >>= SCALE;
        if (!is_distance) {
            if ((entry & 63) == 0) {
                struct ci_symbol found = ci_find(&stream->literals, bits >> SCALE);
                SKIP(found.bits);
                if (found.symbol < CI_SYMBOL_END_OF_BLOCK) {
                    *out++ = (uint8_t)found.symbol;
                    continue;
                }
                if (found.symbol == CI_SYMBOL_END_OF_BLOCK) {
                    stream->phase = PHASE_BLOCK_HEADER;
                    break;
                }
                if (found.symbol - 257 >= 29) {
                    result = CI_BAD_LITERAL;
                    break;
                }
                uint32_t extra = ci_length_extra[found.symbol - 257];
                length = ci_length_base[found.symbol - 257] + (uint32_t)ci_low_bits(bits >> SCALE, extra);
                SKIP(extra);
                REFILL();
            } else {
                length = 3 + ((entry >> 16) & 0xFF);
                length += (uint32_t)ci_low_bits(before, entry & 63) >> ((entry >> 24) & 31);
            }
            before = bits >> SCALE;
            entry = stream->distance_table[before & (DISTANCE_MASK >> SCALE)];
            SKIP(entry & 63);
        }
        if ((entry & 63) == 0) {
            struct ci_symbol found = ci_find(&stream->distances, bits >> SCALE);
            if (found.symbol >= 30) {
                result = CI_BAD_DISTANCE;
                break;
            }
            SKIP(found.bits);
            uint32_t extra = ci_distance_extra[found.symbol];
            distance = ci_distance_base[found.symbol] + (uint32_t)ci_low_bits(bits >> SCALE, extra);
            SKIP(extra);
        } else {
            distance = (entry >> 8) & 0xFFFF;
            distance += (uint32_t)ci_low_bits(before, entry & 63) >> ((entry >> 24) & 31);
        }
    far:
        if (has_window || distance <= (size_t)(out - output_begin)) {
            copy_match(out, distance, length);
            out += length;
        } else if (distance - (size_t)(out - output_begin) <= (size_t)history_count) {
            out = copy_from_history(stream, out, output_begin, distance, length);
        } else {
            result = CI_DISTANCE_TOO_FAR;
            break;
        }
        is_distance = 0;
        table = literals;
        mask = LITERAL_MASK;
    } while (in <= in_safe && out <= out_safe);

    if (is_distance) {
        stream->phase = PHASE_DISTANCE;
        stream->match_length = length;
    }
    stream->bits = bits >> SCALE;
    stream->bit_count = (count & 63) - SCALE;
    *buffers = (struct ci_buffers){in, (size_t)(in_end - in), out, (size_t)(out_end - out)};
    ci_give_back(stream, buffers, input_begin);
    return result;
}

static int decode_with_history(struct ci_inflate *stream, struct ci_buffers *buffers, const uint8_t *input_begin,
                               const uint8_t *output_begin) {
    return decode(stream, buffers, input_begin, output_begin, 0);
}

static int decode_with_window(struct ci_inflate *stream, struct ci_buffers *buffers, const uint8_t *input_begin,
                              const uint8_t *output_begin) {
    return decode(stream, buffers, input_begin, output_begin, 1);
}
