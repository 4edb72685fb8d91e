/// \file support/machine.hpp
/// The machine under the benchmark: what it is, what it takes from us, and what it cannot do better.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace brook::bench {

/// Lets the compiler believe that everything reachable from `what` is looked at.
inline void keep(const void* what) noexcept { asm volatile("" : : "r"(what) : "memory"); }

/// A number that the compiler knows nothing about.
[[nodiscard]] inline std::uint32_t hidden(std::uint32_t value) noexcept {
    asm volatile("" : "+r"(value));
    return value;
}

inline void relax() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

[[nodiscard]] inline std::uint64_t nanoseconds_now() noexcept {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

/// Keeps the calling thread on one core, by its number among those the process may use, as long as it lives; where
/// there are fewer, on none. Not for longer: threads that are started meanwhile, a broker's upkeep among them, inherit it.
class pinned {
public:
    explicit pinned(unsigned number) noexcept {
        const cpu_set_t& all = allowed();
        for (int core = 0; core < CPU_SETSIZE; ++core) {
            if (CPU_ISSET(core, &all) && number-- == 0) {
                cpu_set_t one;
                CPU_ZERO(&one);
                CPU_SET(core, &one);
                static_cast<void>(::sched_setaffinity(0, sizeof one, &one));  // without it: as the scheduler likes
                return;
            }
        }
    }
    pinned(const pinned&) = delete;
    pinned& operator=(const pinned&) = delete;
    ~pinned() { static_cast<void>(::sched_setaffinity(0, sizeof(cpu_set_t), &allowed())); }

private:
    /// As it was when the program began.
    [[nodiscard]] static const cpu_set_t& allowed() noexcept {
        static const cpu_set_t mask = [] {
            cpu_set_t now;
            CPU_ZERO(&now);
            static_cast<void>(::sched_getaffinity(0, sizeof now, &now));
            return now;
        }();
        return mask;
    }
};

/// "AMD EPYC-Milan Processor, 2 cores, 23 GiB | Linux 6.18.0 | g++ 12.2.0"
[[nodiscard]] inline std::string machine_line() {
    std::string processor = "unknown processor";
    std::ifstream cpuinfo{"/proc/cpuinfo"};
    for (std::string line; std::getline(cpuinfo, line);) {
        if (line.starts_with("model name")) {
            processor = line.substr(line.find(':') + 2);
            break;
        }
    }
    utsname system{};
    ::uname(&system);
    const auto memory = static_cast<unsigned long long>(::sysconf(_SC_PHYS_PAGES)) * static_cast<unsigned long long>(::sysconf(_SC_PAGESIZE));
#if defined(__clang__)
    const std::string compiler = std::string{"clang++ "} + __clang_version__;
#else
    const std::string compiler = std::string{"g++ "} + __VERSION__;
#endif
    return processor + ", " + std::to_string(::sysconf(_SC_NPROCESSORS_ONLN)) + " cores, " + std::to_string(memory >> 30) + " GiB | " +
           system.sysname + ' ' + system.release + " | " + compiler;
}

[[nodiscard]] inline std::string filesystem_name(const std::string& directory) {
    struct statfs status {};
    if (::statfs(directory.c_str(), &status) != 0) {
        return "no file system that can be asked";
    }
    switch (static_cast<std::uint64_t>(status.f_type)) {  // linux/magic.h
        case 0xEF53: return "ext4";
        case 0x58465342: return "XFS";
        case 0x01021994: return "tmpfs";
        case 0x794C7630: return "overlayfs";
        case 0x9123683E: return "btrfs";
        default: return "a file system of type " + std::to_string(status.f_type);
    }
}

/// Touches as many bytes as a measurement will write and gives them back, so that no run pays for memory that the host
/// has taken away meanwhile (a first touch then costs three to five times as much).
inline void warm_memory(std::uint64_t size) noexcept {
    void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return;
    }
    auto* const data = static_cast<volatile unsigned char*>(memory);
    for (std::uint64_t at = 0; at < size; at += 4096) {
        data[at] = 1;
    }
    ::munmap(memory, size);
}

/// What the machine takes from a thread that does nothing but look at the clock.
struct jitter {
    double stolen = 0;            ///< part of the time
    double gap_p50 = 0;           ///< ns, of the gaps of a microsecond or more
    double gap_max = 0;
};

[[nodiscard]] inline jitter measure_jitter(std::chrono::milliseconds duration) {
    std::vector<std::uint64_t> gaps;
    gaps.reserve(1 << 16);
    const std::uint64_t begin = nanoseconds_now();
    const std::uint64_t end = begin + static_cast<std::uint64_t>(duration.count()) * 1'000'000;
    std::uint64_t stolen = 0;
    for (std::uint64_t before = begin; before < end;) {
        const std::uint64_t now = nanoseconds_now();
        if (now - before >= 1'000 && gaps.size() < gaps.capacity()) {
            gaps.push_back(now - before);
            stolen += now - before;
        }
        before = now;
    }
    jitter found;
    found.stolen = static_cast<double>(stolen) / static_cast<double>(end - begin);
    if (!gaps.empty()) {
        std::sort(gaps.begin(), gaps.end());
        found.gap_p50 = static_cast<double>(gaps[gaps.size() / 2]);
        found.gap_max = static_cast<double>(gaps.back());
    }
    return found;
}

/// One cache line from core to core and back, half of it: no hand-over between threads is faster.
[[nodiscard]] inline double measure_line_handover(std::uint32_t trips) {
    struct alignas(128) word {
        std::atomic<std::uint32_t> value{0};
    };
    word there;
    word back;
    std::thread other{[&] {
        const pinned other_core{1};
        for (std::uint32_t i = 1; i <= trips; ++i) {
            while (there.value.load(std::memory_order_acquire) != i) {
            }
            back.value.store(i, std::memory_order_release);
        }
    }};
    const pinned this_core{0};
    const std::uint64_t begin = nanoseconds_now();
    for (std::uint32_t i = 1; i <= trips; ++i) {
        there.value.store(i, std::memory_order_release);
        while (back.value.load(std::memory_order_acquire) != i) {
        }
    }
    const std::uint64_t taken = nanoseconds_now() - begin;
    other.join();
    return static_cast<double>(taken) / trips / 2;
}

/// What every figure of the same output is read against.
struct baselines {
    jitter taken;
    double line_handover = 0;  ///< ns, as all that follow
    double memcpy_104 = 0;     ///< of 104 B into memory that is there
    double page_fault = 0;
};

[[nodiscard]] inline baselines measure_baselines(bool is_smoke) {
    const std::size_t size = is_smoke ? std::size_t{4} << 20 : std::size_t{128} << 20;
    baselines found;
    warm_memory(size);
    void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) {
        char* const data = static_cast<char*>(memory);
        std::uint64_t begin = nanoseconds_now();
        for (std::size_t at = 0; at < size; at += 4096) {
            data[at] = 1;
        }
        found.page_fault = static_cast<double>(nanoseconds_now() - begin) / (static_cast<double>(size) / 4096);
        const std::array<char, 104> record{};
        const std::uint32_t bytes = hidden(104);
        begin = nanoseconds_now();
        for (std::size_t at = 0; at + bytes <= size; at += bytes) {
            std::memcpy(data + at, record.data(), bytes);
        }
        found.memcpy_104 = static_cast<double>(nanoseconds_now() - begin) / (static_cast<double>(size) / bytes);
        keep(data);
        ::munmap(memory, size);
    }
    found.taken = measure_jitter(std::chrono::milliseconds{is_smoke ? 20 : 500});
    found.line_handover = measure_line_handover(is_smoke ? 2'000 : 200'000);
    return found;
}

inline void print(const baselines& found) {
    std::printf("baselines: stolen %.1f %% of the time, gaps p50 %.1f us max %.1f us | cache line core to core %.0f ns | memcpy of 104 B "
                "into touched memory %.1f ns | page fault %.0f ns\n",
                found.taken.stolen * 100, found.taken.gap_p50 / 1e3, found.taken.gap_max / 1e3, found.line_handover, found.memcpy_104, found.page_fault);
}

/// Where threads run that are timed. Who waits for the disk goes where the scheduler likes: on a core of its own it is woken by another
/// one, where the disk's interrupt has come, which makes a sync longer by half.
enum class threads_are { on_cores_of_their_own, where_the_scheduler_likes };

/// Runs `work(number)` on `count` threads, the calling one among them, one or two on a core of their own unless told otherwise, and gives
/// the seconds from when all were ready until the last was done.
template <class Work>
[[nodiscard]] double time_threads(unsigned count, const Work& work, threads_are where = threads_are::on_cores_of_their_own) {
    std::atomic<unsigned> ready{0};
    std::atomic<bool> is_go{false};
    std::vector<std::thread> threads;
    const bool has_cores = count <= 2 && where == threads_are::on_cores_of_their_own;
    const auto run_one = [&](unsigned number) {
        const std::optional<pinned> core = has_cores ? std::optional<pinned>{std::in_place, number} : std::nullopt;
        ready.fetch_add(1);
        while (!is_go.load(std::memory_order_acquire)) {
            has_cores ? relax() : std::this_thread::yield();
        }
        work(number);
    };
    for (unsigned number = 1; number < count; ++number) {
        threads.emplace_back(run_one, number);
    }
    while (ready.load() != count - 1) {
        std::this_thread::yield();
    }
    const std::uint64_t begin = nanoseconds_now();
    is_go.store(true, std::memory_order_release);
    run_one(0);
    for (auto& one : threads) {
        one.join();
    }
    return static_cast<double>(nanoseconds_now() - begin) / 1e9;
}

}  // namespace brook::bench
