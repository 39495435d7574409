// For CPUs with AVX2 and no products of bytes: Intel from Haswell, AMD from Excavator on. Bytes are widened, so that
// sums are as exact as elsewhere.
#include "instruction.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

namespace avx2 {

#include "halves.h"

constexpr int OFFSET = 128, TILE_ROWS = 4, TILE_BLOCKS = 1; // 8 registers of sums, 4 of weights, 2 of inputs
struct Weights {
    __m256i even[2], odd[2];
};
struct Four {
    __m256i even, odd;
};
inline Weights load_weights(const int8_t *from) {
    Weights weights;
    for (int half = 0; half < 2; half++) {
        const __m256i bytes = _mm256_loadu_si256((const __m256i *)(from + half * 32));
        weights.even[half] = _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8);
        weights.odd[half] = _mm256_srai_epi16(bytes, 8);
    }
    return weights;
}
inline Four load_four(const uint8_t *from) {
    int32_t four;
    __builtin_memcpy(&four, from, sizeof four);
    return {_mm256_set1_epi32(four & 0x00ff00ff), _mm256_set1_epi32((uint32_t)four >> 8 & 0x00ff00ff)};
}
inline I16 dot(I16 sums, const Four &four, const Weights &weights) {
    __m256i halves[2];
    __builtin_memcpy(halves, &sums, sizeof sums);
    for (int half = 0; half < 2; half++) {
        halves[half] = _mm256_add_epi32(halves[half], _mm256_madd_epi16(four.even, weights.even[half]));
        halves[half] = _mm256_add_epi32(halves[half], _mm256_madd_epi16(four.odd, weights.odd[half]));
    }
    __builtin_memcpy(&sums, halves, sizeof sums);
    return sums;
}

#include "kernels.h"

} // namespace avx2

const Kernel *avx2_kernels() { return avx2::table(); }

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
