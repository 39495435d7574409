// Threads that share kernels' work with the one that runs a program.
//
// The leader goes through the program alone. A kernel that is worth it is cut into chunks, and whoever is free takes the
// next one: a helper that sleeps, or whose core does something else, is not waited for. Helpers spin while a program
// runs and for a moment after it, then sleep.
#pragma once

#include "instruction.h"

void run_with_team(const Kernel *kernels, const Instruction *program, int64_t count, const int64_t *extents,
                   int64_t threads);
