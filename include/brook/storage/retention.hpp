/// \file brook/storage/retention.hpp
/// Which of a log's oldest segments go.
/// Floor 2, storage.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_directory.hpp>

namespace brook::inline BROOK_ABI::storage {

/// How much of a log is kept. Whole segments go, oldest first, and only sealed ones that are on the disk.
struct retention_policy {
    std::optional<std::chrono::nanoseconds> age{};  ///< a segment goes so long after it was sealed
    std::optional<std::int64_t> bytes{};            ///< the oldest goes while the others are so large together

    [[nodiscard]] bool is_there() const noexcept { return age || bytes; }
};

/// The time by which segments age: two clocks, and both have to say that it has passed. The wall clock alone may jump by years,
/// and take a log with it; what passed since the log was opened, added to what the wall clock said then, does not jump. What
/// the wall clock says at the opening is believed: there is nothing to compare it with.
///
/// Threads   confined.
class retention_clock {
public:
    void start(os::platform& platform) noexcept { ahead_ = wall(platform) - platform.monotonic(); }

    /// Whether a moment of the wall clock lies as long ago.
    [[nodiscard]] bool has_passed(os::platform& platform, std::int64_t since, std::chrono::nanoseconds age) const noexcept {
        const std::chrono::nanoseconds then{since};
        return wall(platform) - then >= age && steady(platform) - then >= age;
    }

    /// What a segment is stamped with that is found sealed now: by the later of the two, and never before the one in front of it.
    /// A clock that is behind for a while must not make it old.
    [[nodiscard]] std::int64_t stamp(os::platform& platform, std::int64_t before) const noexcept {
        const std::chrono::nanoseconds later = wall(platform) > steady(platform) ? wall(platform) : steady(platform);
        return later.count() > before ? later.count() : before;
    }

    /// How far the wall clock has jumped ahead since the start, or back.
    [[nodiscard]] std::chrono::nanoseconds jump(os::platform& platform) const noexcept { return wall(platform) - steady(platform); }

private:
    [[nodiscard]] static std::chrono::nanoseconds wall(os::platform& platform) noexcept { return platform.now().time_since_epoch(); }
    [[nodiscard]] std::chrono::nanoseconds steady(os::platform& platform) const noexcept { return ahead_ + platform.monotonic(); }

    std::chrono::nanoseconds ahead_{};
};

/// Looks into the footers of segments, once each, and judges by them.
///
/// Threads   confined: upkeep's.
/// Cost      one read of 256 bytes for each segment that was sealed before the log was opened: of the oldest alone where only
///           age counts.
class retention {
public:
    explicit retention(segment_directory& files) noexcept : files_{files} {}

    void start() noexcept { clock_.start(files_.platform()); }
    [[nodiscard]] const retention_clock& clock() const noexcept { return clock_; }

    /// Where the log is to begin, by the policy; its start as it is when nothing is due. `all`: its segments, of which the first
    /// `finished` are sealed and on the disk.
    [[nodiscard]] offset due(const retention_policy& policy, const std::vector<segment*>& all, std::size_t finished, offset start, std::size_t most, failure& why) {
        std::int64_t left = 0;
        for (std::size_t i = 0; policy.bytes && i < all.size(); ++i) {
            if (why = i < finished ? look_up(*all[i]) : failure{}; why) {
                return start;
            }
            left += i < finished ? all[i]->used.load(std::memory_order_relaxed) : tail_word{all[i]->tail.load(std::memory_order_relaxed)}.end();
        }
        for (std::size_t i = 0; i < finished && i < most; ++i) {
            segment& oldest = *all[i];
            if (why = look_up(oldest); why) {
                break;
            }
            const std::int64_t used = oldest.used.load(std::memory_order_relaxed);
            const bool is_over = policy.bytes && left - used >= *policy.bytes;
            const bool is_old = policy.age && clock_.has_passed(files_.platform(), oldest.sealed_at.load(std::memory_order_relaxed), *policy.age);
            if (!is_over && !is_old && all[i + 1]->base > start) {
                break;
            }
            left -= used;
            start = all[i + 1]->base > start ? all[i + 1]->base : start;
        }
        return start;
    }

    /// Fills in what the footer says. A segment without one, since it ends in damage, counts as it is, and as sealed now.
    [[nodiscard]] failure look_up(segment& home) {
        if (home.used.load(std::memory_order_relaxed) != 0) {
            return {};
        }
        segment_summary summary;
        failure why;
        const std::string path = files_.log_path(home.base);
        const auto file = files_.open_summary(path, summary, why);
        if (why && why.code != errc::corrupt_record) {
            return why;
        }
        std::uint64_t size = summary.has_footer ? summary.footer.seal_position + format::frame_header_size : 0;
        if (file && size == 0) {
            if (const auto code = file->size(size)) {
                return {code, files_.name().text() + ": cannot read the size of " + path};
            }
        }
        const auto least = std::uint64_t{format::segment_header_size};  // also of what cannot be read
        home.sealed_at.store(summary.has_footer ? summary.footer.sealed_at : files_.platform().now().time_since_epoch().count(), std::memory_order_relaxed);
        home.used.store(static_cast<position>(size < least ? least : size), std::memory_order_relaxed);
        return {};
    }

private:
    segment_directory& files_;
    retention_clock clock_;
};

}  // namespace brook::inline BROOK_ABI::storage
