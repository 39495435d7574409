// The library's interface, with the kernels for AVX-VNNI and no question whether the CPU has it.
#include "team.h"

const Kernel *avxvnni_kernels();

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED const char *triptych_instruction_set(int64_t index) { return index == 0 ? "AVX-VNNI" : nullptr; }

EXPORTED int64_t triptych_run(int64_t, const Instruction *program, int64_t count, const int64_t *extents,
                                int64_t threads) {
    run_with_team(avxvnni_kernels(), program, count, extents, threads);
    return count;
}
