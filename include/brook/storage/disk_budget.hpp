/// \file brook/storage/disk_budget.hpp
/// How much of the disk all logs of a directory may take.
/// Floor 2, storage.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI::storage {

/// Asked by each log before it takes more of the disk, so that a writer is refused, with words, before the disk is full and
/// everybody else on it is refused, too.
///
/// What is taken is counted upwards, and counted anew by whoever looks after the logs when it comes near the limit: what was
/// given back meanwhile shows then.
///
/// Threads   shared, but for `excess` and `give_back`, which are upkeep's.
/// Cost      `admit` asks the system for its free space, where that is limited: a few us, at each growth of a file.
class disk_budget {
public:
    /// `least_free`: bytes that stay free where the directory is. `most`: bytes that all files in it may take. nullopt: any.
    disk_budget(os::platform& platform, std::string directory, std::optional<std::int64_t> least_free, std::optional<std::int64_t> most)
        : platform_{platform}, directory_{std::move(directory)}, least_free_{least_free}, most_{most} {}

    /// Whether a file may take so many bytes more, which it then has.
    /// Errors    no_space_on_device, with the limit; what the system said when it was asked for its free space.
    [[nodiscard]] failure admit(std::uint64_t bytes) {
        if (least_free_) {
            std::uint64_t free = 0;
            if (const auto code = platform_.free_bytes(directory_, free)) {
                return {code, "cannot tell how much is free at " + directory_};
            }
            if (signed_of(free) - signed_of(bytes) < *least_free_) {
                return refuse("min_free_bytes", *least_free_);
            }
        }
        const std::int64_t taken = taken_.fetch_add(signed_of(bytes), std::memory_order_relaxed) + signed_of(bytes);
        if (most_ && taken > *most_) {
            taken_.fetch_sub(signed_of(bytes), std::memory_order_relaxed);
            return refuse("max_bytes", *most_);
        }
        return {};
    }

    /// The same for who is not to be refused.
    void note(std::uint64_t bytes) noexcept { taken_.fetch_add(signed_of(bytes), std::memory_order_relaxed); }

    /// By how many bytes the limits are passed when `reserve` more are wanted, at most a quarter of `most`; 0 or less: by none.
    /// Where it is not sure, since what was given back has not been counted, `must_count` is set: call `count`, and ask again.
    [[nodiscard]] std::int64_t excess(std::int64_t reserve, std::chrono::nanoseconds now, bool& must_count) {
        std::int64_t over = std::numeric_limits<std::int64_t>::min();
        must_count = false;
        if (std::uint64_t free = 0; least_free_ && !platform_.free_bytes(directory_, free)) {
            if (now >= expected_until_) {
                expected_ = 0;
                free_before_ = signed_of(free);
            }
            const std::int64_t come = signed_of(free) > free_before_ ? signed_of(free) - free_before_ : 0;
            over = *least_free_ + reserve - signed_of(free) - (expected_ > come ? expected_ - come : 0);
        }
        if (most_) {
            const std::int64_t beyond = taken_.load(std::memory_order_relaxed) + (reserve < *most_ / 4 ? reserve : *most_ / 4) - *most_;
            must_count = beyond > 0;
            over = beyond > over ? beyond : over;
        }
        return over;
    }

    /// Files of so many bytes have been removed. The system may free them later, when nobody reads them any more: until then,
    /// for some seconds, nothing else need go for them.
    void give_back(std::int64_t bytes, std::chrono::nanoseconds now) {
        taken_.fetch_sub(bytes, std::memory_order_relaxed);
        expected_ += bytes;
        expected_until_ = now + std::chrono::seconds{10};
    }

    /// What the files take, all in all.
    void count(std::int64_t taken) noexcept { taken_.store(taken, std::memory_order_relaxed); }

private:
    [[nodiscard]] static std::int64_t signed_of(std::uint64_t bytes) noexcept {
        constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() / 4);
        return static_cast<std::int64_t>(bytes < most ? bytes : most);
    }

    [[nodiscard]] failure refuse(const std::string& limit, std::int64_t bytes) const {
        return {std::make_error_code(std::errc::no_space_on_device),
                directory_ + " has reached " + limit + " (" + std::to_string(bytes) + "); topics with retention let old segments go, others keep them: raise it, "
                             "delete records, or make room"};
    }

    os::platform& platform_;
    std::string directory_;
    std::optional<std::int64_t> least_free_;
    std::optional<std::int64_t> most_;
    std::atomic<std::int64_t> taken_{0};
    std::int64_t free_before_ = 0;  // before those were removed that are expected to be free soon
    std::int64_t expected_ = 0;
    std::chrono::nanoseconds expected_until_{std::chrono::nanoseconds::min() / 2};
};

}  // namespace brook::inline BROOK_ABI::storage
