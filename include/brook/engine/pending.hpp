/// \file brook/engine/pending.hpp
/// What a send may still have to wait for, and what became of sends that nobody asked about.
/// Floor 5, engine.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>

namespace brook::inline BROOK_ABI::engine {

/// Where a record was appended. Before a gathered record's batch has been appended, `at` is its index in the batch.
struct appended {
    offset at = -1;
    std::int64_t timestamp = 0;  ///< ns, as stored
};

/// Something that a delivery may still have to wait for. Most have nothing: then there is no such object.
///
/// Threads   shared.
class pending_delivery {
public:
    virtual ~pending_delivery() = default;

    /// Waits for what `acks` asks, and fills in what was not known before.
    [[nodiscard]] virtual failure wait(appended& done) = 0;
};

/// A send that failed. Thrown by the producer's next flush unless somebody has asked for it.
class failed_delivery final : public pending_delivery {
public:
    explicit failed_delivery(failure why) : why_{std::move(why)} {}

    [[nodiscard]] failure wait(appended& done) override {
        is_collected_.store(true, std::memory_order_relaxed);
        done.at = -1;
        return why_;
    }
    [[nodiscard]] bool is_collected() const noexcept { return is_collected_.load(std::memory_order_relaxed); }
    [[nodiscard]] const failure& why() const noexcept { return why_; }

private:
    failure why_;
    std::atomic<bool> is_collected_{false};
};

/// The failures of one producer that nobody has asked for yet. Of those that nobody can ask for any more the first is
/// kept; the others are as many as their deliveries, which somebody else keeps.
///
/// Threads   shared.
class uncollected_failures {
public:
    void add(std::shared_ptr<failed_delivery> failed) {
        const std::scoped_lock guard{mutex_};
        if (failures_.size() >= many_) {
            forget_known();
            many_ = failures_.size() < least / 2 ? least : failures_.size() * 2;
        }
        failures_.push_back(std::move(failed));
    }

    /// The first failure that nobody asked for; success when there is none. Forgets them all.
    [[nodiscard]] failure take_first() {
        std::vector<std::shared_ptr<failed_delivery>> all;
        {
            const std::scoped_lock guard{mutex_};
            all.swap(failures_);
        }
        for (const auto& failed : all) {
            if (!failed->is_collected()) {
                return failed->why();
            }
        }
        return {};
    }

private:
    static constexpr std::size_t least = 64;

    void forget_known() {
        std::size_t kept = 0;
        bool has_first = false;
        for (auto& failed : failures_) {
            const bool is_known = failed->is_collected() || (failed.use_count() == 1 && std::exchange(has_first, true));
            if (!is_known) {
                failures_[kept++].swap(failed);
            }
        }
        while (failures_.size() > kept) {
            failures_.pop_back();
        }
    }

    std::mutex mutex_;  // guards what follows
    std::size_t many_ = least;  // look through them when they have become so many
    std::vector<std::shared_ptr<failed_delivery>> failures_;
};

}  // namespace brook::inline BROOK_ABI::engine
