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

// Sixteen numbers in four registers.
typedef float F16 __attribute__((vector_size(64)));
typedef int32_t I16 __attribute__((vector_size(64)));

inline F16 fused(F16 a, F16 b, F16 c) {
    float32x4_t x[4], y[4], z[4];
    __builtin_memcpy(x, &a, sizeof a);
    __builtin_memcpy(y, &b, sizeof b);
    __builtin_memcpy(z, &c, sizeof c);
    for (int part = 0; part < 4; part++) z[part] = vfmaq_f32(z[part], x[part], y[part]);
    __builtin_memcpy(&c, z, sizeof c);
    return c;
}

constexpr int OFFSET = 0, TILE_ROWS = 5, TILE_BLOCKS = 1; // 20 registers of sums, 4 of weights, 1 of inputs
struct Weights {
    int8x16_t part[4];
};
typedef int8x16_t Four;
inline Weights load_weights(const int8_t *from) {
    return {{vld1q_s8(from), vld1q_s8(from + 16), vld1q_s8(from + 32), vld1q_s8(from + 48)}};
}
inline Four load_four(const uint8_t *from) {
    int32_t four;
    __builtin_memcpy(&four, from, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
inline I16 dot(I16 sums, Four four, const Weights &weights) {
    int32x4_t parts[4];
    __builtin_memcpy(parts, &sums, sizeof sums);
    for (int part = 0; part < 4; part++) parts[part] = vdotq_s32(parts[part], weights.part[part], four);
    __builtin_memcpy(&sums, parts, sizeof sums);
    return sums;
}

#include "kernels.h"

} // namespace neon

const Kernel *neon_kernels() { return neon::table(); }

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
