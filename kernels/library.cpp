// The plain C interface: which instruction set there is, and running programs in it.
#include "team.h"

const Kernel *avx512_kernels();

namespace {

struct Choice {
    const char *name;
    const Kernel *kernels;
};

Choice choose() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return {"AVX512-VNNI", avx512_kernels()};
#endif
    return {nullptr, nullptr};
}

const Choice &choice() {
    static const Choice chosen = choose();
    return chosen;
}

} // namespace

extern "C" {

// The instruction set that kernels are there for, or nothing.
__attribute__((visibility("default"))) const char *triptych_instruction_set() { return choice().name; }

// Runs `count` instructions one after the other, for `extents` where they do not say how many rows, each by `threads`
// threads at most. Returns how many were run: one that is not known ends it.
__attribute__((visibility("default"))) int64_t triptych_run(const Instruction *program, int64_t count,
                                                            const int64_t *extents, int64_t threads) {
    for (int64_t index = 0; index < count; index++)
        if (program[index].kernel < 0 || program[index].kernel >= KERNELS) count = index;
    if (choice().kernels == nullptr) return 0;
    run_with_team(choice().kernels, program, count, extents, threads);
    return count;
}
}
