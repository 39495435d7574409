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

} // namespace avx512

const Kernel *avx512_kernels() { return avx512::table(); }

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
