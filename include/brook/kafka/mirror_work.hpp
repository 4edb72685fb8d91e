/// \file brook/kafka/mirror_work.hpp
/// A thread that carries records, waits, and begins anew where something went wrong: what both directions of a mirror have in common.
/// Edge of floor 6, kafka.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/kafka/mirror_options.hpp>
#include <brook/os/posix.hpp>
#include <brook/os/thread.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// Errors    invalid_config.
inline void require_as_many(const std::string& mirror, const std::string& from, std::int32_t has, const std::string& to, std::int32_t others) {
    if (has != others) {
        throw_error(errc::invalid_config, "mirror '" + mirror + "' of topic '" + from + "': it has " + std::to_string(has) + " partitions, and topic '" + to + "' has " +
                                              std::to_string(others) + "; they must be as many");
    }
}

/// What both directions have in common: a thread that carries, waits, and begins anew where something went wrong.
///
/// Threads   shared; `carry` and what it calls on its own thread.
class mirror_work {
public:
    explicit mirror_work(mirror_options options, std::int32_t partitions) : options_{std::move(options)} {
        for (std::int32_t number = 0; number < partitions; ++number) {
            progress_.partitions.push_back({.number = number});
        }
    }
    mirror_work(const mirror_work&) = delete;
    mirror_work& operator=(const mirror_work&) = delete;
    virtual ~mirror_work() = default;

    void start() {
        thread_.start([](void* self) { static_cast<mirror_work*>(self)->run(); }, this);
    }

    /// Waits for what is in hand, or gives it up: it is carried again later, and once.
    void stop() noexcept {
        is_stopping_.store(true);
        word_.fetch_add(1);
        os::posix().wake_all(word_);
        if (carrier_.load() == os::this_thread()) {
            return;  // it was told to by on_progress: it ends when that has returned
        }
        const std::scoped_lock one_at_a_time{joining_mutex_};
        if (thread_.is_running()) {
            thread_.join();
        }
    }

    [[nodiscard]] mirror_progress progress() const {
        mirror_progress now = noted();
        look(now);
        return now;
    }

protected:
    /// What can be told without asking the cluster.
    virtual void look(mirror_progress& now) const { static_cast<void>(now); }

    [[nodiscard]] mirror_progress noted() const {
        const std::scoped_lock guard{mutex_};
        return progress_;
    }

    /// Finds out where it is. Everything that is open is made anew.
    virtual void begin() = 0;

    /// Carries some records. Returns   false: there were none.
    virtual bool carry() = 0;

    /// Lets go of what is open.
    virtual void end() noexcept = 0;

    /// Trying again does not help.
    [[nodiscard]] virtual bool is_for_good(const std::error_code& code) const noexcept {
        for (const errc one : {errc::closed, errc::invalid_config, errc::producer_fenced, errc::corrupt_record, errc::record_too_large, errc::schema_mismatch,
                               errc::unsupported_compression_type, errc::unsupported_version, errc::offset_out_of_range, errc::forked, errc::partition_failed}) {
            if (code == one) {
                return true;
            }
        }
        return false;
    }

    // ---- what the source forgets while it is carried ----

    void expect(std::int32_t partition, offset next) {
        expected_.resize(noted_partitions());
        expected_[static_cast<std::size_t>(partition)] = {next, 0};
    }

    /// Transactions and compaction leave gaps, too: only what is now before the log's start was forgotten.
    template <class LogStart>
    void look_for_gap(std::int32_t partition, offset found, const LogStart& log_start) {
        expectation& here = expected_[static_cast<std::size_t>(partition)];
        if (found > here.next) [[unlikely]] {
            const offset first = log_start();
            const offset until = first < found ? first : found;
            here.skipped += until > here.next ? until - here.next : 0;
        }
        here.next = found + 1;
    }

    /// What was carried behind it counts.
    void note_skipped() {
        note([this](mirror_progress& now) {
            for (std::size_t i = 0; i < expected_.size(); ++i) {
                now.partitions[i].skipped += std::exchange(expected_[i].skipped, 0);
            }
        });
    }

    template <class Change>
    void note(const Change& change) {
        const std::scoped_lock guard{mutex_};
        change(progress_);
    }

    [[nodiscard]] const mirror_options& options() const noexcept { return options_; }
    [[nodiscard]] const std::atomic<bool>& stopping() const noexcept { return is_stopping_; }

    /// Sleeps, unless it is to stop.
    void sleep(std::chrono::nanoseconds time) noexcept {
        const std::uint32_t seen = word_.load();
        if (!is_stopping_.load()) {
            os::posix().wait(word_, seen, time);
        }
    }

private:
    struct expectation {
        offset next = 0;            ///< of the source, without gaps
        std::int64_t skipped = 0;  ///< not noted yet
    };

    [[nodiscard]] std::size_t noted_partitions() const {
        const std::scoped_lock guard{mutex_};
        return progress_.partitions.size();
    }

    void run() noexcept {
        carrier_.store(os::this_thread());
        bool is_begun = false;
        while (!is_stopping_.load()) {
            failure why;
            bool is_moving = false;
            try {
                if (!is_begun) {
                    note([](mirror_progress& now) {
                        ++now.beginnings;
                        now.is_waiting = true;
                    });
                    begin();
                    is_begun = true;
                    note([](mirror_progress& now) { now.is_waiting = false; });
                }
                is_moving = carry();
            } catch (const std::exception& thrown) {
                why = failure_of(thrown);
            }
            if (why) {
                is_begun = false;
                end();
            }
            const bool is_over = why && is_for_good(why.code) && !is_stopping_.load();
            tell(why, is_over, is_moving);
            if (is_over) {
                return;
            }
            if (why) {
                sleep(options_.retry_backoff);
            }
        }
        end();
        note([](mirror_progress& now) { now.is_running = false; });
    }

    void tell(const failure& why, bool is_over, bool is_moving) noexcept {
        try {
            note([&](mirror_progress& now) {
                now.trouble = why;
                now.is_running = !is_over;
            });
            if (options_.on_progress && (is_moving || why)) {
                options_.on_progress(progress());
            }
        } catch (...) {  // no memory for a text, or the user's function: the next step tells it again
        }
    }

    const mirror_options options_;
    std::vector<expectation> expected_;  // of each partition; its thread's own
    std::atomic<bool> is_stopping_{false};
    std::atomic<std::uint32_t> word_{0};  // a thread that sleeps looks at it
    mutable std::mutex mutex_;            // guards the progress
    mirror_progress progress_;
    std::atomic<const void*> carrier_{nullptr};  // the thread that carries; null: it has not begun
    std::mutex joining_mutex_;                   // guards the thread against who stops it, too
    os::thread thread_;
};

}  // namespace brook::inline BROOK_ABI::kafka
