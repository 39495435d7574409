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

constexpr int OFFSET = 128, TILE_ROWS = 6, SUMS = 12; // registers of sums; 2 of weights, 1 of inputs
typedef __m256i Four;
inline Four load_four(const uint8_t *from) {
    int32_t four;
    __builtin_memcpy(&four, from, sizeof four);
    return _mm256_set1_epi32(four);
}
inline Integers dot(Integers sums, Four four, Bytes weights) {
    return (Integers)_mm256_dpbusd_avx_epi32((__m256i)sums, four, (__m256i)weights);
}

#include "kernels.h"

} // namespace avxvnni

const Kernel *avxvnni_kernels() { return avxvnni::table(); }

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
