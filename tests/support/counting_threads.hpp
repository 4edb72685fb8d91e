/// \file support/counting_threads.hpp
/// Threads that count together under a lock.
#pragma once

#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace brook::test {

/// What four threads come to that count so many rounds each, one number at a time: less than all of it where the lock lets two in at once.
/// `pause`: every so many rounds a thread gives the processor away while it holds the lock, so that the others wait for longer.
template <class Lock>
[[nodiscard]] std::int64_t counted_by_four(Lock& lock, std::int64_t rounds, std::int64_t pause) {
    std::int64_t count = 0;
    std::vector<std::thread> all;
    for (int i = 0; i < 4; ++i) {
        all.emplace_back([&] {
            for (std::int64_t round = 0; round < rounds; ++round) {
                const std::scoped_lock held{lock};
                count = count + 1;
                if (round % pause == 0) {
                    std::this_thread::yield();
                }
            }
        });
    }
    for (auto& one : all) {
        one.join();
    }
    return count;
}

}  // namespace brook::test
