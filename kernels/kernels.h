// Every kernel of one instruction set. Included where vectors and products of bytes are declared for it.
#include "quantize.h"
#include "elementwise.h"
#include "linear.h"
#include "attention.h"
#include "vocabulary.h"
#include "shortlist.h"

#define KERNEL(name) {0, name##_units, name##_cost, name}
#define ELEMENTWISE(name) {1, name##_units, name##_cost, name}
#define PACKED(format) {0, packed_units, packed_cost<format>, packed<format>}

// `Products` are those of bfloat16.
template <typename Products = Widened> inline const Kernel *table() {
    static const Kernel kernels[KERNELS] = {
        KERNEL(quantize), PACKED(Int8), KERNEL(norm), ELEMENTWISE(apply), ELEMENTWISE(combine), KERNEL(embed),
        KERNEL(clamp), KERNEL(attend), KERNEL(write), KERNEL(best), KERNEL(top),
        KERNEL(linear), KERNEL(rotate), KERNEL(copy),
        KERNEL(round), PACKED(Float32), PACKED(Products), KERNEL(shortlist),
    };
    return kernels;
}
#undef KERNEL
#undef ELEMENTWISE
#undef PACKED
