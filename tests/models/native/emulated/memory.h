// What the process with the tensors and the emulated one with the kernels tell each other over a pair of pipes.
//
// The kernels see the memory of the other process at its addresses with one bit, ELSEWHERE, turned over, where neither the
// emulator nor what it runs has any: a page is brought when it is first touched, and when a
// program has run, the bytes that have changed are brought back. What is no memory there is none here.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <unistd.h>

constexpr uint64_t ELSEWHERE = uint64_t(1) << 46, PAGE = 4096;

struct Call {
    int64_t set, name, count, threads; // `name` is 1 to ask for the name of the set alone
    uint64_t program, extents;
};
struct Message {
    enum { WANTED, CHANGED, DONE } kind;
    uint64_t value; // the address of a page, or what the call returns
};

inline void give(int to, const void *data, size_t size) {
    for (auto from = static_cast<const char *>(data); size > 0;) {
        const ssize_t done = write(to, from, size);
        if (done <= 0) abort();
        from += done, size -= done;
    }
}

inline bool take(int from, void *data, size_t size) {
    for (auto to = static_cast<char *>(data); size > 0;) {
        const ssize_t done = read(from, to, size);
        if (done <= 0) return false;
        to += done, size -= done;
    }
    return true;
}
