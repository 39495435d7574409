// What is done to each number by itself, or to each row: norms, sums, activations, and the vectors of tokens.

inline F16 reciprocal_of_one_plus(F16 x) { return splat(1.0f) / (splat(1.0f) + x); }
inline F16 sigmoid(F16 x) { return reciprocal_of_one_plus(exponential(-x)); }

// Abramowitz and Stegun 7.1.26 is too coarse; this is the rational approximation of Eigen's erff, error below 2e-7.
inline F16 error_function(F16 x) {
    x = smaller(larger(x, splat(-4.0f)), splat(4.0f));
    F16 s = x * x;
    F16 p = splat(-2.72614225801306e-10f);
    p = fused(p, s, splat(2.77068142495902e-08f));
    p = fused(p, s, splat(-2.10102402082508e-06f));
    p = fused(p, s, splat(-5.69250639462346e-05f));
    p = fused(p, s, splat(-7.34990630326855e-04f));
    p = fused(p, s, splat(-2.95459980854025e-03f));
    p = fused(p, s, splat(-1.60960333262415e-02f));
    F16 q = splat(-1.45660718464996e-05f);
    q = fused(q, s, splat(-2.13374055278905e-04f));
    q = fused(q, s, splat(-1.68282697438203e-03f));
    q = fused(q, s, splat(-7.37332916720468e-03f));
    q = fused(q, s, splat(-1.42647390514189e-02f));
    return x * p / q;
}

inline F16 hyperbolic_tangent(F16 x) { return splat(2.0f) * sigmoid(x + x) - splat(1.0f); }

inline F16 applied(int64_t function, F16 x, float a, float b) {
    switch (function) {
    case RELU: return chosen(x > splat(0), x, chosen(x == x, splat(0), x));
    case GELU: return x * 0.5f * (splat(1.0f) + error_function(x * 0.70710678118654752f));
    case GELU_TANH: return x * sigmoid(1.5957691216057308f * x * fused(x * x, splat(0.044715f), splat(1.0f)));
    case SILU: return x * sigmoid(x);
    case SIGMOID: return sigmoid(x);
    case TANH: return hyperbolic_tangent(x);
    case SCALE: return fused(x, splat(a), splat(b));
    case CAP: return hyperbolic_tangent(x * (1.0f / a)) * a;
    default: return x;
    }
}

inline F16 combined(int64_t function, F16 a, F16 b, float factor) {
    switch (function) {
    case ADD: return fused(b, splat(factor), a);
    case MULTIPLY: return a * b;
    default: return a;
    }
}

// The three dimensions of a walk over a tensor, outermost first; the innermost is contiguous or, with 0, one number.
struct Walk {
    int64_t distance[3];
    int64_t start(int64_t row, int64_t middle) const {
        return row / middle * distance[0] + row % middle * distance[1];
    }
};

inline F16 some(const float *from, int64_t distance, int64_t count) {
    if (distance == 0) return splat(*from);
    return count >= 16 ? load(from) : load_some(from, count, 0);
}

inline void put(float *to, F16 value, int64_t count) {
    if (count >= 16) store(to, value);
    else store_some(to, value, count);
}

// apply: 0 x, 1 out; sizes: function, three sizes, three distances of x, three of out; numbers: a, b
inline int64_t apply_units(const Instruction &i) { return i.size[1] * i.size[2]; }
inline double apply_cost(const Instruction &i) { return 2 + i.size[3] * 0.15; }
inline void apply(const Instruction &i, int64_t first, int64_t last) {
    const Walk x{{i.size[4], i.size[5], i.size[6]}}, out{{i.size[7], i.size[8], i.size[9]}};
    const float a = i.number[0], b = i.number[1];
    for (int64_t row = first; row < last; row++) {
        const float *from = i.as<float>(0) + x.start(row, i.size[2]);
        float *to = i.as<float>(1) + out.start(row, i.size[2]);
        for (int64_t c = 0; c < i.size[3]; c += 16) {
            const int64_t count = i.size[3] - c;
            put(to + c, applied(i.size[0], some(from + c * x.distance[2], x.distance[2], count), a, b), count);
        }
    }
}

// combine: 0 a, 1 b, 2 out; sizes: function, three sizes, three distances of a, of b, of out; numbers: factor of b
inline int64_t combine_units(const Instruction &i) { return i.size[1] * i.size[2]; }
inline double combine_cost(const Instruction &i) { return 2 + i.size[3] * 0.05; }
inline void combine(const Instruction &i, int64_t first, int64_t last) {
    const Walk a{{i.size[4], i.size[5], i.size[6]}}, b{{i.size[7], i.size[8], i.size[9]}},
        out{{i.size[10], i.size[11], i.size[12]}};
    for (int64_t row = first; row < last; row++) {
        const float *left = i.as<float>(0) + a.start(row, i.size[2]);
        const float *right = i.as<float>(1) + b.start(row, i.size[2]);
        float *to = i.as<float>(2) + out.start(row, i.size[2]);
        for (int64_t c = 0; c < i.size[3]; c += 16) {
            const int64_t count = i.size[3] - c;
            F16 x = some(left + c * a.distance[2], a.distance[2], count);
            F16 y = some(right + c * b.distance[2], b.distance[2], count);
            put(to + c, combined(i.size[0], x, y, i.number[0]), count);
        }
    }
}

// norm: 0 x [R, N, C], 1 weight [C], 2 bias [C] or nothing, 3 out [R, N, C]; where N is 1, also 4 out as integers [R, K] and
//       5 its largest values [R], or nothing, as quantize writes them
//       sizes: R, C, distance of x's rows, of out's, 1 to take the mean off, N, distance of x's vectors in a row, of out's; K
//       numbers: epsilon
inline int64_t norm_units(const Instruction &i) { return i.size[0] * i.size[5]; }
inline double norm_cost(const Instruction &i) { return 10 + i.size[1] * (i.at[4] ? 0.45 : 0.15); }
inline void norm(const Instruction &i, int64_t first, int64_t last) {
    const int64_t width = i.size[1];
    for (int64_t unit = first; unit < last; unit++) {
        const int64_t row = unit / i.size[5], vector = unit % i.size[5];
        const float *x = i.as<float>(0) + row * i.size[2] + vector * i.size[6];
        float *out = i.as<float>(3) + row * i.size[3] + vector * i.size[7];
        float mean = 0;
        if (i.size[4]) {
            F16 total = splat(0);
            for (int64_t c = 0; c < width; c += 16) total += some(x + c, 1, width - c);
            mean = sum(total) / width;
        }
        F16 squares = splat(0);
        for (int64_t c = 0; c < width; c += 16) {
            const int64_t count = width - c;
            F16 value = (count >= 16 ? load(x + c) : load_some(x + c, count, mean)) - mean;
            squares = fused(value, value, squares);
        }
        const F16 factor = splat(1.0f / __builtin_sqrtf(sum(squares) / width + (float)i.number[0]));
        for (int64_t c = 0; c < width; c += 16) {
            const int64_t count = width - c;
            F16 value = (some(x + c, 1, count) - mean) * factor;
            F16 weight = some(i.as<float>(1) + c, 1, count);
            F16 bias = i.at[2] ? some(i.as<float>(2) + c, 1, count) : splat(0);
            put(out + c, fused(value, weight, bias), count);
        }
        if (i.at[4]) quantize_row(out, width, i.as<uint8_t>(4) + row * i.size[8], i.size[8], i.as<float>(5) + row);
    }
}

// rotate: 0 x [R, N, D], 1 positions [R] int64, 2 cosines and signed sines [P, 2, W], 3 out [R, N, D]; of each vector the
//         first W numbers are turned, W / 2 pairs that lie W / 2 apart
//         sizes: R, N, D, W, distance of x's rows, of x's vectors in a row; of out's
inline int64_t rotate_units(const Instruction &i) { return i.size[0]; }
inline double rotate_cost(const Instruction &i) { return 10 + i.size[1] * i.size[2] * 0.2; }
inline void rotate(const Instruction &i, int64_t first, int64_t last) {
    const int64_t width = i.size[2], turned = i.size[3], half = turned / 2;
    for (int64_t row = first; row < last; row++) {
        const int64_t position = i.as<int64_t>(1)[row];
        const float *cosines = i.as<float>(2) + (position < 0 ? 0 : position) * 2 * turned, *sines = cosines + turned;
        for (int64_t vector = 0; vector < i.size[1]; vector++) {
            const float *x = i.as<float>(0) + row * i.size[4] + vector * i.size[5];
            float *out = i.as<float>(3) + row * i.size[6] + vector * i.size[7];
            for (int64_t part = 0; part < 2; part++) {
                const int64_t here = part * half, there = half - here;
                for (int64_t d = 0; d < half; d += 16) {
                    const int64_t count = half - d;
                    F16 value = some(x + here + d, 1, count) * some(cosines + here + d, 1, count);
                    put(out + here + d, fused(some(x + there + d, 1, count), some(sines + here + d, 1, count), value), count);
                }
            }
            for (int64_t d = turned; d < width; d++) out[d] = x[d];
        }
    }
}

// embed: 0 indices [R] int64, 1 table [V, C], 2 out [R, C]; an index that the table does not have gives no numbers
//        sizes: R, C, distance of the table's rows, of out's, V
inline int64_t embed_units(const Instruction &i) { return i.size[0]; }
inline double embed_cost(const Instruction &i) { return 20 + i.size[1] * 0.05; }
inline void embed(const Instruction &i, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
        const int64_t index = i.as<int64_t>(0)[row];
        float *to = i.as<float>(2) + row * i.size[3];
        if (index < 0 || index >= i.size[4]) {
            for (int64_t c = 0; c < i.size[1]; c++) to[c] = __builtin_nanf("");
        } else {
            __builtin_memcpy(to, i.as<float>(1) + index * i.size[2], i.size[1] * sizeof(float));
        }
    }
}

// clamp: 0 x [R] int64, 1 out [R]; sizes: R, the least, the most
inline int64_t clamp_units(const Instruction &i) { return i.size[0]; }
inline double clamp_cost(const Instruction &) { return 0.5; }
inline void clamp(const Instruction &i, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
        const int64_t x = i.as<int64_t>(0)[row];
        i.as<int64_t>(1)[row] = x < i.size[1] ? i.size[1] : x > i.size[2] ? i.size[2] : x;
    }
}
