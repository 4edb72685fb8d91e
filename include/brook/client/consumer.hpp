/// \file brook/client/consumer.hpp
/// Reads typed records from a topic, alone or as a member of a group.
/// Floor 6, client. Source: Kafka's KafkaConsumer.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/core.hpp>
#include <brook/client/records.hpp>
#include <brook/client/topic.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/sender.hpp>

namespace brook::inline BROOK_ABI {

/// Where to begin where nothing was committed, and where to go when a position has no record [auto.offset.reset].
enum class offset_reset {
    earliest,  ///< brook's default: one sees what one wrote. Kafka's is latest
    latest,
    none,      ///< an error
};

/// Which records of transactions a consumer sees [isolation.level]. This version has no transactions: both see all.
enum class isolation_level { read_uncommitted, read_committed };

struct consumer_options {
    /// The group it joins at its first poll, and commits for. Empty: it belongs to none, reads all partitions of its
    /// topic, and cannot commit [group.id]. Groups have one member in this version.
    std::string group_id{};

    offset_reset auto_offset_reset = offset_reset::earliest;
    brook::isolation_level isolation_level = brook::isolation_level::read_committed;
    std::int32_t max_poll_records = 500;  ///< most that one poll gives [max.poll.records]

    /// Commit at each poll what the poll before it gave: at least once, without a timer [enable.auto.commit].
    bool enable_auto_commit = false;

    /// Verify checksums of what comes from the disk, at the first read since it was opened [check.crcs].
    bool check_crcs = true;
};

/// Reads the partitions of one topic.
///
/// A consumer made from a topic reads all its partitions: as a group's member from where the group committed, else by
/// `auto_offset_reset`. `assign` and `seek` overrule that.
///
/// Threads   confined, but for `wakeup`.
/// Lifetime  leaves its group when it dies, without a commit. Records outlive it.
template <class Key, class Value, class Broker = broker>
class consumer {
    static_assert(detail::check_key<Key>() && detail::check_readable<Value>());

    using engine_type = detail::engine_t<Broker>;
    using topic_type = topic<Key, Value, Broker>;

public:
    /// Errors    invalid_config, closed.
    explicit consumer(const topic_type& from, consumer_options options = {})
        : options_{std::move(options)}, wakeups_{std::make_unique<bell>()} {
        if (options_.max_poll_records < 1) {
            throw_error(errc::invalid_config, "consumer of topic '" + from.name() + "': max_poll_records is 1 or more");
        }
        if (options_.enable_auto_commit && options_.group_id.empty()) {
            throw_error(errc::invalid_config, "consumer of topic '" + from.name() + "': enable_auto_commit needs a group_id to commit for");
        }
        subscribe(from);
    }

    consumer(consumer&& other) noexcept = default;
    consumer& operator=(consumer&& other) noexcept {
        if (this != &other) {
            leave();
            options_ = std::move(other.options_);
            topic_ = std::move(other.topic_);
            partitions_ = std::move(other.partitions_);
            next_partition_ = other.next_partition_;
            is_positioned_ = other.is_positioned_;
            member_ = std::exchange(other.member_, 0);
            wakeups_ = std::move(other.wakeups_);
        }
        return *this;
    }
    consumer(const consumer&) = delete;
    consumer& operator=(const consumer&) = delete;
    ~consumer() { leave(); }

    // ---- what to read ----

    /// Reads all partitions of a topic, from the next poll on, in place of what it read before.
    /// Errors    closed.
    void subscribe(const topic_type& from) {
        detail::access::engine(from).open_core()->require_open();
        const auto& shared = detail::access::engine(from).state()->shared;
        if (topic_ && detail::access::engine(*topic_).state()->shared != shared) {
            leave();  // its group was another broker's
        }
        partitions_.clear();
        topic_ = std::make_unique<topic_type>(from);
        wakeups_->hang(shared);
        std::vector<std::int32_t> all;
        for (std::int32_t number = 0; number < from.partition_count(); ++number) {
            all.push_back(number);
        }
        take(all);
    }

    /// Reads these partitions of its topic alone.
    /// Errors    unknown_topic_or_partition for a partition of another topic.
    void assign(std::span<const brook::partition> chosen) {
        std::vector<std::int32_t> numbers;
        for (const auto& one : chosen) {
            require_ours(one);
            bool is_there = false;  // named twice is read once
            for (const std::int32_t number : numbers) {
                is_there = is_there || number == one.number();
            }
            if (!is_there) {
                numbers.push_back(one.number());
            }
        }
        take(numbers);
    }
    void assign(std::initializer_list<brook::partition> chosen) { assign(std::span{chosen.begin(), chosen.size()}); }

    /// What it reads now. Of a group's member: empty before its first poll.
    [[nodiscard]] std::vector<brook::partition> assignment() const {
        std::vector<brook::partition> all;
        if (is_positioned_ || options_.group_id.empty()) {
            for (const auto& one : partitions_) {
                all.push_back(topic_->partition(one.number));
            }
        }
        return all;
    }

    // ---- reading ----

    /// Waits until there are records, or `wakeup`; gives up to max_poll_records of them.
    ///
    /// Errors    thrown, once everything before it has been given: corrupt_record names file and position, and stays
    ///           until the consumer seeks past it; offset_out_of_range with auto_offset_reset none; closed;
    ///           group_max_size_reached.
    /// Cost      none of it allocates while records come from one segment of one partition, as most do.
    [[nodiscard]] records<Key, Value, Broker> poll() { return poll_until(std::nullopt); }

    /// The same, for at most this long; 0 looks once. An empty batch is not the end: `caught_up` is.
    template <class Rep, class Period>
    [[nodiscard]] records<Key, Value, Broker> poll(std::chrono::duration<Rep, Period> longest) {
        return poll_until(saturated(longest));
    }

    /// True when it has been assigned, and everything readable has been handed out.
    [[nodiscard]] bool caught_up() {
        if (!is_positioned_) {
            return false;
        }
        for (auto& one : partitions_) {
            if (!one.is_paused && !one.reader.at_end(options_.check_crcs)) {
                return false;
            }
        }
        return true;
    }

    /// Makes a poll that waits, or the next one, return at once. Any thread may call it; remembered until a poll sees it.
    void wakeup() noexcept {
        wakeups_->ring();
    }

    /// Polls give none of its records, until `resume`. Its position stays.
    void pause(const brook::partition& which) { find(which).is_paused = true; }
    void resume(const brook::partition& which) { find(which).is_paused = false; }

    // ---- where ----

    /// Offset of the next record that a poll will give.
    /// Errors    no_offset before the first poll, unless it was sought; unknown_topic_or_partition when not assigned.
    [[nodiscard]] offset position(const brook::partition& which) {
        const auto& one = find(which);
        if (!is_positioned_ && !one.is_sought) {
            throw_error(errc::no_offset, place(one.number) + ": it has no position before the first poll");
        }
        return one.reader.position_offset();
    }

    /// Goes to an offset. One that the partition does not have goes by auto_offset_reset, at the next poll.
    void seek(const brook::partition& which, offset wanted) { go(find(which), wanted); }

    void seek_to_beginning() {
        for (auto& one : partitions_) {
            go(one, topic_->partition(one.number).log_start_offset());
        }
    }

    void seek_to_end() {
        for (auto& one : partitions_) {
            go(one, topic_->partition(one.number).log_end_offset());
        }
    }

    /// In each partition to the first record at or after this time, or to the end where there is none.
    void seek_to_time(timestamp time) {
        for (auto& one : partitions_) {
            const brook::partition partition = topic_->partition(one.number);
            const auto found = partition.offset_for_time(time);
            go(one, found ? *found : partition.log_end_offset());
        }
    }

    // ---- committing ----

    /// Commits, for its group, everything that polls have given so far: after a crash the group goes on behind it.
    /// Errors    illegal_state without a group; group_max_size_reached when the group has another member; closed; no space.
    void commit() {
        std::vector<broker_room::committed_position> positions;
        require_group();
        for (auto& one : partitions_) {
            if (is_positioned_ && one.reader.position_offset() != one.committed) {
                positions.push_back({topic_id(), one.number, one.reader.position_offset()});
            }
        }
        commit(positions);
    }

    /// Commits one partition's position: `next` is the next offset to read, the offset of the last record done plus one.
    /// Errors    as commit(), and offset_out_of_range for a negative one.
    void commit(const brook::partition& which, offset next) {
        require_group();
        if (next < 0) {
            throw_error(errc::offset_out_of_range, place(find(which).number) + ": offset " + std::to_string(next) + " cannot be committed; they begin at 0");
        }
        commit({{topic_id(), find(which).number, next}});
    }

    /// What its group has committed for a partition; nullopt when nothing.
    [[nodiscard]] std::optional<offset> committed(const brook::partition& which) const {
        require_group();
        require_ours(which);
        return detail::access::engine(*topic_).open_core()->offsets().find(options_.group_id, topic_id(), which.number());
    }

private:
    /// What `wakeup` rings, from any thread, whatever topic the consumer turns to meanwhile.
    class bell {
    public:
        void hang(std::shared_ptr<broker_room::shared_state> where) {
            const std::scoped_lock guard{mutex_};
            where_ = std::move(where);
        }
        void ring() noexcept {
            is_rung_.store(true, std::memory_order_seq_cst);
            const std::scoped_lock guard{mutex_};
            where_->readers.notify();
        }
        [[nodiscard]] bool is_rung() const noexcept { return is_rung_.load(std::memory_order_seq_cst); }
        [[nodiscard]] bool take() noexcept { return is_rung() && is_rung_.exchange(false, std::memory_order_seq_cst); }

    private:
        std::atomic<bool> is_rung_{false};
        std::mutex mutex_;  // guards the place
        std::shared_ptr<broker_room::shared_state> where_;
    };

    struct assigned {
        std::int32_t number;
        storage::log* log;
        typename engine_type::reader reader;
        offset committed = -1;     ///< what is known to be committed
        bool is_sought = false;    ///< by its owner, before it had a position
        bool is_paused = false;
    };

    void take(const std::vector<std::int32_t>& numbers) {
        partitions_.clear();
        for (const std::int32_t number : numbers) {
            storage::log& log = detail::access::engine(*topic_).log(number);
            partitions_.push_back({number, &log, log.reader()});
        }
        next_partition_ = 0;
        is_positioned_ = false;
    }

    void go(assigned& one, offset wanted) {
        one.reader.seek(wanted);
        one.is_sought = true;
    }

    // ---- positions ----

    /// Joins the group, and goes to where each partition is to be read from.
    void find_positions() {
        const auto core = detail::access::engine(*topic_).open_core();
        core->require_open();
        if (!options_.group_id.empty()) {
            join(*core);
        }
        for (auto& one : partitions_) {
            if (!options_.group_id.empty()) {
                adopt_commit(*core, one);
            }
            if (!one.is_sought) {
                reset(one, "nothing was committed");
                one.is_sought = true;  // that much is settled, should the next one fail
            }
        }
        is_positioned_ = true;
    }

    void join(broker_room::core& core) {
        if (member_ == 0) {
            member_ = core.join(options_.group_id);
        }
    }

    /// R7: a commit behind the end of the log is of a history that was cut; the log is right.
    void adopt_commit(broker_room::core& core, assigned& one) {
        const auto found = core.offsets().find(options_.group_id, topic_id(), one.number);
        if (!found) {
            return;
        }
        offset next = *found;
        if (const offset end = one.log->log_end_offset(); next > end) {
            core.shared()->report({errc::offset_out_of_range, place(one.number) + ": group '" + options_.group_id + "' has committed offset " +
                                                                  std::to_string(next) + ", and the log ends at " + std::to_string(end) +
                                                                  "; it goes on there"});
            next = end;
        }
        one.committed = *found;
        if (!one.is_sought) {
            go(one, next);
        }
    }

    void reset(assigned& one, const std::string& why) {
        switch (options_.auto_offset_reset) {
            case offset_reset::earliest: one.reader.seek(one.log->log_start_offset()); break;
            case offset_reset::latest: one.reader.seek(one.log->log_end_offset()); break;
            case offset_reset::none:
                throw_error(errc::offset_out_of_range, place(one.number) + ": " + why + ", and auto_offset_reset is none; seek first, to something from " +
                                                           std::to_string(one.log->log_start_offset()) + " to " + std::to_string(one.log->log_end_offset()));
        }
    }

    // ---- polling ----

    records<Key, Value, Broker> poll_until(std::optional<std::chrono::nanoseconds> longest) {
        if (options_.enable_auto_commit && is_positioned_) {
            commit();
        }
        if (!is_positioned_) {
            find_positions();
        }
        auto& shared = detail::access::engine(*topic_).shared();
        std::optional<std::chrono::nanoseconds> deadline;
        for (;;) {
            records<Key, Value, Broker> found = fetch();
            if (!found.empty() || wakeups_->take() || (longest && longest->count() <= 0 && !partitions_.empty())) {
                return found;
            }
            const auto ticket = shared.readers.prepare();  // first: who closes from here on ends the wait
            detail::access::engine(*topic_).open_core()->require_open();
            if (longest && longest->count() <= 0) {
                return found;
            }
            std::optional<std::chrono::nanoseconds> left;
            if (longest) {
                const auto now = shared.platform.monotonic();
                deadline = deadline ? deadline : std::optional{*longest < std::chrono::nanoseconds::max() - now ? now + *longest : std::chrono::nanoseconds::max()};
                left = *deadline - now;
                if (left->count() <= 0) {
                    return found;
                }
            }
            for (auto& one : partitions_) {
                if (!one.is_paused) {
                    one.log->expect_reader();
                }
            }
            shared.readers.fence();
            if (nothing_new() && !wakeups_->is_rung()) {
                shared.readers.wait(ticket, left);
            }
        }
    }

    /// After the flags are raised, once more: else a record that came just before would wait for the next one.
    [[nodiscard]] bool nothing_new() {
        for (auto& one : partitions_) {
            if (one.log->is_closed() || (!one.is_paused && !one.reader.at_end(options_.check_crcs))) {
                return false;
            }
        }
        return true;
    }

    /// One look at each partition, beginning where the last look ended, so that none is starved.
    [[nodiscard]] records<Key, Value, Broker> fetch() {
        records<Key, Value, Broker> found;
        auto left = static_cast<std::uint32_t>(options_.max_poll_records);
        for (std::size_t i = 0, at = next_partition_; i < partitions_.size() && left > 0; ++i, at = at + 1 < partitions_.size() ? at + 1 : 0) {
            assigned& one = partitions_[at];
            if (one.log->is_closed()) {
                throw_error(errc::closed, place(one.number) + ": its broker is closed");
            }
            if (one.is_paused || one.reader.sees_nothing()) {
                continue;
            }
            ranges_.clear();
            const bool is_before = one.reader.position_offset() < one.log->log_start_offset();
            if (const failure why = is_before ? failure{errc::offset_out_of_range, place(one.number) + ": it begins later"}
                                              : one.reader.fetch(left, options_.check_crcs, ranges_)) {
                if (!found.empty()) {
                    break;  // what was found first is given first
                }
                if (why.code != errc::offset_out_of_range) {
                    why.raise();
                }
                reset(one, "there is no offset " + std::to_string(one.reader.position_offset()));
                continue;
            }
            for (auto& range : ranges_) {
                left -= range.count;
                found.add(one.number, std::move(range));
            }
        }
        next_partition_ = next_partition_ + 1 < partitions_.size() ? next_partition_ + 1 : 0;
        return found;
    }

    template <class Rep, class Period>
    [[nodiscard]] static std::chrono::nanoseconds saturated(std::chrono::duration<Rep, Period> longest) {
        constexpr auto most = std::chrono::nanoseconds::max();
        if (longest <= longest.zero()) {
            return std::chrono::nanoseconds{0};
        }
        if (std::chrono::duration<double>{longest} >= std::chrono::duration<double>{most}) {
            return most;
        }
        return std::chrono::ceil<std::chrono::nanoseconds>(longest);
    }

    // ---- the rest ----

    void commit(const std::vector<broker_room::committed_position>& positions) {
        if (positions.empty()) {
            return;
        }
        const auto core = detail::access::engine(*topic_).open_core();
        join(*core);  // who is no member speaks for no group
        if (const failure why = core->offsets().commit(options_.group_id, positions)) {
            why.raise();
        }
        for (const auto& position : positions) {
            for (auto& one : partitions_) {
                one.committed = one.number == position.partition ? position.next : one.committed;
            }
        }
    }

    [[nodiscard]] assigned& find(const brook::partition& which) {
        require_ours(which);
        for (auto& one : partitions_) {
            if (one.number == which.number()) {
                return one;
            }
        }
        throw_error(errc::unknown_topic_or_partition, place(which.number()) + ": this consumer does not read it; assign it first");
    }

    void require_ours(const brook::partition& which) const {
        if (!(which == topic_->partition(which.number()))) {
            throw_error(errc::unknown_topic_or_partition, "this consumer reads topic '" + topic_->name() + "', and that is a partition of another");
        }
    }

    void require_group() const {
        if (options_.group_id.empty()) {
            throw_error(errc::illegal_state, "consumer of topic '" + topic_->name() + "': it has no group_id to commit for");
        }
    }

    [[nodiscard]] const format::topic_id& topic_id() const noexcept { return detail::access::engine(*topic_).state()->meta.id; }
    [[nodiscard]] std::string place(std::int32_t number) const {
        return "topic '" + topic_->name() + "', partition " + std::to_string(number);
    }

    void leave() noexcept {
        if (topic_ && member_ != 0) {
            if (const auto core = detail::access::engine(*topic_).core()) {
                core->leave(options_.group_id, member_);
            }
        }
        member_ = 0;
    }

    consumer_options options_;
    std::unique_ptr<topic_type> topic_;
    std::vector<assigned> partitions_;
    std::vector<typename engine_type::range> ranges_;  // reused by each fetch
    std::size_t next_partition_ = 0;
    bool is_positioned_ = false;
    broker_room::core::member_id member_ = 0;  // 0: not a member
    std::unique_ptr<bell> wakeups_;
};

template <class Key, class Value, class Broker>
consumer(const topic<Key, Value, Broker>&) -> consumer<Key, Value, Broker>;
template <class Key, class Value, class Broker>
consumer(const topic<Key, Value, Broker>&, consumer_options) -> consumer<Key, Value, Broker>;

}  // namespace brook::inline BROOK_ABI
