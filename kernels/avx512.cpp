// For CPUs with AVX-512 and its products of bytes (VNNI): Intel from Cascade Lake, AMD from Zen 4 on.
#include "instruction.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma,prefer-vector-width=512")
#endif

namespace avx512 {

typedef float Floats __attribute__((vector_size(64)));
inline Floats fused(Floats a, Floats b, Floats c) { return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }

#include "vectors.h"

constexpr int OFFSET = 128, TILE_ROWS = 6, SUMS = 24; // registers of sums; 4 of weights, 1 of inputs
typedef __m512i Four;
inline Four load_four(const uint8_t *from) {
    int32_t four;
    __builtin_memcpy(&four, from, sizeof four);
    return _mm512_set1_epi32(four);
}
inline Integers dot(Integers sums, Four four, Bytes weights) {
    return (Integers)_mm512_dpbusd_epi32((__m512i)sums, four, (__m512i)weights);
}

#include "kernels.h"

// Where the CPU multiplies pairs of bfloat16 by itself: AMD from Zen 4 on, Intel from Cooper Lake on.
struct Pairs : Widened {
    static constexpr double COST = 0.2;

    template <int COUNT, int BLOCKS>
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,fma"))) static void
    multiply(const Instruction &i, int64_t row, int64_t block) {
        const int64_t inputs = i.size[1], distance = i.size[6], panel = inputs * 16;
        const uint16_t *x = i.as<uint16_t>(0) + row * distance, *w = i.as<uint16_t>(2) + block * panel;
        F16 sums[COUNT][BLOCKS];
        for (int r = 0; r < COUNT; r++)
            for (int b = 0; b < BLOCKS; b++) sums[r][b] = F16{};
        for (int64_t k = 0; k < inputs; k += 2) {
            __m512bh weights[BLOCKS];
#pragma GCC unroll 4
            for (int b = 0; b < BLOCKS; b++) weights[b] = (__m512bh)_mm512_loadu_si512(w + b * panel + k * 16);
#pragma GCC unroll 8
            for (int r = 0; r < COUNT; r++) {
                int32_t pair;
                __builtin_memcpy(&pair, x + r * distance + k, sizeof pair);
                const __m512bh input = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
                for (int b = 0; b < BLOCKS; b++)
                    sums[r][b] = (F16)_mm512_dpbf16_ps((__m512)sums[r][b], input, weights[b]);
            }
        }
        finish(i, row, block, sums);
    }
};

} // namespace avx512

const Kernel *avx512_kernels() { return avx512::table(); }
const Kernel *avx512_bf16_kernels() { return avx512::table<avx512::Pairs>(); }

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
