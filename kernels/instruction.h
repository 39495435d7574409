// A call of a kernel as it is written down: which one, where its operands lie, and numbers. What each kernel makes of
// them stands above it; `models/native/instructions.py` says the same to Python.
#pragma once

#include <cstdint>

//
// A program may be run for any number of rows: where the size that says how many is -1, -2, ... it is the first, second,
// ... of the extents that the program is run with.
struct Instruction {
    int64_t kernel;
    void *at[8];
    int64_t size[13];
    double number[2];

    template <typename T> T *as(int operand) const { return static_cast<T *>(at[operand]); }
};

// A kernel's work falls into units that do not depend on each other: rows, heads, blocks of columns.
struct Kernel {
    int64_t rows; // which of the sizes says how many rows there are
    int64_t (*units)(const Instruction &);
    double (*cost)(const Instruction &); // nanoseconds of one unit, roughly: decides whether it is shared
    void (*run)(const Instruction &, int64_t first, int64_t last);
};

enum KernelName {
    QUANTIZE, LINEAR_INT8, NORM, APPLY, COMBINE, EMBED, CLAMP, ATTEND, WRITE, BEST, TOP, LINEAR, ROTATE, COPY,
    ROUND, LINEAR_FLOAT32, LINEAR_BFLOAT16, SHORTLIST, KERNELS
};
enum Function { NONE, RELU, GELU, GELU_TANH, SILU, SIGMOID, TANH, SCALE, CAP };
enum Combination { ADD, MULTIPLY };
