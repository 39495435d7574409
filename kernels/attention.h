// Attention of queries to keys that lie in a cache or beside them: a row looks at so many columns of its own, nothing is
// masked and nothing padded. A query's numbers depend on its own columns alone.
//
// Shapes: R rows, H query heads, G key/value heads, C columns, D head width.

// Grown as needed, one a thread: the scores of a query.
struct Scores {
    float *values = nullptr;
    int64_t room = 0;
    float *of(int64_t count) {
        if (count > room) {
            __builtin_free(values);
            room = count * 2;
            values = static_cast<float *>(__builtin_malloc(room * sizeof(float)));
        }
        return values;
    }
    ~Scores() { __builtin_free(values); }
};

struct Query {
    const float *q, *keys, *values, *bias; // of one head; a bias a column, or nothing
    float *out;
    int64_t columns, key_distance, value_distance, width;
    float scale, cap;
    float *weights; // of the columns, in sixteens; scores first
    F16 highest;    // of them
};

// Of as many keys as a register has numbers, with a query of so many blocks of sixteen.
template <int BLOCKS> inline Floats products(const float *q, const float *keys, int64_t distance, int64_t blocks) {
    Floats each[LANES];
    for (int j = 0; j < LANES; j++) {
        const float *key = keys + j * distance;
        F16 total = load(q) * load(key);
        for (int b = 1; b < (BLOCKS ? BLOCKS : blocks); b++) total = fused(load(q + b * 16), load(key + b * 16), total);
        each[j] = to_register(total);
    }
    return sums(each);
}

template <int BLOCKS> inline F16 sixteen_products(const Query &query, const float *keys, int64_t blocks) {
    float values[16];
    for (int j = 0; j < 16; j += LANES) {
        const Floats some = products<BLOCKS>(query.q, keys + j * query.key_distance, query.key_distance, blocks);
        put(values + j, some);
    }
    return load(values);
}

// The first columns begin the sums, and who sees the last ones divides by the weights' sum.
template <int BLOCKS> inline void weigh(const Query &query, int64_t d, int64_t first, int64_t last, float factor) {
    F16 total[BLOCKS];
    for (int b = 0; b < BLOCKS; b++) total[b] = first ? load(query.out + d + b * 16) : splat(0);
    const float *v = query.values + d + first * query.value_distance;
    for (int64_t c = first; c < last; c++, v += query.value_distance) {
        const F16 weight = splat(query.weights[c]);
        for (int b = 0; b < BLOCKS; b++) total[b] = fused(weight, load(v + b * 16), total[b]);
    }
    for (int b = 0; b < BLOCKS; b++) store(query.out + d + b * 16, total[b] * factor);
}

inline void weigh_some(const Query &query, int64_t d, int64_t first, int64_t last, float factor) {
    const int64_t width = query.width - d;
    F16 total = first ? load_some(query.out + d, width, 0) : splat(0);
    const float *v = query.values + d + first * query.value_distance;
    for (int64_t c = first; c < last; c++, v += query.value_distance)
        total = fused(splat(query.weights[c]), load_some(v, width, 0), total);
    store_some(query.out + d, total * factor, width);
}

// Of columns from a multiple of sixteen on.
inline void score(Query &query, int64_t first, int64_t last) {
    for (int64_t c = first; c < last; c += 16) {
        const int64_t count = last - c < 16 ? last - c : 16;
        const float *keys = query.keys + c * query.key_distance;
        F16 value;
        if (count == 16 && query.width == 64) {
            value = sixteen_products<4>(query, keys, 4);
        } else if (count == 16 && query.width % 16 == 0) {
            value = sixteen_products<0>(query, keys, query.width / 16);
        } else {
            for (int64_t j = 0; j < count; j++)
                query.weights[c + j] = product(query.q, keys + j * query.key_distance, query.width);
            value = load_some(query.weights + c, count, 0);
        }
        value *= query.scale;
        if (query.cap > 0) value = hyperbolic_tangent(value * (1.0f / query.cap)) * query.cap;
        if (query.bias) value += load_some(query.bias + c, count, 0);
        store_some(query.weights + c, value, count);
        for (int64_t j = count; j < 16; j++) query.weights[c + j] = -__builtin_inff();
        query.highest = larger(load(query.weights + c), query.highest);
    }
}

// Scores become weights. Returns what their sum is to be divided by.
inline float exponentiate(const Query &query) {
    const float most = largest(query.highest);
    F16 total = splat(0);
    for (int64_t c = 0; c < query.columns; c += 16) {
        const F16 value = exponential(load(query.weights + c) - most);
        store(query.weights + c, value);
        total += value;
    }
    return 1.0f / sum(total);
}

inline void weigh_all(const Query &query, int64_t first, int64_t last, float factor) {
    int64_t d = 0;
    for (; d + 64 <= query.width; d += 64) weigh<4>(query, d, first, last, factor);
    for (; d + 16 <= query.width; d += 16) weigh<1>(query, d, first, last, factor);
    if (d < query.width) weigh_some(query, d, first, last, factor);
}

constexpr int64_t TOGETHER = 8; // queries
constexpr int64_t NEAR = 64;    // columns, whose keys or values stay in the first cache while all of these see them

// Queries of the same keys, a few columns after the other. Each one's numbers are those that it gets alone.
inline void attend_together(Query *queries, int64_t count, Scores &scores) {
    int64_t columns = 0;
    for (int64_t i = 0; i < count; i++) columns = queries[i].columns > columns ? queries[i].columns : columns;
    const int64_t room = (columns + 15) / 16 * 16, block = count > 1 ? NEAR : columns;
    float *weights = scores.of(room * count), factors[TOGETHER];
    for (int64_t i = 0; i < count; i++) queries[i].weights = weights + i * room, queries[i].highest = splat(-__builtin_inff());
    for (int64_t c = 0; c < columns; c += block)
        for (int64_t i = 0; i < count; i++)
            if (c < queries[i].columns) score(queries[i], c, queries[i].columns - c < block ? queries[i].columns : c + block);
    for (int64_t i = 0; i < count; i++) factors[i] = exponentiate(queries[i]);
    for (int64_t c = 0; c < columns; c += block)
        for (int64_t i = 0; i < count; i++)
            if (c < queries[i].columns) {
                const bool ends = queries[i].columns - c <= block;
                weigh_all(queries[i], c, ends ? queries[i].columns : c + block, ends ? factors[i] : 1);
            }
}

// attend: 0 queries [R, H, D], 1 keys [rows, G, C, D], 2 values, 3 positions [R] or lengths [rows] int64, 4 places [R]
//         int64, which lead to rows, 5 bias [R, H or 1, C] or nothing, 6 out [R, H, D]
//         sizes: R, H, G, D, distances of the queries' rows; of keys' and values' rows, heads and columns; of the bias'
//                rows and heads; of out's rows; 1 for positions, in a cache whose column 0 is scrap; places to a row
//         numbers: scale, cap or 0
inline int64_t attend_units(const Instruction &i) { return i.size[0] * i.size[2]; }
inline double attend_cost(const Instruction &i) { return 300.0 * i.size[1] / i.size[2]; }
inline void attend(const Instruction &i, int64_t first, int64_t last) {
    static thread_local Scores scores;
    const int64_t heads = i.size[1], groups = i.size[2], width = i.size[3], share = heads / groups;
    const int64_t rows = (last + groups - 1) / groups;
    const auto read_by = [&](int64_t row) { return i.as<int64_t>(4)[row] / i.size[12]; };
    for (int64_t row = first / groups, next; row < rows; row = next) { // tokens of a prompt and beams read the same
        const int64_t own = read_by(row);
        for (next = row + 1; next < rows && (next - row) < TOGETHER && read_by(next) == own;) next++;
        for (int64_t group = 0; group < groups; group++) {
            Query queries[TOGETHER];
            int64_t count = 0;
            for (int64_t each = row; each < next; each++) {
                if (each * groups + group < first || each * groups + group >= last) continue;
                int64_t begin = 0, columns;
                if (i.size[11]) {
                    const int64_t position = i.as<int64_t>(3)[each];
                    begin = position < 0 ? 0 : 1, columns = position < 0 ? 1 : position + 1;
                } else {
                    columns = i.as<int64_t>(3)[own];
                }
                const int64_t start = own * i.size[5] + group * i.size[6] + begin * i.size[7];
                for (int64_t head = group * share; head < (group + 1) * share; head++) {
                    if (count == TOGETHER) attend_together(queries, count, scores), count = 0;
                    const float *bias = i.as<float>(5);
                    if (bias) bias += each * i.size[8] + head * i.size[9] + begin;
                    queries[count++] = {i.as<float>(0) + each * i.size[4] + head * width, i.as<float>(1) + start,
                                        i.as<float>(2) + start, bias, i.as<float>(6) + each * i.size[10] + head * width,
                                        columns, i.size[7], i.size[7], width, (float)i.number[0], (float)i.number[1],
                                        nullptr, splat(0)};
                }
            }
            if (count) attend_together(queries, count, scores);
        }
    }
}

// write: 0 keys and values of tokens [R, 2, G, D], 1 the rows [R], 2 the positions [R] int64 they go to, 3 keys, 4 values
//        of the cache
//        sizes: R, G, D, distance of the tokens' rows; of the cache's rows, heads and columns; column of position 0
inline int64_t write_units(const Instruction &i) { return i.size[0]; }
inline double write_cost(const Instruction &i) { return 10 + i.size[1] * i.size[2] * 0.1; }
inline void write(const Instruction &i, int64_t first, int64_t last) {
    const int64_t groups = i.size[1], width = i.size[2];
    for (int64_t row = first; row < last; row++) {
        const float *from = i.as<float>(0) + row * i.size[3];
        const int64_t to = i.as<int64_t>(1)[row] * i.size[4] + (i.as<int64_t>(2)[row] + i.size[7]) * i.size[6];
        for (int64_t group = 0; group < groups; group++) {
            __builtin_memcpy(i.as<float>(3) + to + group * i.size[5], from + group * width, width * sizeof(float));
            __builtin_memcpy(i.as<float>(4) + to + group * i.size[5], from + (groups + group) * width, width * sizeof(float));
        }
    }
}

// copy: 0 cache, 1 which columns of one row go over another's, in their order [R, 4] int64: from, to, first, behind the last
//       sizes: R; planes, heads, D; distance of the cache's planes, rows, heads and columns
inline int64_t copy_units(const Instruction &i) { return i.size[0] ? i.size[1] * i.size[2] : 0; }
inline double copy_cost(const Instruction &i) { return i.size[0] * (10 + i.size[3] * 1.0); }
inline void copy(const Instruction &i, int64_t first, int64_t last) {
    for (int64_t unit = first; unit < last; unit++) {
        float *base = i.as<float>(0) + unit / i.size[2] * i.size[4] + unit % i.size[2] * i.size[6];
        const int64_t *copies = i.as<int64_t>(1);
        for (int64_t each = 0; each < i.size[0]; each++, copies += 4)
            for (int64_t column = copies[2]; column < copies[3]; column++)
                __builtin_memcpy(base + copies[1] * i.size[5] + column * i.size[7], base + copies[0] * i.size[5] + column * i.size[7],
                                 i.size[3] * sizeof(float));
    }
}
