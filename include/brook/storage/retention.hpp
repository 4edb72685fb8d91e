/// \file brook/storage/retention.hpp
/// Which of a log's oldest segments go.
/// Floor 2, storage.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/segment.hpp>
#include <brook/storage/segment_chain.hpp>
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

    /// The later of the two: what is stamped by a clock that is behind for a while must not be old when it is right again.
    [[nodiscard]] std::int64_t later(os::platform& platform) const noexcept {
        return (wall(platform) > steady(platform) ? wall(platform) : steady(platform)).count();
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
    retention(segment_directory& files, const segment_chain& segments) noexcept : files_{files}, segments_{segments} {}

    void start() noexcept { clock_.start(files_.platform()); }

    /// Where the log is to begin, by the policy; its start as it is when nothing is due. The first `finished` segments are sealed and
    /// on the disk; at most `most` of them go.
    /// Cost      looks at all segments when one was sealed since the last look, or a second has passed.
    [[nodiscard]] offset due(const retention_policy& policy, std::size_t finished, std::size_t most, std::chrono::nanoseconds now, failure& why) {
        offset start = segments_.start();
        const offset frontier = segments_.at(finished)->base;
        if (!policy.is_there() || (frontier == judged_ && now - judged_at_ < pause)) {
            return start;
        }
        const std::vector<segment*> all = segments_.all();
        std::int64_t left = policy.bytes ? bytes_of(all, finished, why) : 0;
        std::size_t i = 0;
        for (; !why && i < finished && i < most; ++i) {
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
        judged_ = i < most ? frontier : -1;  // else there may be more
        judged_at_ = now;
        return start;
    }

    /// Bytes of log in these segments. 0, and `why`, where a footer cannot be read.
    [[nodiscard]] std::int64_t bytes_of(const std::vector<segment*>& all, std::size_t finished, failure& why) {
        std::int64_t bytes = 0;
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (why = i < finished ? look_up(*all[i]) : failure{}; why) {
                return 0;
            }
            bytes += i < finished ? all[i]->used.load(std::memory_order_relaxed) : tail_word{all[i]->tail.load(std::memory_order_relaxed)}.end();
        }
        return bytes;
    }

    /// The stamp of a segment that is found sealed now: never before that of the one in front of it, if there is one.
    [[nodiscard]] std::int64_t stamp(segment* before) {
        const std::int64_t now = clock_.later(files_.platform());
        if (before == nullptr || look_up(*before)) {
            return now;
        }
        const std::int64_t then = before->sealed_at.load(std::memory_order_relaxed);
        return then > now ? then : now;
    }

    /// Whether a moment of the wall clock lies as long ago.
    [[nodiscard]] bool has_passed(std::int64_t since, std::chrono::nanoseconds age) const noexcept { return clock_.has_passed(files_.platform(), since, age); }

    /// Whether the active segment has been filled for as long, over many a life of the process perhaps.
    [[nodiscard]] bool is_old(segment& active, std::chrono::nanoseconds age) {
        note_birth(active);
        return active.born_at.load(std::memory_order_relaxed) != 0 && clock_.has_passed(files_.platform(), active.born_at.load(std::memory_order_relaxed), age);
    }

    /// Since when a segment of this process has been filled, if that is not known yet. Where its file does not say, the first look counts.
    void note_birth(segment& home) const {
        const segment_pin pin = home.pin();
        if (!pin || home.born_at.load(std::memory_order_relaxed) != 0) {
            return;
        }
        const std::int64_t now = files_.platform().now().time_since_epoch().count();
        const auto writer = load<format::segment_writer>(pin->data() + format::writer_at);
        const auto born = static_cast<std::int64_t>(writer.birth_time_ns);
        home.born_at.store(format::verifies(writer) && born > 0 && born < now ? born : now, std::memory_order_relaxed);
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
        home.born_at.store(summary.has_writer ? static_cast<std::int64_t>(summary.writer.birth_time_ns) : 0, std::memory_order_relaxed);
        home.tombstones_since.store(summary.tombstones_since, std::memory_order_relaxed);
        home.sealed_at.store(summary.has_footer ? summary.footer.sealed_at : files_.platform().now().time_since_epoch().count(), std::memory_order_relaxed);
        home.used.store(static_cast<position>(size < least ? least : size), std::memory_order_relaxed);
        return {};
    }

private:
    static constexpr std::chrono::seconds pause{1};

    segment_directory& files_;
    const segment_chain& segments_;
    retention_clock clock_;
    offset judged_ = -1;  // where what was sealed and on the disk ended at the last look
    std::chrono::nanoseconds judged_at_{std::chrono::nanoseconds::min() / 2};
};

}  // namespace brook::inline BROOK_ABI::storage
