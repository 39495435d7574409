// For CPUs with products of bytes (VNNI) for AVX2 and no AVX-512: Intel from Alder Lake on.
#include "instruction.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avxvnni"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,avxvnni")
#endif

namespace avxvnni {

#include "halves.h"

constexpr int OFFSET = 128, TILE_ROWS = 6, TILE_BLOCKS = 1; // 12 registers of sums, 2 of weights, 1 of inputs
struct Weights {
    __m256i half[2];
};
typedef __m256i Four;
inline Weights load_weights(const int8_t *from) {
    return {{_mm256_loadu_si256((const __m256i *)from), _mm256_loadu_si256((const __m256i *)(from + 32))}};
}
inline Four load_four(const uint8_t *from) {
    int32_t four;
    __builtin_memcpy(&four, from, sizeof four);
    return _mm256_set1_epi32(four);
}
inline I16 dot(I16 sums, Four four, const Weights &weights) {
    __m256i halves[2];
    __builtin_memcpy(halves, &sums, sizeof sums);
    for (int half = 0; half < 2; half++) halves[half] = _mm256_dpbusd_avx_epi32(halves[half], four, weights.half[half]);
    __builtin_memcpy(&sums, halves, sizeof sums);
    return sums;
}

#include "kernels.h"

} // namespace avxvnni

const Kernel *avxvnni_kernels() { return avxvnni::table(); }

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
