// Runs the kernels on memory of the process at the other end of the pipes.
#include "instruction.h"
#include "memory.h"

#include <atomic>
#include <csignal>
#include <cstring>
#include <sys/mman.h>
#include <vector>

extern "C" const char *triptych_instruction_set(int64_t index);
extern "C" int64_t triptych_run(int64_t set, const Instruction *program, int64_t count, const int64_t *extents,
                                int64_t threads);

namespace {

struct Brought {
    char *page, *before;
};
constexpr int64_t MOST = 1 << 18; // pages that one program touches: memory cannot be asked for where it is missing
Brought brought[MOST];
int64_t count;
std::atomic_flag busy = ATOMIC_FLAG_INIT; // several threads may miss memory at once

void tell(decltype(Message::kind) kind, uint64_t value) {
    const Message message{kind, value};
    give(1, &message, sizeof message);
}

char *fresh() {
    void *found = mmap(nullptr, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (found == MAP_FAILED) abort();
    return static_cast<char *>(found);
}

void bring(int, siginfo_t *fault, void *) {
    char *page = reinterpret_cast<char *>(uint64_t(fault->si_addr) / PAGE * PAGE);
    while (busy.test_and_set(std::memory_order_acquire)) {}
    bool there = false;
    for (int64_t i = 0; i < count && !there; i++) there = brought[i].page == page; // by another thread, meanwhile
    if (!there) {
        if (count == MOST) abort();
        char *before = fresh(), *now = fresh(), found = 0;
        tell(Message::WANTED, uint64_t(page) ^ ELSEWHERE);
        if (!take(0, &found, 1) || !found || !take(0, before, PAGE)) {
            constexpr char text[] = "a kernel touches what is nobody's\n";
            (void)!write(2, text, sizeof text - 1);
            _exit(1);
        }
        memcpy(now, before, PAGE);
        if (mremap(now, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, page) != page) abort();
        brought[count++] = {page, before};
    }
    busy.clear(std::memory_order_release);
}

template <typename T> T *here(T *address) { return address ? reinterpret_cast<T *>(uint64_t(address) ^ ELSEWHERE) : nullptr; }

int64_t run(const Call &call) {
    const Instruction *there = here(reinterpret_cast<const Instruction *>(call.program));
    std::vector<Instruction> program(there, there + call.count);
    for (Instruction &instruction : program)
        for (void *&operand : instruction.at) operand = here(operand);
    const int64_t *extents = here(reinterpret_cast<const int64_t *>(call.extents));
    const int64_t done = triptych_run(call.set, program.data(), call.count, extents, call.threads);
    for (int64_t i = 0; i < count; i++) {
        const auto [page, before] = brought[i];
        if (memcmp(page, before, PAGE) != 0) {
            tell(Message::CHANGED, uint64_t(page) ^ ELSEWHERE);
            give(1, before, PAGE), give(1, page, PAGE);
        }
        munmap(page, PAGE), munmap(before, PAGE);
    }
    count = 0;
    return done;
}

} // namespace

int main() {
    struct sigaction action = {};
    action.sa_sigaction = bring;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, nullptr);
    for (Call call; take(0, &call, sizeof call);) {
        if (call.name) {
            const char *name = triptych_instruction_set(call.set);
            const size_t length = name ? strlen(name) : 0;
            tell(Message::DONE, length);
            give(1, name, length);
        } else {
            tell(Message::DONE, run(call));
        }
    }
}
