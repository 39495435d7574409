// The plain C interface: which instruction sets there are, and running programs in one.
#include "processor.h"
#include "team.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

const Kernel *avx512_bf16_kernels();
const Kernel *avx512_kernels();
const Kernel *avxvnni_kernels();
const Kernel *avx2_kernels();
const Kernel *neon_kernels();

namespace {

struct Choice {
    const char *name;
    bool there;
    const Kernel *(*kernels)();
};

// Those that were compiled, the best first.
const Choice *choices(int64_t *count) {
#if defined(__x86_64__)
    static const Processor cpu;
    static const Choice found[] = {{"AVX512-BF16", cpu.avx512_bf16(), avx512_bf16_kernels},
                                   {"AVX512-VNNI", cpu.avx512_vnni(), avx512_kernels},
                                   {"AVX-VNNI", cpu.avx_vnni(), avxvnni_kernels},
                                   {"AVX2", cpu.avx2(), avx2_kernels}};
    *count = 4;
    return found;
#elif defined(__aarch64__)
#if defined(__linux__)
    const bool there = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#else
    const bool there = true; // every Mac with such a processor
#endif
    static const Choice found[] = {{"NEON with dot products", there, neon_kernels}};
    *count = 1;
    return found;
#else
    *count = 0;
    return nullptr;
#endif
}

} // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

// The name of the instruction set number `index` of those that this CPU has, the best first; nothing behind the last.
EXPORTED const char *triptych_instruction_set(int64_t index) {
    int64_t count;
    const Choice *all = choices(&count);
    for (int64_t each = 0; each < count; each++)
        if (all[each].there && index-- == 0) return all[each].name;
    return nullptr;
}

// Runs `count` instructions one after the other with the kernels of an instruction set that the CPU has, for `extents`
// where they do not say how many rows, each by `threads` threads at most. Returns how many were run: one that is not known
// ends it.
EXPORTED int64_t triptych_run(int64_t set, const Instruction *program, int64_t count, const int64_t *extents,
                              int64_t threads) {
    int64_t sets;
    const Choice *all = choices(&sets);
    for (int64_t each = 0; each < sets; each++) {
        if (!all[each].there || set-- != 0) continue;
        for (int64_t index = 0; index < count; index++)
            if (program[index].kernel < 0 || program[index].kernel >= KERNELS) count = index;
        run_with_team(all[each].kernels(), program, count, extents, threads);
        return count;
    }
    return 0;
}
