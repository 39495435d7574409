// What is chosen among the logits of a row: the best token, and the best few with their log-probabilities.

constexpr int64_t BLOCK = 128; // logits that are looked at together

// Of some numbers, as many as a block has at most; what is none does not count.
inline float largest_of(const float *x, int64_t count) {
    const F16 none = splat(-__builtin_inff());
    F16 most[2] = {none, none};
    int64_t v = 0;
    for (; v + 32 <= count; v += 32) most[0] = larger(load(x + v), most[0]), most[1] = larger(load(x + v + 16), most[1]);
    for (; v < count; v += 16)
        most[0] = larger(count - v < 16 ? load_some(x + v, count - v, -__builtin_inff()) : load(x + v), most[0]);
    return largest(larger(most[0], most[1]));
}

inline bool above(const float *x, int64_t count, float least) { return largest_of(x, count) > least; }
inline int64_t rest(int64_t count, int64_t from, int64_t most) { return count - from < most ? count - from : most; }

// best: 0 logits [R, V], 1 the place of each row's largest [R] int64 to write; of equals, the first
//       sizes: R, V, distance of rows
inline int64_t best_units(const Instruction &i) { return i.size[0]; }
inline double best_cost(const Instruction &i) { return 20 + i.size[1] * 0.05; }
inline void best(const Instruction &i, int64_t first, int64_t last) {
    const int64_t count = i.size[1];
    for (int64_t row = first; row < last; row++) {
        const float *x = i.as<float>(0) + row * i.size[2];
        float highest = -__builtin_inff();
        int64_t at = 0; // where a block begins that has the largest, and then its place
        for (int64_t v = 0; v < count; v += BLOCK) {
            const float most = largest_of(x + v, rest(count, v, BLOCK));
            if (most > highest) highest = most, at = v;
        }
        while (at < count && x[at] != highest) at++;
        i.as<int64_t>(1)[row] = at < count ? at : 0; // a row of no numbers has none
    }
}

// top: 0 logits [R, V], 1 the largest [R, K] to write, largest first, 2 their places [R, K] int64 to write, of equals the
//      first first, 3 the logarithm of the sum of all exponentials [R] to write
//      sizes: R, V, distance of rows, K, which is V at most
inline int64_t top_units(const Instruction &i) { return i.size[0]; }
inline double top_cost(const Instruction &i) { return 100 + i.size[1] * 0.3; }
inline void top(const Instruction &i, int64_t first, int64_t last) {
    const int64_t count = i.size[1], wanted = i.size[3];
    for (int64_t row = first; row < last; row++) {
        const float *x = i.as<float>(0) + row * i.size[2];
        float *values = i.as<float>(1) + row * wanted;
        int64_t *places = i.as<int64_t>(2) + row * wanted;
        int64_t found = 0;
        // Few blocks have one that is larger than the last of those that were found, and few sixteens of these.
        for (int64_t v = 0, step = 0; v < count; v += step) {
            const bool begins = v % BLOCK == 0;
            step = begins && found == wanted && !above(x + v, rest(count, v, BLOCK), values[wanted - 1]) ? BLOCK : 16;
            const int64_t some = rest(count, v, 16);
            if (step == BLOCK || (found == wanted && !above(x + v, some, values[wanted - 1]))) continue;
            for (int64_t j = 0; j < some; j++) {
                const float value = x[v + j];
                if (found == wanted && !(value > values[wanted - 1])) continue;
                int64_t at = found < wanted ? found++ : wanted - 1;
                for (; at > 0 && value > values[at - 1]; at--) values[at] = values[at - 1], places[at] = places[at - 1];
                values[at] = value, places[at] = v + j;
            }
        }
        const float most = wanted ? values[0] : 0;
        F16 total = splat(0);
        for (int64_t v = 0; v < count; v += 16) {
            const int64_t some = rest(count, v, 16);
            total += exponential_above((some == 16 ? load(x + v) : load_some(x + v, some, -__builtin_inff())) - most);
        }
        i.as<float>(3)[row] = most + __builtin_logf(sum(total));
    }
}
