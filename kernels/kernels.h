// Every kernel of one instruction set. Included where vectors and products of bytes are declared for it.
#include "quantize.h"
#include "elementwise.h"
#include "linear.h"
#include "attention.h"
#include "vocabulary.h"

#define KERNEL(name) {0, name##_units, name##_cost, name}
#define ELEMENTWISE(name) {1, name##_units, name##_cost, name}
inline const Kernel *table() {
    static const Kernel kernels[KERNELS] = {
        KERNEL(quantize), KERNEL(linear_int8), KERNEL(norm), ELEMENTWISE(apply), ELEMENTWISE(combine), KERNEL(embed),
        KERNEL(clamp), KERNEL(attend), KERNEL(write), KERNEL(best), KERNEL(top),
        KERNEL(linear), KERNEL(rotate), KERNEL(copy),
    };
    return kernels;
}
#undef KERNEL
#undef ELEMENTWISE
