/// \file brook/format/epoch_history.hpp
/// Where in a log each leader epoch begins: by this two replicas find out how far their logs are the same.
/// Floor 1, format. Source: Kafka's LeaderEpochFileCache (KIP-101, KIP-279).
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>

namespace brook::inline BROOK_ABI::format {

/// What was appended under one leader begins here, and ends where the next entry begins, or with the log.
struct epoch_start {
    std::uint32_t epoch = 0;
    offset first = 0;

    bool operator==(const epoch_start&) const = default;
};

/// How far a log goes, and under whom its last record was appended: of two logs the one with the later epoch, or with the
/// same and the larger end, has everything that the other has committed (Raft, 5.4.1).
struct log_end {
    std::uint32_t epoch = 0;
    offset end = 0;

    auto operator<=>(const log_end&) const = default;
};

/// Epochs grow from entry to entry, and so do their first offsets.
///
/// Threads   confined.
class epoch_history {
public:
    epoch_history() = default;
    explicit epoch_history(std::vector<epoch_start> starts) : starts_{std::move(starts)} { BROOK_ASSERT(ascends()); }
    bool operator==(const epoch_history&) const = default;

    [[nodiscard]] bool empty() const noexcept { return starts_.empty(); }
    [[nodiscard]] const std::vector<epoch_start>& starts() const noexcept { return starts_; }

    /// Epoch of the last record; 0 where there is none.
    [[nodiscard]] std::uint32_t last() const noexcept { return starts_.empty() ? 0 : starts_.back().epoch; }

    /// Epoch of the record at `wanted`; 0 where that is not known.
    [[nodiscard]] std::uint32_t at(offset wanted) const noexcept {
        for (std::size_t i = starts_.size(); i-- > 0;) {
            if (starts_[i].first <= wanted) {
                return starts_[i].epoch;
            }
        }
        return 0;
    }

    /// What begins at `first` was appended in `epoch`, which is not below the last one.
    void note(std::uint32_t epoch, offset first) {
        BROOK_ASSERT(starts_.empty() || epoch == last() || (epoch > last() && first > starts_.back().first));
        if (starts_.empty() || epoch > last()) {
            starts_.push_back({epoch, first});
        }
    }

    /// The largest epoch at or below `epoch` that the log has, and where it ends in a log that ends at `end`. An epoch that is
    /// older than all that is known ends where the first one begins.
    [[nodiscard]] log_end end_of(std::uint32_t epoch, offset end) const noexcept {
        for (std::size_t i = starts_.size(); i-- > 0;) {
            if (starts_[i].epoch <= epoch) {
                return {starts_[i].epoch, i + 1 < starts_.size() ? starts_[i + 1].first : end};
            }
        }
        return {0, starts_.empty() ? end : starts_.front().first};
    }

    /// Whether it goes back far enough to tell where `epoch` ends.
    [[nodiscard]] bool knows(std::uint32_t epoch) const noexcept { return !starts_.empty() && starts_.front().epoch <= epoch; }

    /// The log ends at `end` from now on.
    void cut(offset end) {
        while (!starts_.empty() && starts_.back().first >= end) {
            starts_.pop_back();
        }
    }

    /// The log begins at `start` from now on. The last epoch stays, whatever is left of it.
    void start(offset start) {
        std::size_t gone = 0;
        while (gone + 1 < starts_.size() && starts_[gone + 1].first <= start) {
            ++gone;
        }
        starts_.erase(starts_.begin(), starts_.begin() + static_cast<std::ptrdiff_t>(gone));
    }

    void clear() noexcept { starts_.clear(); }

private:
    [[nodiscard]] bool ascends() const noexcept {
        for (std::size_t i = 1; i < starts_.size(); ++i) {
            if (starts_[i].epoch <= starts_[i - 1].epoch || starts_[i].first <= starts_[i - 1].first) {
                return false;
            }
        }
        return true;
    }

    std::vector<epoch_start> starts_;
};

}  // namespace brook::inline BROOK_ABI::format
