// What the processor has and the operating system keeps for each thread. It is asked here, as the compilers' own question,
// __builtin_cpu_supports, knows no AVX-VNNI in some and answers no to everything in others.
#pragma once

#if defined(__x86_64__)
#include <cpuid.h>

struct Processor {
    unsigned basic = 0, ebx = 0, ecx = 0, eax = 0, kept = 0; // words of CPUID's leaves 1, 7 and 7.1, and XCR0

    Processor() {
        unsigned a, b, c, d;
        if (!__get_cpuid(1, &a, &b, &basic, &d) || !(basic >> 27 & 1)) return; // OSXSAVE
        asm("xgetbv" : "=a"(kept), "=d"(d) : "c"(0));
        if (!__get_cpuid_count(7, 0, &a, &ebx, &ecx, &d)) return;
        if (a >= 1) __get_cpuid_count(7, 1, &eax, &b, &c, &d);
    }
    bool avx2() const { return (kept & 0x06) == 0x06 && basic >> 12 & 1 && ebx >> 5 & 1; } // with FMA
    bool avx_vnni() const { return avx2() && eax >> 4 & 1; }
    bool avx512_bf16() const { return avx512_vnni() && eax >> 5 & 1; } // with VNNI
    bool avx512_vnni() const { // F, DQ, BW and VL
        constexpr unsigned wide = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
        return avx2() && (kept & 0xe6) == 0xe6 && (ebx & wide) == wide && ecx >> 11 & 1;
    }
};
#endif
