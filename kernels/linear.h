// Linear layers. A row's numbers depend neither on its neighbours nor on how work is shared.
//
// - in 8-bit integers: rows of activations are scaled by their own largest value, channels of weights were when they were
//   packed. Sums are exact.
// - in float32 or bfloat16, multiplied and summed in float32.
//
// Shapes: R rows, K inputs (a multiple of S, filled up with zeros), N outputs (in blocks of 16, filled up likewise), S inputs
// whose weights lie side by side: 4 integers, 1 number of float32, 2 of bfloat16.

constexpr int64_t UNIT_BLOCKS = 4; // of columns, which one thread does at a time
constexpr int64_t ROWS_AT_A_TIME = 96; // which stay in a core's second cache while weights pass by

// linear_int8: 0 integers [R, K], 1 rows' largest values [R], 2 weights [N / 16, K / 4, 16, 4], 3 channels' scales [N],
//              4 what the offset of the integers adds to the sums [N] int32, 5 bias [N], 6 residual [R, N] or nothing,
//              7 outputs [R, N]
//              sizes: R, K, N that there are, distance of outputs' rows, activation, distance of the residual's rows
// linear_float32, linear_bfloat16: 0 rows [R, K], 2 weights [N / 16, K / S, 16, S], 5 to 7 as above
//              sizes: as above, and the distance of rows

// Where sums go: out = activation(value) + residual.
struct Place {
    const float *residual;
    float *out;
    int64_t count, activation; // columns that are left, from this one on

    Place(const Instruction &i, int64_t row, int64_t column)
        : residual(i.at[6] ? i.as<float>(6) + row * i.size[5] + column : nullptr),
          out(i.as<float>(7) + row * i.size[3] + column), count(i.size[2] - column), activation(i.size[4]) {}

    void finish(F16 value) const {
        value = applied(activation, value, 0, 0);
        if (count >= 16) {
            if (residual) value += load(residual);
            store(out, value);
        } else {
            if (residual) value += load_some(residual, count, 0);
            store_some(out, value, count);
        }
    }
};

template <typename V, typename W> inline Pair<V> dot(Pair<V> sums, const Four &four, Pair<W> weights) {
    return {dot(sums.low, four, weights.low), dot(sums.high, four, weights.high)};
}

struct Int8 {
    static constexpr int ROWS = TILE_ROWS, REGISTERS_OF_SUMS = SUMS;
    static constexpr double COST = 0.1; // nanoseconds of an input's products with sixteen columns, roughly

    template <int COUNT, int BLOCKS> static void multiply(const Instruction &i, int64_t row, int64_t block) {
        const int64_t inputs = i.size[1];
        const uint8_t *a = i.as<uint8_t>(0) + row * inputs;
        const int8_t *w = i.as<int8_t>(2) + block * 16 * inputs;
        I16 sums[COUNT][BLOCKS];
        for (int b = 0; b < BLOCKS; b++) {
            I16 offset = OFFSET ? load(i.as<int32_t>(4) + (block + b) * 16) : I16{};
            for (int r = 0; r < COUNT; r++) sums[r][b] = offset;
        }
        for (int64_t k = 0; k < inputs; k += 4) {
            B64 weights[BLOCKS];
#pragma GCC unroll 4
            for (int b = 0; b < BLOCKS; b++) get(weights[b], w + b * 16 * inputs + k * 16);
            for (int r = 0; r < COUNT; r++) {
                const Four four = load_four(a + r * inputs + k);
#pragma GCC unroll 4
                for (int b = 0; b < BLOCKS; b++) sums[r][b] = dot(sums[r][b], four, weights[b]);
            }
        }
        for (int r = 0; r < COUNT; r++) {
            const F16 largest = splat(i.as<float>(1)[row + r]);
            for (int b = 0; b < BLOCKS; b++) {
                const int64_t column = (block + b) * 16;
                const F16 scaled = decimal(sums[r][b]) * load(i.as<float>(3) + column);
                Place(i, row + r, column).finish(fused(scaled, largest, load(i.as<float>(5) + column)));
            }
        }
    }
};

// Weights and rows that are widened to float32, multiplied and summed in it, from the first input to the last.
template <typename Format> struct Floating {
    static constexpr int ROWS = 6, REGISTERS_OF_SUMS = LANES == 8 ? 12 : 24; // of 16 registers in AVX2, of 32 elsewhere
    static constexpr double COST = 0.4;
    static constexpr int SIDE_BY_SIDE = Format::SIDE_BY_SIDE;
    typedef typename Format::Number Number;

    // One input more, of those that lie side by side.
    template <int WHICH, int COUNT, int BLOCKS>
    static void add(F16 (&sums)[COUNT][BLOCKS], const Number *x, int64_t distance, const Number *w, int64_t panel) {
        F16 weights[BLOCKS];
#pragma GCC unroll 4
        for (int b = 0; b < BLOCKS; b++) weights[b] = Format::template weights<WHICH>(w + b * panel);
#pragma GCC unroll 8
        for (int r = 0; r < COUNT; r++) {
            const F16 input = Format::template input<WHICH>(x + r * distance);
#pragma GCC unroll 4
            for (int b = 0; b < BLOCKS; b++) sums[r][b] = fused(input, weights[b], sums[r][b]);
        }
    }

    template <int COUNT, int BLOCKS> static void multiply(const Instruction &i, int64_t row, int64_t block) {
        const int64_t inputs = i.size[1], distance = i.size[6], panel = inputs * 16;
        const Number *x = i.as<Number>(0) + row * distance, *w = i.as<Number>(2) + block * panel;
        F16 sums[COUNT][BLOCKS];
        for (int r = 0; r < COUNT; r++)
            for (int b = 0; b < BLOCKS; b++) sums[r][b] = splat(0);
        for (int64_t k = 0; k < inputs; k += SIDE_BY_SIDE) {
            add<0>(sums, x + k, distance, w + k * 16, panel);
            if constexpr (SIDE_BY_SIDE > 1) add<1>(sums, x + k, distance, w + k * 16, panel);
        }
        finish(i, row, block, sums);
    }

    template <int COUNT, int BLOCKS>
    static void finish(const Instruction &i, int64_t row, int64_t block, const F16 (&sums)[COUNT][BLOCKS]) {
        for (int r = 0; r < COUNT; r++)
            for (int b = 0; b < BLOCKS; b++) {
                const int64_t column = (block + b) * 16;
                Place(i, row + r, column).finish(sums[r][b] + load(i.as<float>(5) + column));
            }
    }
};

struct Single {
    typedef float Number;
    static constexpr int SIDE_BY_SIDE = 1;
    template <int> static F16 weights(const float *from) { return load(from); }
    template <int> static F16 input(const float *from) { return splat(*from); }
};

struct BFloat16 { // the upper half of a float
    typedef uint16_t Number;
    static constexpr int SIDE_BY_SIDE = 2;
    template <int WHICH> static F16 widened(I16 pairs) { return floats(WHICH ? pairs & (int32_t)0xffff0000 : pairs << 16); }
    template <int WHICH> static F16 weights(const uint16_t *from) {
        I16 pairs;
        get(pairs, (const int32_t *)from);
        return widened<WHICH>(pairs);
    }
    template <int WHICH> static F16 input(const uint16_t *from) {
        float pair;
        __builtin_memcpy(&pair, from, sizeof pair);
        F16 pairs = splat(pair);
        return widened<WHICH>(bits(pairs));
    }
};

typedef Floating<Single> Float32;
typedef Floating<BFloat16> Widened;

// So many rows and blocks of columns, as many blocks at a time as there are registers for.
template <typename Format, int COUNT>
inline void multiply_blocks(const Instruction &i, int64_t row, int64_t block, int64_t end) {
    constexpr int ROOM = Format::REGISTERS_OF_SUMS / COUNT / REGISTERS;
    if constexpr (ROOM >= 4)
        for (; block + 4 <= end; block += 4) Format::template multiply<COUNT, 4>(i, row, block);
    if constexpr (ROOM >= 2)
        for (; block + 2 <= end; block += 2) Format::template multiply<COUNT, 2>(i, row, block);
    for (; block < end; block++) Format::template multiply<COUNT, 1>(i, row, block);
}

// As many rows as are left, fewer than a tile has.
template <typename Format, int COUNT>
inline void multiply_rest(const Instruction &i, int64_t row, int64_t rows, int64_t block, int64_t end) {
    if constexpr (COUNT > 0) {
        if (rows == COUNT)
            multiply_blocks<Format, COUNT>(i, row, block, end);
        else
            multiply_rest<Format, COUNT - 1>(i, row, rows, block, end);
    }
}

template <typename Format>
inline void multiply_rows(const Instruction &i, int64_t row, int64_t last, int64_t block, int64_t end) {
    constexpr int ROWS = Format::ROWS;
    constexpr int WIDTH = Format::REGISTERS_OF_SUMS / ROWS / REGISTERS; // columns whose weights stay in a core's first cache
    const int64_t rest = row + (last - row) / ROWS * ROWS;
    for (int64_t b = block; b < end && row < rest; b += WIDTH)
        for (int64_t r = row; r < rest; r += ROWS)
            multiply_blocks<Format, ROWS>(i, r, b, b + WIDTH < end ? b + WIDTH : end);
    multiply_rest<Format, ROWS - 1>(i, rest, last - rest, block, end);
}

inline int64_t column_blocks(const Instruction &i) { return (i.size[2] + 15) / 16; }
inline int64_t column_units(const Instruction &i) { return (column_blocks(i) + UNIT_BLOCKS - 1) / UNIT_BLOCKS; }
inline int64_t row_units(const Instruction &i) { return (i.size[0] + ROWS_AT_A_TIME - 1) / ROWS_AT_A_TIME; }

inline int64_t packed_units(const Instruction &i) { return column_units(i) * row_units(i); }
template <typename Format> inline double packed_cost(const Instruction &i) {
    const int64_t rows = i.size[0] < ROWS_AT_A_TIME ? i.size[0] : ROWS_AT_A_TIME;
    return Format::COST * i.size[1] * UNIT_BLOCKS * (rows + 4); // a few rows more for bringing the weights
}

template <typename Format> inline void packed(const Instruction &i, int64_t first, int64_t last) {
    const int64_t rows = i.size[0], blocks = column_blocks(i), columns = column_units(i);
    for (int64_t unit = first; unit < last; unit++) {
        const int64_t row = unit / columns * ROWS_AT_A_TIME, block = unit % columns * UNIT_BLOCKS;
        const int64_t end = row + ROWS_AT_A_TIME < rows ? row + ROWS_AT_A_TIME : rows;
        multiply_rows<Format>(i, row, end, block, block + UNIT_BLOCKS < blocks ? block + UNIT_BLOCKS : blocks);
    }
}

// linear: 0 rows [R, K] float, 1 weights [N, K] float, 2 bias [N] or nothing, 3 outputs [R, N]; for small heads, whose
//         weights nobody has packed
//         sizes: R, K, N, distance of rows, of weights' rows, of outputs' rows
inline int64_t linear_units(const Instruction &i) { return i.size[0]; }
inline double linear_cost(const Instruction &i) { return 10 + 0.1 * i.size[1] * i.size[2]; }
inline void linear(const Instruction &i, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
        const float *x = i.as<float>(0) + row * i.size[3];
        for (int64_t n = 0; n < i.size[2]; n++) {
            const float sum = product(x, i.as<float>(1) + n * i.size[4], i.size[1]);
            i.as<float>(3)[row * i.size[5] + n] = i.at[2] ? i.as<float>(2)[n] + sum : sum;
        }
    }
}
