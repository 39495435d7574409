// Linear layers in 8-bit integers: rows of activations are scaled by their own largest value, channels of weights were
// when they were packed. Sums are exact, so a row's numbers depend neither on its neighbours nor on how work is shared.
//
// Shapes: R rows, K inputs (a multiple of 4, filled up with zeros), N outputs (in blocks of 16, filled up likewise).

constexpr int64_t UNIT_BLOCKS = 4; // of columns, which one thread does at a time
constexpr int64_t ROWS_AT_A_TIME = 96; // whose integers stay in a core's second cache while weights pass by

// What becomes of sums: out = activation(bias + sum * channel's scale * row's largest) + residual.
struct Epilogue {
    const float *scales, *bias, *residual;
    float *out;
    int64_t count, activation; // columns that are left, from this one on
};

inline void finish(I16 sums, float row, const Epilogue &e) {
    F16 value = fused(decimal(sums) * load(e.scales), splat(row), load(e.bias));
    value = applied(e.activation, value, 0, 0);
    if (e.count >= 16) {
        if (e.residual) value += load(e.residual);
        store(e.out, value);
    } else {
        if (e.residual) value += load_some(e.residual, e.count, 0);
        store_some(e.out, value, e.count);
    }
}

// linear_int8: 0 integers [R, K], 1 rows' largest values [R], 2 weights [N / 16, K / 4, 16, 4], 3 channels' scales [N],
//              4 what the offset of the integers adds to the sums [N] int32, 5 bias [N], 6 residual [R, N] or nothing,
//              7 outputs [R, N]
//              sizes: R, K, N that there are, distance of outputs' rows, activation, distance of the residual's rows
template <typename V, typename W> inline Pair<V> dot(Pair<V> sums, const Four &four, Pair<W> weights) {
    return {dot(sums.low, four, weights.low), dot(sums.high, four, weights.high)};
}

template <int ROWS, int BLOCKS>
inline void multiply(const Instruction &i, int64_t row, int64_t block) {
    const int64_t inputs = i.size[1];
    const uint8_t *a = i.as<uint8_t>(0) + row * inputs;
    const int8_t *w = i.as<int8_t>(2) + block * 16 * inputs;
    I16 sums[ROWS][BLOCKS];
    for (int b = 0; b < BLOCKS; b++) {
        I16 offset = OFFSET ? load(i.as<int32_t>(4) + (block + b) * 16) : I16{};
        for (int r = 0; r < ROWS; r++) sums[r][b] = offset;
    }
    for (int64_t k = 0; k < inputs; k += 4) {
        B64 weights[BLOCKS];
#pragma GCC unroll 4
        for (int b = 0; b < BLOCKS; b++) get(weights[b], w + b * 16 * inputs + k * 16);
        for (int r = 0; r < ROWS; r++) {
            const Four four = load_four(a + r * inputs + k);
#pragma GCC unroll 4
            for (int b = 0; b < BLOCKS; b++) sums[r][b] = dot(sums[r][b], four, weights[b]);
        }
    }
    for (int r = 0; r < ROWS; r++) {
        for (int b = 0; b < BLOCKS; b++) {
            const int64_t column = (block + b) * 16;
            const float *residual = i.as<float>(6);
            finish(sums[r][b], i.as<float>(1)[row + r],
                   {i.as<float>(3) + column, i.as<float>(5) + column,
                    residual ? residual + (row + r) * i.size[5] + column : nullptr,
                    i.as<float>(7) + (row + r) * i.size[3] + column, i.size[2] - column, i.size[4]});
        }
    }
}

// So many rows and blocks of columns, as many blocks at a time as there are registers for.
template <int ROWS> inline void multiply_blocks(const Instruction &i, int64_t row, int64_t block, int64_t end) {
    constexpr int ROOM = SUMS / ROWS / REGISTERS;
    if constexpr (ROOM >= 4)
        for (; block + 4 <= end; block += 4) multiply<ROWS, 4>(i, row, block);
    if constexpr (ROOM >= 2)
        for (; block + 2 <= end; block += 2) multiply<ROWS, 2>(i, row, block);
    for (; block < end; block++) multiply<ROWS, 1>(i, row, block);
}

inline void multiply_rows(const Instruction &i, int64_t row, int64_t last, int64_t block, int64_t end) {
    constexpr int WIDTH = SUMS / TILE_ROWS / REGISTERS; // columns whose weights stay in a core's first cache
    const int64_t rest = row + (last - row) / TILE_ROWS * TILE_ROWS;
    for (int64_t b = block; b < end && row < rest; b += WIDTH)
        for (int64_t r = row; r < rest; r += TILE_ROWS)
            multiply_blocks<TILE_ROWS>(i, r, b, b + WIDTH < end ? b + WIDTH : end);
    switch (last - rest) {
    case 5: if constexpr (TILE_ROWS > 5) multiply_blocks<5>(i, rest, block, end); break;
    case 4: if constexpr (TILE_ROWS > 4) multiply_blocks<4>(i, rest, block, end); break;
    case 3: if constexpr (TILE_ROWS > 3) multiply_blocks<3>(i, rest, block, end); break;
    case 2: if constexpr (TILE_ROWS > 2) multiply_blocks<2>(i, rest, block, end); break;
    case 1: multiply_blocks<1>(i, rest, block, end); break;
    }
}

inline int64_t column_blocks(const Instruction &i) { return (i.size[2] + 15) / 16; }
inline int64_t column_units(const Instruction &i) { return (column_blocks(i) + UNIT_BLOCKS - 1) / UNIT_BLOCKS; }
inline int64_t row_units(const Instruction &i) { return (i.size[0] + ROWS_AT_A_TIME - 1) / ROWS_AT_A_TIME; }

inline int64_t linear_int8_units(const Instruction &i) { return column_units(i) * row_units(i); }
inline double linear_int8_cost(const Instruction &i) {
    const int64_t rows = i.size[0] < ROWS_AT_A_TIME ? i.size[0] : ROWS_AT_A_TIME;
    return 0.1 * i.size[1] * UNIT_BLOCKS * (rows + 4); // a few rows more for bringing the weights
}

inline void linear_int8(const Instruction &i, int64_t first, int64_t last) {
    const int64_t rows = i.size[0], blocks = column_blocks(i), columns = column_units(i);
    for (int64_t unit = first; unit < last; unit++) {
        const int64_t row = unit / columns * ROWS_AT_A_TIME, block = unit % columns * UNIT_BLOCKS;
        const int64_t end = row + ROWS_AT_A_TIME < rows ? row + ROWS_AT_A_TIME : rows;
        multiply_rows(i, row, end, block, block + UNIT_BLOCKS < blocks ? block + UNIT_BLOCKS : blocks);
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
