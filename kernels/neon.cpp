// For ARM with products of bytes: Cortex-A76, Neoverse N1, Apple M1 and all that came after them.
#include "instruction.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

namespace neon {

typedef float Floats __attribute__((vector_size(16)));
inline Floats fused(Floats a, Floats b, Floats c) { return (Floats)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }

#include "vectors.h"

constexpr int OFFSET = 0, TILE_ROWS = 5, SUMS = 20; // registers of sums; 4 of weights, 1 of inputs
typedef int8x16_t Four;
inline Four load_four(const uint8_t *from) {
    int32_t four;
    __builtin_memcpy(&four, from, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
inline Integers dot(Integers sums, Four four, Bytes weights) {
    return (Integers)vdotq_s32((int32x4_t)sums, (int8x16_t)weights, four);
}

#include "kernels.h"

} // namespace neon

const Kernel *neon_kernels() { return neon::table(); }

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
