// A projection onto a vocabulary of which each row wants some tokens alone: weights are read where the row's list says.
// The integers, their sums and what becomes of them are those of `linear_int8`, and so is every number to the bit.

// Sums of the products of a row of integers [K] with sixteen channels, whose weights lie apart.
inline I16 gathered(const uint8_t *row, const int8_t *const (&weights)[16], int64_t inputs) {
    I16 total = {};
    int64_t k = 0;
    // Where a register holds sixteen fours, as many inputs at once: their sums are added up at last.
    if constexpr (sizeof(Four) == 64 && REGISTERS == 1) {
        I16 parts[16] = {};
        for (; k + 64 <= inputs; k += 64) {
            Four sixteen;
            __builtin_memcpy(&sixteen, row + k, sizeof sixteen);
            for (int c = 0; c < 16; c++) {
                B64 own;
                get(own, weights[c] + k);
                parts[c] = dot(parts[c], sixteen, own);
            }
        }
        total = sums(parts);
    }
    for (; k < inputs; k += 4) {
        alignas(64) int8_t fours[64];
        for (int c = 0; c < 16; c++) __builtin_memcpy(fours + c * 4, weights[c] + k, 4);
        B64 all;
        get(all, fours);
        total = dot(total, load_four(row + k), all);
    }
    return total;
}

// shortlist: 0 integers [R, K], 1 rows' largest values [R], 2 weights [V, K], 3 channels' scales [V], 4 what the offset of
//            the integers adds to the sums [V] int32, 5 list of each row [R] int64, 6 lists [L, 1 + capacity] int32: how
//            many tokens, and these; none: every token, 7 outputs [R, V], minus infinity where the list has no token
//            sizes: R, K, V, distance of lists, lists that there are
inline int64_t shortlist_units(const Instruction &i) { return i.size[0]; }
inline double shortlist_cost(const Instruction &i) { return 500 + i.size[1] * i.size[2] * 0.002; }
inline void shortlist(const Instruction &i, int64_t first, int64_t last) {
    const int64_t inputs = i.size[1], vocabulary = i.size[2];
    for (int64_t row = first; row < last; row++) {
        const int64_t own = i.as<int64_t>(5)[row];
        const int32_t *list = i.as<int32_t>(6) + (own >= 0 && own < i.size[4] ? own : 0) * i.size[3];
        const int64_t listed = list[0], count = listed ? listed : vocabulary;
        float *out = i.as<float>(7) + row * vocabulary;
        if (listed) {
            int64_t v = 0;
            for (; v + 16 <= vocabulary; v += 16) store(out + v, splat(-__builtin_inff()));
            for (; v < vocabulary; v++) out[v] = -__builtin_inff();
        }
        for (int64_t at = 0; at < count; at += 16) {
            const int8_t *weights[16];
            int64_t tokens[16];
            float scales[16];
            int32_t offsets[16] = {};
            for (int c = 0; c < 16; c++) { // the last ones are computed again where there are no more
                const int64_t place = at + c < count ? at + c : count - 1;
                const int64_t token = listed ? list[1 + place] : place;
                tokens[c] = token, weights[c] = i.as<int8_t>(2) + token * inputs;
                scales[c] = i.as<float>(3)[token];
                if (OFFSET) offsets[c] = i.as<int32_t>(4)[token];
            }
            const I16 total = gathered(i.as<uint8_t>(0) + row * inputs, weights, inputs) + load(offsets);
            const F16 sums = decimal(total) * load(scales);
            const F16 value = fused(sums, splat(i.as<float>(1)[row]), splat(0));
            float values[16];
            store(values, value);
            for (int c = 0; c < 16; c++) out[tokens[c]] = values[c];
        }
    }
}
