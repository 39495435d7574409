// A register of AVX2: eight numbers.
typedef float Floats __attribute__((vector_size(32)));
inline Floats fused(Floats a, Floats b, Floats c) { return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }

#include "vectors.h"
