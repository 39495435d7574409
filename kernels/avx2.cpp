// For CPUs with AVX2 and no products of bytes that are summed in 32 bits: Intel from Haswell, AMD from Excavator on.
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

constexpr int OFFSET = 0, TILE_ROWS = 4, SUMS = 8; // registers of sums; 2 of weights, 2 of inputs, 1 of ones, 3 in between
struct Four {
    __m256i values, magnitudes;
};
inline Four load_four(const uint8_t *from) {
    int32_t four;
    __builtin_memcpy(&four, from, sizeof four);
    const __m256i values = _mm256_set1_epi32(four);
    return {values, _mm256_abs_epi8(values)};
}
// The products are of unsigned bytes with signed ones, in sums of two that saturate beyond 32767: magnitudes of 127 at
// most, with the signs moved to the weights, stay below it.
inline Integers dot(Integers sums, const Four &four, Bytes weights) {
    const __m256i twos = _mm256_maddubs_epi16(four.magnitudes, _mm256_sign_epi8((__m256i)weights, four.values));
    return sums + (Integers)_mm256_madd_epi16(twos, _mm256_set1_epi16(1));
}

#include "kernels.h"

} // namespace avx2

const Kernel *avx2_kernels() { return avx2::table(); }

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
