// Sixteen floats or integers at a time: one register of AVX-512, a pair of AVX2's, a pair of pairs of NEON's. Each set of
// instructions declares its register, `Floats`, and products that round once, `fused`, and includes this once, in a
// namespace and with a target of its own. Everything is done to sixteen in the same order, whatever a register holds.
//
// The compilers have vectors of any size, but GCC takes those that are wider than a register apart through memory.

constexpr int LANES = sizeof(Floats) / sizeof(float), REGISTERS = 16 / LANES;

typedef int32_t Integers __attribute__((vector_size(sizeof(Floats))));
typedef int8_t Bytes __attribute__((vector_size(sizeof(Floats))));
typedef int8_t Narrow __attribute__((vector_size(LANES))); // a byte for each number of a register
typedef int16_t Halves __attribute__((vector_size(2 * LANES)));
typedef float V16 __attribute__((vector_size(64)));
typedef float V8 __attribute__((vector_size(32)));
typedef float V4 __attribute__((vector_size(16)));

template <typename V> struct Pair {
    V low, high;
};
template <typename V, int COUNT = REGISTERS> struct Several {
    typedef Pair<typename Several<V, COUNT / 2>::type> type;
};
template <typename V> struct Several<V, 1> {
    typedef V type;
};
typedef Several<Floats>::type F16;
typedef Several<Integers>::type I16;
typedef Several<Bytes>::type B64; // the bytes of sixteen products of four
typedef Several<Narrow>::type B16;
typedef Several<Halves>::type H16;

#define OPERATOR(op)                                                                                                       \
    template <typename V> inline auto operator op(Pair<V> a, Pair<V> b)->Pair<decltype(a.low op b.low)> {                  \
        return {a.low op b.low, a.high op b.high};                                                                         \
    }                                                                                                                      \
    template <typename V, typename S> inline Pair<V> operator op(Pair<V> a, S b) { return {a.low op b, a.high op b}; }
OPERATOR(+)
OPERATOR(-)
OPERATOR(*)
OPERATOR(/)
OPERATOR(&)
OPERATOR(^)
OPERATOR(<<)
OPERATOR(>>)
OPERATOR(<)
OPERATOR(>)
OPERATOR(==)
#undef OPERATOR
template <typename V> inline Pair<V> operator-(Pair<V> a) { return {-a.low, -a.high}; }
template <typename V, typename S> inline Pair<V> operator*(S a, Pair<V> b) { return {a * b.low, a * b.high}; }
template <typename V, typename S> inline Pair<V> &operator+=(Pair<V> &a, S b) { return a = a + b; }
template <typename V, typename S> inline Pair<V> &operator*=(Pair<V> &a, S b) { return a = a * b; }

// What a register does, pairs do.
inline Integers bits(Floats value) { return (Integers)value; }
inline Floats floats(Integers value) { return (Floats)value; }
inline Integers whole(Floats value) { return __builtin_convertvector(value, Integers); }
inline Floats decimal(Integers value) { return __builtin_convertvector(value, Floats); }
inline Narrow narrow(Integers value) { return __builtin_convertvector(value, Narrow); }
inline Halves halved(Integers value) { return __builtin_convertvector(value, Halves); }
inline Floats chosen(Integers which, Floats a, Floats b) { return which ? a : b; }
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
inline Floats smaller(Floats a, Floats b) { return a < b ? a : b; }

#define OF_ONE(name)                                                                                                       \
    template <typename V> inline auto name(Pair<V> a)->Pair<decltype(name(a.low))> { return {name(a.low), name(a.high)}; }
#define OF_TWO(name)                                                                                                       \
    template <typename V> inline Pair<V> name(Pair<V> a, Pair<V> b) { return {name(a.low, b.low), name(a.high, b.high)}; }
OF_ONE(bits)
OF_ONE(floats)
OF_ONE(whole)
OF_ONE(decimal)
OF_ONE(narrow)
OF_ONE(halved)
OF_TWO(larger)
OF_TWO(smaller)
#undef OF_ONE
#undef OF_TWO
template <typename V, typename M> inline Pair<V> chosen(Pair<M> which, Pair<V> a, Pair<V> b) {
    return {chosen(which.low, a.low, b.low), chosen(which.high, a.high, b.high)};
}
template <typename V> inline Pair<V> fused(Pair<V> a, Pair<V> b, Pair<V> c) {
    return {fused(a.low, b.low, c.low), fused(a.high, b.high, c.high)};
}

// Register by register: a pair that is copied as a whole goes through memory.
template <typename V, typename T> inline void get(V &value, const T *from) { __builtin_memcpy(&value, from, sizeof value); }
template <typename V, typename T> inline void get(Pair<V> &value, const T *from) {
    get(value.low, from), get(value.high, from + sizeof(V) / sizeof(T));
}
template <typename V, typename T> inline void put(T *to, V value) { __builtin_memcpy(to, &value, sizeof value); }
template <typename V, typename T> inline void put(T *to, Pair<V> value) {
    put(to, value.low), put(to + sizeof(V) / sizeof(T), value.high);
}

inline F16 load(const float *from) {
    F16 value;
    get(value, from);
    return value;
}

inline I16 load(const int32_t *from) {
    I16 value;
    get(value, from);
    return value;
}

inline void store(float *to, F16 value) { put(to, value); }

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

inline void fill(Floats &all, float value) { all = value - Floats{}; } // keeps the sign of a zero
template <typename V> inline void fill(Pair<V> &all, float value) { fill(all.low, value), all.high = all.low; }
inline F16 splat(float value) {
    F16 all;
    fill(all, value);
    return all;
}

inline F16 magnitude(F16 value) { return floats(bits(value) & 0x7fffffff); }

// To the nearest integer, of two the even one; for magnitudes below 2^22.
inline F16 rounded(F16 value) {
    const F16 magic = splat(12582912.0f);
    return (value + magic) - magic;
}

// Sixteen are folded to eight, to four, to two and to one: always a half onto the other.
inline float sum(V4 v) { return (v[0] + v[2]) + (v[1] + v[3]); }
inline float sum(V8 v) {
    return sum(__builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7));
}
inline float sum(V16 v) {
    return sum(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
               __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
}
template <typename V> inline float sum(Pair<V> v) { return sum(v.low + v.high); }

inline float largest(V4 v) {
    const float a = v[0] > v[1] ? v[0] : v[1], b = v[2] > v[3] ? v[2] : v[3];
    return a > b ? a : b;
}
inline float largest(V8 v) {
    V4 low = __builtin_shufflevector(v, v, 0, 1, 2, 3), high = __builtin_shufflevector(v, v, 4, 5, 6, 7);
    return largest(low > high ? low : high);
}
inline float largest(V16 v) {
    V8 low = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
    V8 high = __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    return largest(low > high ? low : high);
}
template <typename V> inline float largest(Pair<V> v) { return largest(larger(v.low, v.high)); }

inline Floats to_register(Floats v) { return v; }
template <typename V> inline Floats to_register(Pair<V> v) { return to_register(v.low + v.high); }

// Sums of the halves of each half of a, then of b, and so on, down to halves of so many.
template <int SIZE, typename V> inline V folded(V a, V b) {
    constexpr int ALL = sizeof(V) / 4;
    if constexpr (ALL == 16 && SIZE == 16) {
        return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    } else if constexpr (ALL == 16 && SIZE == 8) {
        return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
               __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    } else if constexpr (ALL == 16 && SIZE == 4) {
        return __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) +
               __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
    } else if constexpr (ALL == 16) {
        return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
               __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    } else if constexpr (ALL == 8 && SIZE == 8) {
        return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11) +
               __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
    } else if constexpr (ALL == 8 && SIZE == 4) {
        return __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13) +
               __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15);
    } else if constexpr (ALL == 8) {
        return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14) +
               __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
    } else if constexpr (SIZE == 4) {
        return __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
    } else {
        return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
    }
}

// The sums of as many registers as one has numbers.
template <typename V, int COUNT> inline V sums(const V (&v)[COUNT]) {
    if constexpr (COUNT == 2) {
        return folded<2>(v[0], v[1]);
    } else {
        V half[COUNT / 2];
        for (int j = 0; j < COUNT / 2; j++) half[j] = folded<COUNT>(v[2 * j], v[2 * j + 1]);
        return sums(half);
    }
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
    return chosen(x < splat(-87.3f), splat(0.0f), chosen(x == x, value, x));
}
