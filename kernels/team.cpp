#include "team.h"

#include <atomic>
#include <pthread.h>
#include <sched.h>
#include <time.h>

namespace {

constexpr double WORTH_SHARING_NS = 1500; // of a kernel: a chunk changes hands in 200 to 300
constexpr double CHUNK_NS = 700;
constexpr int64_t CHUNKS_A_THREAD = 4;
constexpr double LONG_CHUNK_NS = 50000; // more of them then, so that nobody waits long for the last one
constexpr int64_t MOST_CHUNKS = 0xffff;
constexpr int64_t SPIN_NS = 1000000;
constexpr int64_t MOST_HELPERS = 255;

inline void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

int64_t now() {
    timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

class Team {
  public:
    void run(const Kernel *kernels, const Instruction *program, int64_t count, const int64_t *extents, int64_t threads) {
        const bool alone = threads < 2 || busy_.test_and_set(std::memory_order_acquire);
        if (!alone) wake(threads - 1);
        for (int64_t index = 0; index < count; index++) {
            Instruction instruction = program[index];
            const Kernel &kernel = kernels[instruction.kernel];
            int64_t &rows = instruction.size[kernel.rows];
            if (rows < 0) rows = extents[-rows - 1];
            const int64_t units = kernel.units(instruction);
            const double cost = alone ? 0 : units * kernel.cost(instruction);
            if (units < 2 || cost < WORTH_SHARING_NS) kernel.run(instruction, 0, units);
            else share(kernel, instruction, units, cost, threads);
        }
        if (!alone) busy_.clear(std::memory_order_release);
    }

  private:
    // The number of the work in hand, how many chunks it has, and the next one to take: 32, 16 and 16 bits. Whoever moves
    // the last of these owns a chunk, and what else is written here stays as it is until the chunk is done.
    std::atomic<uint64_t> ticket_{0};
    const Kernel *kernel_ = nullptr;
    const Instruction *instruction_ = nullptr;
    int64_t units_ = 0;
    alignas(64) std::atomic<int64_t> done_{0};
    alignas(64) std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
    std::atomic<int64_t> sleeping_{0};
    int64_t helpers_ = 0;
    pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t called_ = PTHREAD_COND_INITIALIZER;

    static uint64_t chunks(uint64_t ticket) { return ticket >> 16 & 0xffff; }
    static uint64_t next(uint64_t ticket) { return ticket & 0xffff; }

    void share(const Kernel &kernel, const Instruction &instruction, int64_t units, double cost, int64_t threads) {
        int64_t count = cost / CHUNK_NS, most = threads * CHUNKS_A_THREAD;
        if (cost > most * LONG_CHUNK_NS) most = cost / LONG_CHUNK_NS;
        if (most > MOST_CHUNKS) most = MOST_CHUNKS;
        if (count > most) count = most;
        if (count > units) count = units;
        kernel_ = &kernel, instruction_ = &instruction, units_ = units;
        done_.store(0, std::memory_order_relaxed);
        const uint64_t number = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
        ticket_.store(number << 32 | uint64_t(count) << 16, std::memory_order_release);
        call(); // who waited long for the last chunk of another sleeps
        while (help()) {}
        while (done_.load(std::memory_order_acquire) < count) pause();
    }

    bool help() {
        uint64_t ticket = ticket_.load(std::memory_order_acquire);
        while (next(ticket) < chunks(ticket)) {
            if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
            const int64_t chunk = next(ticket), count = chunks(ticket);
            kernel_->run(*instruction_, units_ * chunk / count, units_ * (chunk + 1) / count);
            done_.fetch_add(1, std::memory_order_release);
            return true;
        }
        return false;
    }

    void wake(int64_t wanted) {
        if (wanted > MOST_HELPERS) wanted = MOST_HELPERS;
        while (helpers_ < wanted) {
            pthread_t thread;
            if (pthread_create(&thread, nullptr, enter, this) != 0) break;
            pthread_detach(thread);
            helpers_++;
        }
        call();
    }

    void call() {
        if (sleeping_.load(std::memory_order_acquire) == 0) return;
        pthread_mutex_lock(&mutex_);
        pthread_cond_broadcast(&called_);
        pthread_mutex_unlock(&mutex_);
    }

    static void *enter(void *team) {
        static_cast<Team *>(team)->serve();
        return nullptr;
    }

    [[noreturn]] void serve() {
        int64_t since = now();
        for (int64_t idle = 0;; idle++) {
            if (help()) {
                idle = 0, since = now();
            } else if (idle % 256 != 255) {
                pause();
            } else if (now() - since < SPIN_NS) {
                sched_yield();
            } else {
                sleep();
                since = now();
            }
        }
    }

    void sleep() {
        pthread_mutex_lock(&mutex_);
        sleeping_.fetch_add(1);
        pthread_cond_wait(&called_, &mutex_);
        sleeping_.fetch_sub(1);
        pthread_mutex_unlock(&mutex_);
    }
};

} // namespace

void run_with_team(const Kernel *kernels, const Instruction *program, int64_t count, const int64_t *extents,
                   int64_t threads) {
    static Team *team = new Team; // never ends: its helpers may outlive every destructor
    team->run(kernels, program, count, extents, threads);
}
