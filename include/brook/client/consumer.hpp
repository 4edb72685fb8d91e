/// \file brook/client/consumer.hpp
/// Reads typed records from topics, alone or as a member of a group.
/// Floor 6, client. Source: Kafka's KafkaConsumer.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/group_coordinator.hpp>
#include <brook/broker/core.hpp>
#include <brook/client/consumer_options.hpp>
#include <brook/client/consumer_signals.hpp>
#include <brook/client/records.hpp>
#include <brook/client/subscription.hpp>
#include <brook/client/topic.hpp>
#include <brook/client/topic_pattern.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/sender.hpp>

namespace brook::inline BROOK_ABI {

/// Reads the partitions of topics of one type.
///
/// A consumer made from topics, or from a pattern that their names match, reads all their partitions; as a group's member
/// those that fall to it, from where the group committed, else by `auto_offset_reset`. `assign` and `seek` overrule that.
///
///     brook::consumer both{{orders, returns}, {.group_id = "billing"}};
///     brook::consumer<std::string, reading> climate{broker, brook::topic_pattern{"sensors.*.temperature"}};
///
/// Topics that are made later and match its pattern join in at its next poll, from their first record on where nothing was
/// committed (unless auto_offset_reset is none). One that matches and has other types is left out, and `broker.health()`
/// says so. One that is deleted is left out by then, and nothing of it is committed; so it is where it was named, and one that is made
/// under its name is taken for it. When all that were named are gone, polls say so.
///
/// A group settles while its members poll: who has to give up a partition does so at its next poll, and only then
/// another one has it.
///
/// Threads   confined, but for `wakeup`.
/// Lifetime  leaves its group when it dies, without a commit. Records outlive it.
template <class Key, class Value, class Broker = broker>
class consumer {
    static_assert(detail::check_key<Key>() && detail::check_readable<Value>());

    using engine_type = detail::engine_t<Broker>;
    using engine_topic = typename engine_type::topic;
    using topic_type = topic<Key, Value, Broker>;
    using options_type = basic_consumer_options<typename partition_of<Broker>::type>;  // which another engine's consumers are deduced by, too

public:
    /// Errors    invalid_config, closed.
    explicit consumer(const topic_type& from, options_type options = {}) : consumer{std::span{&from, 1}, std::move(options)} {}
    consumer(std::initializer_list<topic_type> from, options_type options = {}) : consumer{std::span{from.begin(), from.size()}, std::move(options)} {}
    explicit consumer(std::span<const topic_type> from, options_type options = {}) : consumer{std::move(options)} {
        subscribe(from);
        require_legal();
    }

    /// Reads the topics of this broker that match, now and later; there may be none as yet.
    /// Errors    invalid_config, closed.
    consumer(const Broker& broker, topic_pattern from, options_type options = {}) : consumer{std::move(options)} {
        core_ = detail::access::core(broker);
        subscribe(std::move(from));
        require_legal();
    }

    consumer(consumer&& other) noexcept = default;
    consumer& operator=(consumer&& other) noexcept {
        if (this != &other) {
            leave();
            options_ = std::move(other.options_);
            core_ = std::move(other.core_);
            shared_ = std::move(other.shared_);
            subscription_ = std::move(other.subscription_);
            told_changes_ = other.told_changes_;
            partitions_ = std::move(other.partitions_);
            next_partition_ = other.next_partition_;
            sought_ = std::move(other.sought_);
            seat_ = std::exchange(other.seat_, {});
            seen_changes_ = other.seen_changes_;
            has_settled_ = other.has_settled_;
            inquiries_ = std::exchange(other.inquiries_, {});
            joining_changes_ = other.joining_changes_;
            asked_at_ = other.asked_at_;
            has_released_ = other.has_released_;
            has_taken_ = other.has_taken_;
            to_take_ = std::exchange(other.to_take_, {});
            commits_ = std::exchange(other.commits_, {});
            committing_ = std::exchange(other.committing_, {});
            awaits_more_ = other.awaits_more_;
            is_fenced_ = other.is_fenced_;
            came_ = std::move(other.came_);
            wakeups_ = std::move(other.wakeups_);
        }
        return *this;
    }
    consumer(const consumer&) = delete;
    consumer& operator=(const consumer&) = delete;
    ~consumer() { leave(); }

    // ---- what to read ----

    /// Reads all partitions of these topics of one broker, from the next poll on, in place of what it read before.
    /// Errors    closed; invalid_config for none, or for topics of two brokers; unknown_topic_or_partition for one that was deleted.
    void subscribe(const topic_type& from) { subscribe(std::span{&from, 1}); }
    void subscribe(std::initializer_list<topic_type> from) { subscribe(std::span{from.begin(), from.size()}); }
    void subscribe(std::span<const topic_type> from) {
        if (from.empty()) {
            throw_error(errc::invalid_config, "a consumer reads one topic or more; name them, or give a pattern");
        }
        std::vector<engine_topic> named;
        const std::uint64_t seen = detail::access::engine(from.front()).shared().topics.load(std::memory_order_acquire);  // before it is looked which are there
        for (const auto& one : from) {
            named.push_back(detail::access::engine(one));
            named.back().open_core()->require_open();
            if (named.back().state()->shared != named.front().state()->shared) {
                throw_error(errc::invalid_config, "consumer of " + detail::subscription{named}.text() + ": they are of two brokers");
            }
        }
        turn_to(named.front().core(), named.front().state()->shared, detail::subscription{named, seen});
    }

    /// Reads all topics of its broker that match, now and later; there may be none as yet.
    /// Errors    closed.
    void subscribe(topic_pattern from) {
        const auto core = open_core();
        core->require_open();
        turn_to(core, core->shared(), detail::subscription{std::move(from)});
        look_for_topics(core);
    }

    /// Reads these partitions alone, of any topics of its broker that have its types, whoever else does: a consumer that is
    /// assigned to is no member of its group. It commits for the group as long as that has no members.
    /// Errors    schema_mismatch; invalid_config for a partition of another broker, also of its cluster; so in all that takes a partition.
    void assign(std::span<const brook::partition> chosen) {
        std::vector<brook::partition> wanted;
        for (const auto& one : chosen) {
            require_our_broker(one);
            if (const failure why = types().refuse(*state_of(one))) {
                why.raise();
            }
            bool is_there = false;  // named twice is read once
            for (const auto& other : wanted) {
                is_there = is_there || other == one;
            }
            if (!is_there) {
                wanted.push_back(one);
            }
        }
        leave();
        drop_all();
        for (const auto& one : wanted) {
            take(one);
        }
    }
    void assign(std::initializer_list<brook::partition> chosen) { assign(std::span{chosen.begin(), chosen.size()}); }

    /// What it reads now. Of a group's member: empty before its first poll, and each poll may change it.
    [[nodiscard]] std::vector<brook::partition> assignment() const {
        std::vector<brook::partition> all;
        for (const auto& one : partitions_) {
            all.push_back(one.of);
        }
        return all;
    }

    // ---- reading ----

    /// Waits until there are records, or `wakeup`; gives up to max_poll_records of them.
    ///
    /// Errors    thrown, once everything before it has been given: corrupt_record names file and position, and stays
    ///           until the consumer seeks past it; offset_out_of_range with auto_offset_reset none; closed;
    ///           unknown_topic_or_partition when all topics that it has named were deleted, or one whose partition it was assigned;
    ///           fenced_instance_id; inconsistent_group_protocol; what its rebalance_listener throws.
    /// Cost      none of it allocates while records come from one segment of one partition, as most do.
    [[nodiscard]] records<Key, Value, Broker> poll() { return poll_until(std::nullopt); }

    /// The same, for at most this long; 0 looks once. An empty batch is not the end: `caught_up` is.
    ///
    /// That holds in a cluster, too, whether or not the group's coordinator, another broker perhaps, can be reached: what a poll has asked it and
    /// did not have an answer to is found by a later one, and records of what the member has go on meanwhile. `broker.health()` says so where there is no
    /// coordinator for long.
    template <class Rep, class Period>
    [[nodiscard]] records<Key, Value, Broker> poll(std::chrono::duration<Rep, Period> longest) {
        return poll_until(saturated(longest));
    }

    /// True when it has been assigned what it is to read, and everything readable of that has been handed out.
    [[nodiscard]] bool caught_up() {
        if (!has_settled_ || awaits_more_ || has_changed()) {
            return false;
        }
        for (auto& one : partitions_) {
            if (!one.has_position || one.seen_end >= 0 || (!one.is_paused && !one.reader.at_end(options_.check_crcs))) {
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
        require_ours(which);
        if (const std::size_t i = place_of(which); i < partitions_.size() && partitions_[i].has_position) {
            return partitions_[i].reader.position_offset();
        }
        for (const auto& one : sought_) {
            if (one.of == which) {
                return one.next;
            }
        }
        if (has_settled_ || is_fenced_) {
            static_cast<void>(find(which));  // says that it is not ours
        }
        throw_error(errc::no_offset, place(which) + ": it has no position before the first poll");
    }

    /// Goes to an offset. One that the partition does not have goes by auto_offset_reset, at the next poll. Of a group's
    /// member: before its first poll for any partition, should it fall to it; later for those that it reads.
    void seek(const brook::partition& which, offset wanted) {
        require_ours(which);
        if (const std::size_t i = place_of(which); i < partitions_.size()) {
            go(partitions_[i], wanted);
        } else if (is_of_a_group() && !has_settled_) {
            note_sought(which, wanted);
        } else {
            static_cast<void>(find(which));  // says that it is not ours
        }
    }

    void seek_to_beginning() {
        seek_each([](const brook::partition& partition) { return partition.log_start_offset(); });
    }

    /// With isolation_level read_committed, to the last stable offset: what is not decided there is read when it is.
    void seek_to_end() {
        seek_each([this](const brook::partition& partition) { return end_of(partition); });
    }

    /// In each partition to the first record at or after this time, or to the end where there is none.
    void seek_to_time(timestamp time) {
        seek_each([time](const brook::partition& partition) {
            const auto found = partition.offset_for_time(time);
            return found ? *found : partition.log_end_offset();
        });
    }

    // ---- committing ----

    /// Commits, for its group, everything that polls have given so far: after a crash the group goes on behind it.
    /// Errors    illegal_state without a group; illegal_generation when the group has put it out, or it is assigned to and
    ///           the group has members; closed; no space. Then nothing is committed. In a cluster also illegal_generation when another broker has come to
    ///           coordinate the group: members join it anew at their next poll, and go on behind what was committed; auto-commit does so by itself.
    void commit() {
        require_group();
        raise(fenced());
        raise(commit_all());
    }

    /// Commits one partition's position: `next` is the next offset to read, the offset of the last record done plus one.
    /// `metadata` is whatever one wants to find there again, up to 4096 bytes.
    /// Errors    as commit(), and unknown_topic_or_partition for a partition that it does not read; offset_out_of_range for an
    ///           offset below 0 or behind the log's end; offset_metadata_too_large.
    void commit(const brook::partition& which, offset next, std::string metadata = {}) {
        require_group();
        if (metadata.size() > broker_room::offset_metadata_max_bytes) {
            throw_error(errc::offset_metadata_too_large, place(which) + ": " + std::to_string(metadata.size()) + " bytes of metadata; at most " +
                                                             std::to_string(broker_room::offset_metadata_max_bytes) + " go with a commit");
        }
        open_core()->require_open();
        const assigned& one = find(which);
        if (const offset end = one.log->readable_end(); next < 0 || next > end) {
            throw_error(errc::offset_out_of_range, place(one.of) + ": offset " + std::to_string(next) + " cannot be committed; 0 to " +
                                                       std::to_string(end) + " can");
        }
        raise(commit({position_of(one, next, std::move(metadata))}));
    }

    /// Goes back, in each partition that it reads, to where its group has committed; where it has committed nothing, by
    /// auto_offset_reset. What a transaction that was aborted had read is read again.
    void seek_to_committed() {
        require_group();
        const auto core = open_core();
        const bool had_settled = std::exchange(has_settled_, false);  // until all of them have gone back: where one cannot, the next poll says so
        for (auto& one : partitions_) {
            one.has_position = false;
            one.committed = -1;
            one.knows_commit = false;
        }
        for (auto& one : partitions_) {
            adopt_commit(*core, one, nullptr);
            if (!one.has_position) {
                begin(one);
            }
        }
        has_settled_ = had_settled;
    }

    /// What its group has committed for a partition; nullopt when nothing.
    [[nodiscard]] std::optional<offset> committed(const brook::partition& which) const {
        require_group();
        require_ours(which);
        const auto found = find_commit(which);
        return found ? std::optional{found->next} : std::nullopt;
    }

    /// What was given to that commit besides; empty when nothing.
    [[nodiscard]] std::string committed_metadata(const brook::partition& which) const {
        require_group();
        require_ours(which);
        const auto found = find_commit(which);
        return found ? found->metadata : std::string{};
    }

    /// Used by transaction::commit_offsets: its group, itself as a member, and the position of each partition that it has read.
    [[nodiscard]] broker_room::group_commit read_so_far(const std::shared_ptr<broker_room::core>& of) const {
        require_group();
        if (of != core_.lock()) {
            throw_error(errc::illegal_state, "consumer of " + what() + ": it is of another broker than the transaction, or its broker is closed");
        }
        raise(fenced());
        if (options_.enable_auto_commit) {
            throw_error(errc::invalid_config, "consumer of " + what() + ": with enable_auto_commit its polls commit, before a transaction does; leave it out");
        }
        broker_room::group_commit read{options_.group_id, seat_.id, {}};
        for (const auto& one : partitions_) {
            if (one.has_position && !is_deleted(one)) {
                read.positions.push_back(position_of(one, one.reader.position_offset(), {}));
            }
        }
        return read;
    }

private:
    // ---- what it reads ----

    struct assigned {
        brook::partition of;
        storage::log* log;
        typename engine_type::reader reader;
        offset committed = -1;      ///< what is known to be committed
        bool knows_commit = false;  ///< it has been looked up
        offset seen_end = -1;       ///< what the group has committed is behind this, where this broker's copy ended; -1: the copy has come so far
        std::int32_t committed_epoch = -1;  ///< then: of the record in front of it
        bool has_position = false;  ///< was sought, or has been looked up
        bool is_paused = false;
        bool is_untold = false;     ///< the listener does not know yet that it has come: nothing of it is given before
    };

    explicit consumer(consumer_options&& options) : options_{std::move(options)}, wakeups_{std::make_unique<detail::bell>()} {}

    void require_legal() const {
        const char* const wrong = options_.max_poll_records < 1 ? "max_poll_records is 1 or more"
                                  : options_.max_poll_interval.count() <= 0 || options_.session_timeout.count() < 0
                                      ? "max_poll_interval is more than 0, session_timeout not less"
                                  : !options_.partition_assignment_strategy ? "partition_assignment_strategy is missing"
                                  : !options_.group_instance_id.empty() && options_.group_id.empty() ? "group_instance_id needs a group_id"
                                  : options_.enable_auto_commit && options_.group_id.empty() ? "enable_auto_commit needs a group_id to commit for"
                                                                                             : nullptr;
        if (wrong != nullptr) {
            throw_error(errc::invalid_config, "consumer of " + what() + ": " + wrong);
        }
    }

    void turn_to(std::weak_ptr<broker_room::core> core, std::shared_ptr<broker_room::shared_state> shared, detail::subscription to) {
        leave();  // what it read before falls to others; it joins again at the next poll
        drop_all();
        core_ = std::move(core);
        shared_ = std::move(shared);
        wakeups_->hang(shared_);
        subscription_ = std::move(to);
        for (const auto& one : subscription_.topics()) {
            take_all(one.of);
        }
    }

    void look_for_topics(const std::shared_ptr<broker_room::core>& core) {
        subscription_.look(core, types(), [this](const engine_topic& found) { take_all(found); });
        for (std::size_t i = came_.size(); i-- > 0;) {
            if (subscription_.find(id_of(came_[i])) == nullptr) {
                erase_at(came_, i);
            }
        }
        std::vector<brook::partition> lost;
        for (std::size_t i = partitions_.size(); i-- > 0;) {
            if (subscription_.find(id_of(partitions_[i].of)) == nullptr) {
                insert_at(lost, 0, partitions_[i].of);
                erase_at(partitions_, i);
                next_partition_ = 0;
            }
        }
        if (is_of_a_group()) {
            tell(options_.rebalance_listener.on_partitions_lost, lost);
        }
    }

    [[nodiscard]] static bool is_deleted(const assigned& one) noexcept { return state_of(one.of)->is_deleted(); }

    [[nodiscard]] static detail::schemas types() { return {detail::schema_of<Key>(), detail::schema_of<Value>()}; }

    /// Where there is no group to share it with.
    void take_all(const engine_topic& topic) {
        for (std::int32_t number = 0; options_.group_id.empty() && number < topic.partition_count(); ++number) {
            take({topic, number});
        }
    }

    void take(const brook::partition& which) {
        storage::log& log = detail::access::engine(which).log(which.number());
        partitions_.push_back({which, &log, log.reader()});
        partitions_.back().reader.read_committed(options_.isolation_level == isolation_level::read_committed);
        next_partition_ = 0;
    }

    void drop_all() {
        subscription_ = {};
        partitions_.clear();
        sought_.clear();
        came_.clear();
        next_partition_ = 0;
        has_settled_ = false;
        awaits_more_ = false;
        is_fenced_ = false;
        forget_inquiries();
    }

    void forget_inquiries() {
        inquiries_.clear();
        asked_at_.reset();
        to_take_.clear();
        commits_.clear();
        committing_.clear();
    }

    void go(assigned& one, offset wanted) {
        one.reader.seek(wanted);
        one.has_position = true;
        one.seen_end = -1;
    }

    // ---- what was sought before anything was assigned ----

    struct sought {
        brook::partition of;
        offset next;
    };

    template <class Where>
    void seek_each(const Where& where) {
        for (auto& one : partitions_) {
            if (!subscription_.is_there() || !is_deleted(one)) {
                go(one, where(one.of));
            }
        }
        if (!is_of_a_group() || has_settled_) {
            return;
        }
        for (const auto& topic : subscription_.topics()) {
            for (std::int32_t number = 0; number < topic.of.partition_count(); ++number) {
                if (const brook::partition one{topic.of, number}; !topic.of.state()->is_deleted()) {
                    note_sought(one, where(one));
                }
            }
        }
    }

    void note_sought(const brook::partition& which, offset next) {
        for (auto& one : sought_) {
            if (one.of == which) {
                one.next = next;
                return;
            }
        }
        sought_.push_back({which, next});
    }

    // ---- positions ----

    /// Settles what has changed in the group, or among the topics that match, and goes to where each new partition is to be
    /// read from.
    void settle() {
        const auto core = open_core();
        core->require_open();
        const bool had_news = has_new_topics();
        has_settled_ = has_settled_ && !had_news;  // until the look has come to its end, which a listener's error may prevent
        if (had_news) {
            look_for_topics(core);
        }
        if (is_of_a_group()) {
            settle_with(core->groups());
        }
        has_settled_ = false;  // should one of them have no position
        if (subscription_.has_lost_all()) {
            throw_error(errc::unknown_topic_or_partition, what() + (subscription_.has_several_names() ? " were deleted" : " was deleted"));
        }
        for (auto& one : partitions_) {
            if (!options_.group_id.empty() && !one.knows_commit) {
                adopt_commit(*core, one, &inquiries_);
            }
            if (!one.has_position) {
                begin(one);
            }
        }
        has_settled_ = true;
        sought_.clear();
        for (auto& one : partitions_) {
            one.is_untold = false;
        }
        tell(options_.rebalance_listener.on_partitions_assigned, std::exchange(came_, {}));
    }

    void settle_with(broker_room::group_service& groups) {
        if (seat_.id != 0 && !groups.is_member(options_.group_id, seat_.id)) {
            is_fenced_ = !options_.group_instance_id.empty() && groups.has_instance(options_.group_id, options_.group_instance_id, &inquiries_);
            lose_all();
        }
        raise(fenced());
        if (seat_.id == 0) {
            if (inquiries_.joining != 0 && joining_changes_ != subscription_.changes()) {
                leave();  // it has asked to read something else
            }
            joining_changes_ = subscription_.changes();
            seat_ = groups.join(options_.group_id,
                                {options_.group_instance_id, options_.max_poll_interval, options_.session_timeout, options_.partition_assignment_strategy},
                                subscription_.for_group(), &inquiries_);
            seat_.shared->polls.store(1, std::memory_order_release);  // it is in one
            asked_at_.reset();
        } else if (told_changes_ != subscription_.changes()) {
            groups.subscribe(options_.group_id, seat_.id, subscription_.for_group(), &inquiries_);
            asked_at_.reset();
        }
        told_changes_ = subscription_.changes();
        const std::uint64_t changes = seat_.shared->changes.load(std::memory_order_acquire);  // before it is looked at: what changes from here on is seen next time
        if (asked_at_ != changes) {
            inquiries_.clear();  // their answers may be of before
            asked_at_ = changes;
            has_released_ = has_taken_ = false;
        }
        begin_taken();
        if (!has_released_) {
            if (const auto going = groups.to_release(options_.group_id, seat_.id, &inquiries_); !going.empty()) {
                give_up(groups, going);
            }
            has_released_ = true;
        }
        if (!has_taken_) {
            to_take_ = groups.take(options_.group_id, seat_.id, awaits_more_, &inquiries_);
            has_taken_ = true;  // they are its own from here on, and are not given again
            begin_taken();
        }
        seen_changes_ = changes;
    }

    /// What the group has given it, and it does not read yet. Where there is no memory for that the next poll goes on here.
    void begin_taken() {
        while (!to_take_.empty()) {
            if (subscription_.find(to_take_.front().topic) != nullptr) {
                came_.reserve(came_.size() + 1);
                take(partition_at(to_take_.front()));
                partitions_.back().is_untold = true;
                came_.push_back(partitions_.back().of);
                for (const auto& one : sought_) {
                    if (one.of == came_.back()) {
                        go(partitions_.back(), one.next);
                    }
                }
            }
            erase_at(to_take_, 0);
        }
    }

    /// What the group shares out is of the topics that its members have named to it.
    [[nodiscard]] brook::partition partition_at(const broker_room::group_place& place) const {
        const auto* const topic = subscription_.find(place.topic);
        BROOK_ASSERT(topic != nullptr);
        return {topic->of, place.partition};
    }

    /// The listener may commit; whatever it throws, the group goes on without these.
    void give_up(broker_room::group_service& groups, const std::vector<broker_room::group_place>& going) {
        std::vector<brook::partition> told;
        for (const auto& one : partitions_) {
            for (const auto& place : going) {
                if (id_of(one.of) == place.topic && one.of.number() == place.partition) {
                    told.push_back(one.of);
                }
            }
        }
        std::exception_ptr thrown;
        try {
            tell(options_.rebalance_listener.on_partitions_revoked, told);
        } catch (...) {
            thrown = std::current_exception();
        }
        for (const auto& one : told) {
            if (const std::size_t i = place_of(one); i < partitions_.size()) {
                erase_at(partitions_, i);
            }
        }
        next_partition_ = 0;
        try {
            groups.release(options_.group_id, seat_.id, going, &inquiries_);
        } catch (const error& why) {
            if (!thrown || why.code() != errc::coordinator_not_available) {
                throw;
            }  // else the next poll finds the answer
        }
        if (thrown) {
            std::rethrow_exception(thrown);
        }
    }

    /// The group has put this member out. It joins again as a new one, unless another has its name now.
    void lose_all() {
        const std::vector<brook::partition> lost = assignment();
        partitions_.clear();
        came_.clear();
        next_partition_ = 0;
        has_settled_ = false;
        seat_ = {};
        forget_inquiries();
        tell(options_.rebalance_listener.on_partitions_lost, lost);
    }

    static void tell(const callback<void(const std::vector<brook::partition>&)>& listener, const std::vector<brook::partition>& what) {
        if (listener && !what.empty()) {
            listener(what);
        }
    }

    [[nodiscard]] failure fenced() const {
        return !is_fenced_ ? failure{}
                           : failure{errc::fenced_instance_id, "group '" + options_.group_id + "': another consumer came with the group_instance_id '" +
                                                                   options_.group_instance_id + "', and has taken this one's place; give this one up, or subscribe again"};
    }

    /// What it reads is settled with others.
    [[nodiscard]] bool is_of_a_group() const noexcept { return subscription_.is_there() && !options_.group_id.empty(); }

    /// Something to settle: with the group, or because topics have come.
    [[nodiscard]] bool has_changed() const noexcept {
        return (seat_.shared != nullptr && seat_.shared->changes.load(std::memory_order_acquire) != seen_changes_) || has_new_topics();
    }

    [[nodiscard]] bool has_new_topics() const noexcept { return shared_ && subscription_.has_news(*shared_); }

    [[nodiscard]] std::optional<broker_room::committed_position> find_commit(const brook::partition& which) const {
        return open_core()->groups().committed(options_.group_id, id_of(which), which.number());
    }

    /// R7: a commit of a history that was cut, by the epoch of its last record or by the end of the log, is not believed:
    /// the log is right, and the group goes on where the two part. A copy of a replicated log that ends before the commit, and has
    /// nothing of a later epoch, is only behind: another member has read another broker's copy. Then this one waits for it.
    void adopt_commit(broker_room::core& core, assigned& one, broker_room::group_inquiries* later) {
        const auto found = core.groups().committed(options_.group_id, id_of(one.of), one.of.number(), later);
        one.knows_commit = true;
        if (!found) {
            return;
        }
        one.committed = found->next;
        if (one.has_position) {
            return;
        }
        const offset end = one.log->readable_end();
        if (const auto parting = find_parting(one, found->next, found->leader_epoch, end)) {
            report_cut(one, found->next, *parting);
            go(one, *parting);
            one.committed = -1;  // of another history, be it the same number
        } else {
            go(one, found->next);
            one.seen_end = found->next > end ? end : -1;
            one.committed_epoch = found->leader_epoch;
        }
    }

    /// Where a commit and the log, which can be read up to `end`, part; nullopt where they do not, as far as can be told.
    [[nodiscard]] static std::optional<offset> find_parting(assigned& one, offset committed, std::int32_t committed_epoch, offset end) {
        const offset next = committed < end ? committed : end;
        if (committed_epoch >= 0) {
            if (const auto epoch = one.log->epoch_before(next); epoch && *epoch > static_cast<std::uint32_t>(committed_epoch)) {
                return one.log->end_of_epoch(static_cast<std::uint32_t>(committed_epoch));
            }
        }
        return next == committed || one.log->options().is_replicated ? std::nullopt : std::optional{next};
    }

    void report_cut(const assigned& one, offset committed, offset next) {
        if (next != committed) {
            shared_->report({errc::offset_out_of_range, place(one.of) + ": group '" + options_.group_id + "' has committed offset " + std::to_string(committed) +
                                                            ", and what it had read there was cut with the power; it goes on at " + std::to_string(next)});
        }
    }

    /// False: this broker's copy has not come to what the group has committed, and it cannot be told yet whether it will.
    [[nodiscard]] bool has_come(assigned& one) {
        if (one.seen_end < 0) [[likely]] {
            return true;
        }
        const offset end = one.log->readable_end();
        if (end == one.seen_end) {
            return false;
        }
        const offset committed = one.reader.position_offset();
        if (const auto parting = find_parting(one, committed, one.committed_epoch, end)) {
            report_cut(one, committed, *parting);
            go(one, *parting);
            one.committed = -1;
        } else {
            one.seen_end = committed > end ? end : -1;
        }
        return one.seen_end < 0;
    }

    template <class Log>
    [[nodiscard]] offset end_of(Log& of) const {
        const offset end = options_.isolation_level == isolation_level::read_committed ? of.last_stable_offset() : of.log_end_offset();
        const offset start = of.log_start_offset();  // may be behind a transaction that is not decided
        return end > start ? end : start;
    }

    /// Of a topic that came later everything is new, also to who wants the latest.
    void begin(assigned& one) {
        const auto* const topic = subscription_.find(id_of(one.of));
        if (topic != nullptr && topic->is_late && options_.auto_offset_reset == offset_reset::latest) {
            one.reader.seek(one.log->log_start_offset());
        } else {
            reset(one, "nothing was committed");
        }
        one.has_position = true;
    }

    void reset(assigned& one, const std::string& why) {
        switch (options_.auto_offset_reset) {
            case offset_reset::earliest: one.reader.seek(one.log->log_start_offset()); break;
            case offset_reset::latest: one.reader.seek(end_of(*one.log)); break;
            case offset_reset::none:
                throw_error(errc::offset_out_of_range, place(one.of) + ": " + why + ", and auto_offset_reset is none; seek first, to something from " +
                                                           std::to_string(one.log->log_start_offset()) + " to " + std::to_string(one.log->readable_end()));
        }
    }

    // ---- polling ----

    records<Key, Value, Broker> poll_until(std::optional<std::chrono::nanoseconds> longest) {
        const detail::alive while_polling{seat_};
        broker_room::shared_state& shared = *shared_;
        std::optional<std::chrono::nanoseconds> deadline;
        bool is_settled = keep_up();
        records<Key, Value, Broker> found;  // here, so that it is made where it is returned
        for (;;) {
            fetch(found);
            if (!found.empty() || wakeups_->take() || (longest && longest->count() <= 0 && !partitions_.empty())) {
                return found;
            }
            const auto ticket = shared.readers.prepare();  // first: who closes from here on ends the wait
            open_core()->require_open();
            if (!is_settled || has_changed()) {  // behind the ticket: an answer that comes from here on ends the wait
                is_settled = keep_up();
                if (is_settled) {
                    continue;
                }
            }
            if (longest && longest->count() <= 0) {
                return found;
            }
            std::optional<std::chrono::nanoseconds> left;
            if (longest) {
                const auto now = shared.platform.monotonic();
                deadline = deadline ? deadline : std::optional{moment_after(now, *longest)};
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
            if (!is_settled) {  // the coordinator has not answered: its answer wakes, and where nobody is to be asked it is tried again; meanwhile what it reads goes on
                if (!has_more() && !wakeups_->is_rung()) {
                    shared.readers.wait(ticket, left && *left < coordinator_pause ? *left : std::chrono::nanoseconds{coordinator_pause});
                }
            } else if (nothing_new() && !wakeups_->is_rung() && !has_changed()) {
                shared.readers.wait(ticket, left);
            }
        }
    }
    static constexpr std::chrono::milliseconds coordinator_pause{50};

    /// Commits what polls have given, where they do that, then settles what has changed. Waits for nothing.
    /// Returns   false: the coordinator of its group has not answered yet, or cannot be reached.
    [[nodiscard]] bool keep_up() {
        const bool is_committed = !options_.enable_auto_commit || !has_settled_ || commit_before_polling();
        const bool is_settled = (has_settled_ && !has_changed()) || (is_committed && try_settle());  // what it has read is committed before it gives that up
        return is_committed && is_settled;
    }

    /// False: as `keep_up`.
    [[nodiscard]] bool try_settle() {
        try {
            settle();
            return true;
        } catch (const error& why) {
            if (why.code() != errc::coordinator_not_available) {
                throw;
            }
            return false;
        }
    }

    /// After the flags are raised, once more: else a record that came just before would wait for the next one.
    [[nodiscard]] bool nothing_new() {
        for (const auto& one : partitions_) {
            if (one.log->is_closed()) {
                return false;
            }
        }
        return !has_more();
    }

    [[nodiscard]] bool has_more() {
        for (auto& one : partitions_) {
            const bool has_none = one.seen_end < 0 ? one.reader.at_end(options_.check_crcs) : one.seen_end == one.log->readable_end();
            if (!one.log->is_closed() && !one.is_paused && !one.is_untold && one.has_position && !has_none) {
                return true;
            }
        }
        return false;
    }

    /// Takes what a reader gives.
    struct collected {
        records<Key, Value, Broker>& into;
        std::uint64_t decoded = 0;  ///< bytes of what was compressed

        void push_back(typename engine_type::range&& part) {
            decoded += part.decoded.length();
            into.add(std::move(part));
        }
    };

    /// One look at each partition, beginning where the last look ended, so that none is starved.
    void fetch(records<Key, Value, Broker>& found) {
        const auto most = static_cast<std::uint32_t>(options_.max_poll_records);
        std::uint64_t decoded_left = engine_type::reader::default_most_decoded;
        for (std::size_t i = 0, at = next_partition_; i < partitions_.size() && found.size() < most && decoded_left > 0;
             ++i, at = at + 1 < partitions_.size() ? at + 1 : 0) {
            assigned& one = partitions_[at];
            if (one.log->is_closed()) [[unlikely]] {
                if (is_deleted(one) && (subscription_.is_there() || !found.empty())) {
                    continue;  // what is left of its topics goes on; what was found first is given first
                }
                one.log->refusal().raise();
            }
            if (one.is_paused || one.is_untold || !one.has_position || !has_come(one) || one.reader.sees_nothing()) {
                continue;
            }
            collected here{found};
            const std::uint32_t left = most - static_cast<std::uint32_t>(found.size());
            failure why = one.reader.fetch(left, options_.check_crcs, here, decoded_left);
            if (why) [[unlikely]] {
                if (!found.empty()) {
                    break;  // what was found first is given first
                }
                if (why.code == errc::offset_out_of_range) {
                    reset(one, "there is no offset " + std::to_string(one.reader.position_offset()));
                    why = one.reader.fetch(left, options_.check_crcs, here, decoded_left);
                }
                if (why.code == errc::unknown_topic_or_partition && subscription_.is_there()) {
                    continue;  // it is being deleted: settled as soon as that is done
                }
                if (why && why.code != errc::offset_out_of_range) {  // else the start has moved again: the next poll looks
                    why.raise();
                }
            }
            decoded_left -= here.decoded < decoded_left ? here.decoded : decoded_left;
        }
        next_partition_ = next_partition_ + 1 < partitions_.size() ? next_partition_ + 1 : 0;
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

    static void raise(const failure& why) {
        if (why) {
            why.raise();
        }
    }

    /// What auto commit does: one commit after the other, of everything that has been given by then. Who has been put out is told so by the poll that it
    /// does it for.
    /// Returns   false: it is not known yet that all of it is committed.
    [[nodiscard]] bool commit_before_polling() {
        for (;;) {
            if (committing_.empty()) {
                committing_ = positions_read();
            }
            if (committing_.empty()) {
                return true;
            }
            const failure why = open_core()->groups().commit(options_.group_id, seat_.id, committing_, &commits_);
            if (why.code == errc::coordinator_not_available) {
                if (commits_.is_empty()) {
                    committing_.clear();  // it was not reached: the next try commits more
                }
                return false;
            }
            const auto done = std::exchange(committing_, {});
            if (!why) {
                note_committed(done);
            } else if (why.code == errc::illegal_generation) {
                return true;
            } else if (!is_any_deleted(done)) {  // else they are left out the next time
                raise(why);
            }
        }
    }

    [[nodiscard]] broker_room::committed_position position_of(const assigned& one, offset next, std::string metadata) const {
        auto epoch = next == one.reader.position_offset() ? one.reader.epoch_passed() : std::nullopt;  // most commit what they have just read
        if (!epoch) {
            epoch = one.log->epoch_before(next);
        }
        return {id_of(one.of), one.of.number(), next, epoch ? static_cast<std::int32_t>(*epoch) : -1, std::move(metadata)};
    }

    /// Nothing is committed for a topic that was deleted, also while that is done, and of partitions assigned by hand.
    [[nodiscard]] failure commit_all() {
        for (;;) {
            const std::vector<broker_room::committed_position> positions = positions_read();
            failure why = commit(positions);
            if (!why || !is_any_deleted(positions)) {
                return why;
            }
        }
    }

    /// Of partitions whose topic is there, as far as they are not committed already.
    [[nodiscard]] std::vector<broker_room::committed_position> positions_read() const {
        std::vector<broker_room::committed_position> positions;
        for (const auto& one : partitions_) {
            if (!is_deleted(one) && one.has_position && one.reader.position_offset() != one.committed) {
                positions.push_back(position_of(one, one.reader.position_offset(), {}));
            }
        }
        return positions;
    }

    [[nodiscard]] bool is_any_deleted(const std::vector<broker_room::committed_position>& positions) const noexcept {
        for (const auto& position : positions) {
            for (const auto& one : partitions_) {
                if (id_of(one.of) == position.topic && is_deleted(one)) {
                    return true;
                }
            }
        }
        return false;
    }

    void note_committed(const std::vector<broker_room::committed_position>& positions) {
        for (const auto& position : positions) {
            for (auto& one : partitions_) {
                one.committed = one.of.number() == position.partition && id_of(one.of) == position.topic ? position.next : one.committed;
            }
        }
    }

    [[nodiscard]] failure commit(const std::vector<broker_room::committed_position>& positions) {
        if (positions.empty()) {
            return {};
        }
        const auto core = open_core();
        if (failure why = core->groups().commit(options_.group_id, seat_.id, positions)) {
            return why;
        }
        note_committed(positions);
        return {};
    }

    /// As many as there are: it does not read it.
    [[nodiscard]] std::size_t place_of(const brook::partition& which) const noexcept {
        std::size_t i = 0;
        while (i < partitions_.size() && !(partitions_[i].of == which)) {
            ++i;
        }
        return i;
    }

    [[nodiscard]] assigned& find(const brook::partition& which) {
        require_ours(which);
        if (const std::size_t i = place_of(which); i < partitions_.size()) {
            return partitions_[i];
        }
        raise(fenced());
        throw_error(errc::unknown_topic_or_partition, place(which) + (is_of_a_group()
                                                          ? ": this consumer does not read it now; what a member of a group reads is settled by its polls"
                                                      : subscription_.has_pattern() ? ": this consumer does not read it yet; its next poll looks for topics that have come"
                                                                 : ": this consumer does not read it; assign it first"));
    }

    /// A partition of a topic that it reads, or will have read by its next poll; of any topic, if it is assigned to.
    void require_ours(const brook::partition& which) const {
        require_our_broker(which);
        const broker_room::topic_state& topic = *state_of(which);
        if (subscription_.is_there() && !subscription_.covers(topic, types())) {
            throw_error(errc::unknown_topic_or_partition, place(which) + ": this consumer reads " + what() + ", and that is a partition of another");
        }
    }

    void require_our_broker(const brook::partition& which) const {
        if (state_of(which)->shared != shared_) {
            throw_error(errc::invalid_config, place(which) + ": this handle is another broker's, and this consumer reads the copies of its own; take the partition from a topic of that one");
        }
        state_of(which)->require_there();
    }

    void require_group() const {
        if (options_.group_id.empty()) {
            throw_error(errc::illegal_state, "consumer of " + what() + ": it has no group_id to commit for");
        }
    }

    /// Errors    closed.
    [[nodiscard]] std::shared_ptr<broker_room::core> open_core() const {
        auto core = core_.lock();
        if (!core || core->is_closed()) {
            throw_error(errc::closed, "consumer of " + what() + ": its broker is closed");
        }
        return core;
    }

    [[nodiscard]] static const broker_room::topic_handle& state_of(const brook::partition& which) noexcept { return detail::access::engine(which).state(); }
    [[nodiscard]] static const format::topic_id& id_of(const brook::partition& which) noexcept { return state_of(which)->meta.id; }

    // ---- texts ----

    [[nodiscard]] static std::string place(const brook::partition& which) {
        return "topic '" + which.topic() + "', partition " + std::to_string(which.number());
    }

    /// What it reads.
    [[nodiscard]] std::string what() const { return subscription_.text(); }

    void leave() noexcept {
        for (const auto id : {seat_.id, inquiries_.joining}) {  // also where it is not known whether it has joined
            if (const auto core = id != 0 ? core_.lock() : nullptr) {
                core->leave(options_.group_id, id);
            }
        }
        seat_ = {};
        inquiries_ = {};
    }

    consumer_options options_;
    std::weak_ptr<broker_room::core> core_;
    std::shared_ptr<broker_room::shared_state> shared_;
    detail::subscription subscription_;
    std::uint64_t told_changes_ = 0;            // of what it reads, that the group knows of
    std::vector<assigned> partitions_;
    std::size_t next_partition_ = 0;
    std::vector<sought> sought_;                // by its owner, before the group had settled
    std::vector<brook::partition> came_;        // the listener has not been told yet
    broker_room::group_seat seat_;
    std::uint64_t seen_changes_ = 0;
    broker_room::group_inquiries inquiries_;    // what the group's coordinator has been asked,
    std::uint64_t joining_changes_ = 0;         // what it was to read when it asked to join,
    std::optional<std::uint64_t> asked_at_;     // which of the group's changes the others are of,
    bool has_released_ = false;                 // and what has been answered and followed
    bool has_taken_ = false;
    std::vector<broker_room::group_place> to_take_;  // given to it by its group, and not read yet
    broker_room::group_inquiries commits_;      // auto commit's, one at a time:
    std::vector<broker_room::committed_position> committing_;  // this is what it commits
    bool has_settled_ = false;                  // what it reads is decided,
    bool awaits_more_ = false;                  // and others still have some of it
    bool is_fenced_ = false;                    // another has its instance id
    std::unique_ptr<detail::bell> wakeups_;
};

template <class Key, class Value, class Broker>
consumer(const topic<Key, Value, Broker>&) -> consumer<Key, Value, Broker>;
template <class Key, class Value, class Broker>
consumer(const topic<Key, Value, Broker>&, basic_consumer_options<typename partition_of<Broker>::type>) -> consumer<Key, Value, Broker>;
template <class Key, class Value, class Broker>
consumer(std::initializer_list<topic<Key, Value, Broker>>) -> consumer<Key, Value, Broker>;
template <class Key, class Value, class Broker>
consumer(std::initializer_list<topic<Key, Value, Broker>>, basic_consumer_options<typename partition_of<Broker>::type>) -> consumer<Key, Value, Broker>;

}  // namespace brook::inline BROOK_ABI
