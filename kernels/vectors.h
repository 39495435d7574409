// Sixteen floats or integers at a time, in the compiler's own vector types: one register of AVX-512, two of AVX2, four
// of NEON. Included once for each instruction set, in a namespace and with a target of its own.

typedef float F16 __attribute__((vector_size(64)));
typedef float F8 __attribute__((vector_size(32)));
typedef float F4 __attribute__((vector_size(16)));
typedef int32_t I16 __attribute__((vector_size(64)));
typedef int8_t B16 __attribute__((vector_size(16)));

inline F16 load(const float *from) {
    F16 value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}

inline I16 load(const int32_t *from) {
    I16 value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}

inline void store(float *to, F16 value) { __builtin_memcpy(to, &value, sizeof value); }

// The first `count` of sixteen; what lies behind them is not touched.
inline F16 load_some(const float *from, int64_t count, float otherwise) {
    float values[16];
    for (int i = 0; i < 16; i++) values[i] = i < count ? from[i] : otherwise;
    return load(values);
}

inline void store_some(float *to, F16 value, int64_t count) {
    float values[16];
    store(values, value);
    for (int64_t i = 0; i < count; i++) to[i] = values[i];
}

inline F16 splat(float value) {
    return F16{value, value, value, value, value, value, value, value,
               value, value, value, value, value, value, value, value};
}

inline I16 bits(F16 value) { return (I16)value; }
inline F16 floats(I16 value) { return (F16)value; }
inline F16 larger(F16 a, F16 b) { return a > b ? a : b; }
inline F16 smaller(F16 a, F16 b) { return a < b ? a : b; }
inline F16 magnitude(F16 value) { return floats(bits(value) & 0x7fffffff); }

// To the nearest integer, of two the even one; for magnitudes below 2^22.
inline F16 rounded(F16 value) {
    const F16 magic = splat(12582912.0f);
    return (value + magic) - magic;
}

inline float sum(F16 v) {
    F8 eight = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
               __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    F4 four = __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

inline float largest(F16 v) {
    F8 low = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
    F8 high = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    F8 eight = low > high ? low : high;
    F4 left = __builtin_shufflevector(eight, eight, 0, 1, 2, 3), right = __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
    F4 four = left > right ? left : right;
    float a = four[0] > four[1] ? four[0] : four[1], b = four[2] > four[3] ? four[2] : four[3];
    return a > b ? a : b;
}

// Sums of the halves of each half of a, then of b, and so on: sixteen vectors folded four times are sixteen sums.
template <int SIZE> inline F16 folded(F16 a, F16 b) {
    if constexpr (SIZE == 16) {
        return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    } else if constexpr (SIZE == 8) {
        return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
               __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    } else if constexpr (SIZE == 4) {
        return __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) +
               __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
    } else {
        return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
               __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    }
}

// The sums of sixteen vectors.
inline F16 sums(const F16 (&v)[16]) {
    F16 eight[8], four[4], two[2];
    for (int j = 0; j < 8; j++) eight[j] = folded<16>(v[2 * j], v[2 * j + 1]);
    for (int j = 0; j < 4; j++) four[j] = folded<8>(eight[2 * j], eight[2 * j + 1]);
    for (int j = 0; j < 2; j++) two[j] = folded<4>(four[2 * j], four[2 * j + 1]);
    return folded<2>(two[0], two[1]);
}

inline float product(const float *a, const float *b, int64_t width) {
    F16 total = splat(0);
    int64_t d = 0;
    for (; d + 16 <= width; d += 16) total = fused(load(a + d), load(b + d), total);
    if (d < width) total = fused(load_some(a + d, width - d, 0), load_some(b + d, width - d, 0), total);
    return sum(total);
}

// Cephes' expf, 2^n times a polynomial of what is left, from about -87.3 to 88.3, and below as there; relative error below
// 2e-7. NaN stays NaN.
inline F16 exponential_above(F16 x) {
    const F16 magic = splat(12582912.0f); // the sum's lowest bits are n
    const F16 bounded = larger(splat(-87.3f), x), sum = fused(bounded, splat(1.44269504088896341f), magic), n = sum - magic;
    F16 r = fused(n, splat(-0.693359375f), bounded);
    r = fused(n, splat(2.12194440e-4f), r);
    F16 p = splat(1.9875691500e-4f);
    p = fused(p, r, splat(1.3981999507e-3f));
    p = fused(p, r, splat(8.3334519073e-3f));
    p = fused(p, r, splat(4.1665795894e-2f));
    p = fused(p, r, splat(1.6666665459e-1f));
    p = fused(p, r, splat(5.0000001201e-1f));
    p = fused(p, r * r, r + splat(1.0f));
    return floats(bits(p) + (bits(sum) << 23));
}

// Of any number: 0 below -87.3.
inline F16 exponential(F16 x) {
    const F16 value = exponential_above(smaller(splat(88.3f), x));
    return x < splat(-87.3f) ? splat(0.0f) : x == x ? value : x;
}
