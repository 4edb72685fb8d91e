/// \file brook/kafka/reader.hpp
/// A consumer's untyped half: what it reads, and what its group says.
/// Edge of floor 6, kafka.
#pragma once

#include <librdkafka/rdkafka.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/client/topic_pattern.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/kafka/administration.hpp>
#include <brook/kafka/commits.hpp>
#include <brook/kafka/connection.hpp>
#include <brook/kafka/consumer_settings.hpp>
#include <brook/kafka/partition_list.hpp>
#include <brook/kafka/positions.hpp>
#include <brook/kafka/records.hpp>
#include <brook/kafka/refusal.hpp>
#include <brook/kafka/topic.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// Kafka's offsets, and its groups', for one consumer. Where it is a member of a group, librdkafka's threads speak for it, and everything that a
/// rebalance does is done inside its own polls.
///
/// Threads   confined, but for `wakeup`.
/// Cost      a handle of librdkafka's: some threads, a connection a broker.
class reader {
public:
    reader(std::shared_ptr<administration> admin, consumer_options options) : admin_{std::move(admin)}, options_{std::move(options)}, commits_{admin_->of(), options_.group_id} {}
    reader(const reader&) = delete;
    reader& operator=(const reader&) = delete;
    ~reader() { leave(); }

    // ---- what to read ----

    /// Errors    invalid_config, closed.
    void subscribe(std::vector<std::shared_ptr<const topic_state>> topics) {
        begin_anew();
        topics_ = std::move(topics);
        pattern_.reset();
        mode_ = is_in_group() ? mode::subscribed : mode::alone;
        open();
        if (mode_ == mode::alone) {
            for (const auto& topic : topics_) {
                for (std::int32_t number = 0; number < topic->partition_count; ++number) {
                    positions_.add({topic, number});
                }
            }
        } else {
            const owned_list wanted = make_list();
            for (const auto& one : topics_) {
                rd_kafka_topic_partition_list_add(wanted.get(), one->name.c_str(), RD_KAFKA_PARTITION_UA);
            }
            raise(rd_kafka_subscribe(handle(), wanted.get()), what());
        }
    }

    void subscribe(const topic_pattern& pattern) {
        begin_anew();
        topics_.clear();
        pattern_ = pattern;
        mode_ = mode::subscribed;  // without a group, in one of its own
        open();
        const owned_list wanted = make_list();
        rd_kafka_topic_partition_list_add(wanted.get(), expression_of(pattern.text()).c_str(), RD_KAFKA_PARTITION_UA);
        raise(rd_kafka_subscribe(handle(), wanted.get()), what());
    }

    void assign(std::vector<partition> chosen) {
        begin_anew();
        topics_.clear();
        pattern_.reset();
        mode_ = mode::assigned;
        open();
        for (auto& one : chosen) {
            positions_.add(std::move(one));
        }
    }

    [[nodiscard]] std::vector<partition> assignment() const {
        std::vector<partition> all;
        for (const auto& one : positions_.all()) {
            all.push_back(one.of);
        }
        return all;
    }

    /// Errors    invalid_config.
    void require_legal() const { kafka::require_legal(options_, what()); }

    // ---- reading ----

    [[nodiscard]] message_batch poll(std::optional<std::chrono::nanoseconds> longest) {
        require_open();
        raise_kept();
        if (options_.enable_auto_commit && has_settled_ && !commits_.rests()) {
            commits_.later(*client_, positions_);
        }
        const deadline end{longest.value_or(std::chrono::nanoseconds::max())};
        message_batch found;
        found.hold(client_);
        do {
            start_reading();
            seek_again();
            const auto left = is_rung_.load() ? std::chrono::nanoseconds{} : end.left();
            take(found.all(), left < longest_sleep ? milliseconds_of(left) : milliseconds_of(longest_sleep));
            tell_listener();
            if (!found.all().empty()) {
                return found;  // what else there is to tell the next poll tells
            }
            require_open();
            raise_kept();
        } while (!is_rung_.exchange(false) && !end.is_over());
        return found;
    }

    [[nodiscard]] bool caught_up() {
        if (!has_settled_ || is_settling_ || kept_ || thrown_) {
            return false;
        }
        for (const auto& one : positions_.all()) {
            if (!one.is_paused && (!one.is_at_end || one.wanted)) {
                return false;
            }
        }
        return is_at_ends();
    }

    /// Any thread.
    void wakeup() noexcept {
        is_rung_.store(true);
        const std::scoped_lock guard{mutex_};
        if (queue_) {
            rd_kafka_queue_yield(queue_.get());
        }
    }

    /// Where the partition began when something of it last came; -1: nothing has.
    [[nodiscard]] offset log_start_seen(const partition& which) const noexcept {
        std::int64_t first = -1;
        std::int64_t end = -1;
        static_cast<void>(rd_kafka_get_watermark_offsets(handle(), which.topic().c_str(), which.number(), &first, &end));
        return first;
    }

    void pause(const partition& which) {
        find(which).is_paused = true;
        if (is_reading_) {  // else when it begins to
            raise(rd_kafka_pause_partitions(handle(), list_of(which).get()), place_text(which));
        }
    }
    void resume(const partition& which) {
        find(which).is_paused = false;
        if (is_reading_) {
            raise(rd_kafka_resume_partitions(handle(), list_of(which).get()), place_text(which));
        }
    }

    // ---- where ----

    [[nodiscard]] offset position(const partition& which) {
        require_ours(which);
        if (place* const one = positions_.of(which); one != nullptr && has_settled_) {
            return position_of(*one);
        }
        if (const positions::sought* const one = positions_.sought_for(which)) {
            return one->next;
        }
        if (place* const one = positions_.of(which); one != nullptr && one->wanted) {
            return *one->wanted;
        }
        if (has_settled_) {
            static_cast<void>(find(which));  // says that it is not ours
        }
        throw_error(errc::no_offset, place_text(which) + ": it has no position before the first poll");
    }

    void seek(const partition& which, offset wanted) {
        require_ours(which);
        if (wanted < 0) {
            wanted = largest_offset;  // one that the partition does not have: it goes by auto_offset_reset
        }
        if (place* const one = positions_.of(which); one != nullptr) {
            go(*one, wanted);
        } else if (mode_ != mode::subscribed || has_settled_) {
            static_cast<void>(find(which));  // says that it is not ours
        } else {
            positions_.note_sought(which, wanted);
        }
    }

    /// To `at`, of administration's words, or a time in milliseconds; where there is nothing, to the end.
    void seek_all(std::int64_t at) {
        const bool is_stable = options_.isolation_level == isolation_level::read_committed;
        const auto found_in = [&](const partition& which) {
            offset found = admin_->offsets(which.topic(), {which.number()}, at, is_stable)[0];
            return found >= 0 ? found : admin_->offsets(which.topic(), {which.number()}, administration::at_end, is_stable)[0];
        };
        for (auto& one : positions_.all()) {
            go(one, found_in(one.of));
        }
        if (mode_ == mode::subscribed && !has_settled_) {
            for (const auto& topic : topics_) {
                for (std::int32_t number = 0; number < topic->partition_count; ++number) {
                    const partition one{topic, number};
                    positions_.note_sought(one, found_in(one));
                }
            }
        }
    }

    // ---- committing ----

    void commit() {
        require_group();
        commit_all();
    }

    void commit(const partition& which, offset next, const std::string& metadata) {
        require_group();
        if (metadata.size() > longest_metadata) {
            throw_error(errc::offset_metadata_too_large, place_text(which) + ": " + std::to_string(metadata.size()) + " bytes of metadata; at most " +
                                                             std::to_string(longest_metadata) + " go with a commit");
        }
        require_open();
        place& one = find(which);
        if (const offset end = which.log_end_offset(); next < 0 || next > end) {
            throw_error(errc::offset_out_of_range, place_text(which) + ": offset " + std::to_string(next) + " cannot be committed; 0 to " + std::to_string(end) + " can");
        }
        const owned_list list = make_list();
        add_to(list.get(), which, next, metadata);
        commits_.now(*client_, list.get());
        one.committed = next;
    }

    void seek_to_committed() {
        require_group();
        require_open();
        for (auto& one : positions_.all()) {
            const auto found = committed(one.of);
            one.committed = found ? found->first : -1;
            go(one, found ? found->first : begin_of(one.of));
        }
    }

    /// What was committed, and what was said with it.
    [[nodiscard]] std::optional<std::pair<offset, std::string>> committed(const partition& which) {
        require_group();
        require_ours(which);
        require_open();
        const owned_list list = list_of(which);
        administration::ask_again(admin_->patience(), *client_, place_text(which) + ": committed offset of group '" + options_.group_id + '\'',
                                  [&](int timeout) {
                                      const auto code = rd_kafka_committed(handle(), list.get(), timeout);
                                      return code != RD_KAFKA_RESP_ERR_NO_ERROR ? code : list->elems[0].err;
                                  });
        const auto& one = list->elems[0];
        if (one.offset < 0) {
            return std::nullopt;
        }
        return std::pair{offset{one.offset}, one.metadata != nullptr ? std::string{static_cast<const char*>(one.metadata), one.metadata_size} : std::string{}};
    }

    /// For a transaction: the positions of all that it has read, and its group's metadata.
    [[nodiscard]] owned_list read_so_far() {
        require_group();
        require_open();
        if (options_.enable_auto_commit) {
            throw_error(errc::invalid_config, "consumer of " + what() + ": with enable_auto_commit its polls commit, before a transaction does; leave it out");
        }
        owned_list all = make_list();
        for (auto& one : positions_.all()) {
            if (one.next >= 0 && one.next != largest_offset) {
                add_to(all.get(), one.of, one.next, {});
            }
        }
        return all;
    }
    [[nodiscard]] const std::shared_ptr<client>& handle_owner() const noexcept { return client_; }
    [[nodiscard]] const std::shared_ptr<administration>& cluster() const noexcept { return admin_; }

    void require_open() const { admin_->of()->require_open("consumer of " + what()); }

    /// What it reads.
    [[nodiscard]] std::string what() const {
        if (pattern_) {
            return "pattern '" + pattern_->text() + '\'';
        }
        if (mode_ == mode::assigned) {
            return "assigned partitions";
        }
        std::string names = topics_.size() == 1 ? "topic " : "topics ";
        for (std::size_t i = 0; i < topics_.size(); ++i) {
            names += (i == 0 ? "'" : ", '") + topics_[i]->name + '\'';
        }
        return names;
    }

private:
    static constexpr std::size_t longest_metadata = 4096;
    static constexpr std::chrono::milliseconds longest_sleep{1000};  // a wakeup ends it

    enum class mode {
        alone,       ///< all partitions of its topics
        subscribed,  ///< those that the group gives it
        assigned,    ///< those that its owner has given it
    };

    using place = positions::place;

    [[nodiscard]] bool is_in_group() const noexcept { return !options_.group_id.empty(); }
    [[nodiscard]] rd_kafka_t* handle() const noexcept { return client_->get(); }

    // ---- its beginning and end ----

    void begin_anew() {
        require_open_cluster();
        if (client_) {
            leave();
        }
        positions_.clear();
        came_.clear();
        has_settled_ = is_settling_ = is_second_join_due_ = is_reading_ = false;
        kept_ = {};
        thrown_ = nullptr;
    }

    void require_open_cluster() const { admin_->of()->require_open("a consumer"); }

    void open() {
        kafka::cluster& of = *admin_->of();
        settings with = settings_of(of, options_);
        rd_kafka_conf_set_rebalance_cb(with.get(), [](rd_kafka_t*, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t* list, void* opaque) {
            static_cast<reader*>(static_cast<client*>(opaque)->owner())->rebalance(code, *list);
        });
        rd_kafka_conf_set_offset_commit_cb(with.get(), [](rd_kafka_t*, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t* list, void* opaque) {
            auto* const self = static_cast<reader*>(static_cast<client*>(opaque)->owner());
            self->commits_.learn(code, list, self->positions_);
        });
        was_given_ = false;
        client_ = std::make_shared<client>(admin_->of(), RD_KAFKA_CONSUMER, std::move(with), this);
        raise(rd_kafka_poll_set_consumer(handle()), what());
        const std::scoped_lock guard{mutex_};
        queue_.reset(rd_kafka_queue_get_consumer(handle()));
    }

    /// Errors    none: what a cluster says to a member that leaves changes nothing.
    void leave() noexcept {
        if (client_) {
            is_leaving_ = true;
            const bool has_joined = is_cooperative();
            static_cast<void>(rd_kafka_consumer_close(handle()));
            {
                const std::scoped_lock guard{mutex_};
                queue_.reset();
            }
            if (has_joined && !was_given_ && rd_kafka_version() < mends_half_joined) {
                client::keep_for_ever(client_);
            }
            client_.reset();  // or the last records that were read from it
            is_leaving_ = false;
        }
    }

    /// Before this one (its issue 4312), librdkafka ends the process where a cooperative member's handle is destroyed whose join was answered
    /// and to whom no assignment has come yet. Such a handle is closed, so that its group goes on, and not destroyed.
    static constexpr int mends_half_joined = 0x02030000;

    /// False before a join was answered.
    [[nodiscard]] bool is_cooperative() const noexcept {
        const char* const protocol = rd_kafka_rebalance_protocol(handle());
        return protocol != nullptr && std::string_view{protocol} == "COOPERATIVE";
    }

    // ---- places ----

    [[nodiscard]] place& find(const partition& which) {
        require_ours(which);
        if (place* const one = positions_.of(which)) {
            return *one;
        }
        throw_error(errc::unknown_topic_or_partition, place_text(which) + (mode_ == mode::subscribed ? ": this consumer does not read it now; what a member of a group reads is settled by its polls"
                                                                                                     : ": this consumer does not read it; assign it first"));
    }

    void require_ours(const partition& which) const {
        if (which.state()->cluster->of() != admin_->of()) {
            throw_error(errc::invalid_config, place_text(which) + ": this handle is another broker's; take the partition from a topic of the consumer's own");
        }
        bool is_ours = mode_ == mode::assigned || (pattern_ && pattern_->matches(which.topic()));
        for (const auto& one : topics_) {
            is_ours = is_ours || one->name == which.topic();
        }
        if (!is_ours) {
            throw_error(errc::unknown_topic_or_partition, place_text(which) + ": this consumer reads " + what() + ", and that is a partition of another");
        }
    }

    void require_group() const {
        if (!is_in_group()) {
            throw_error(errc::illegal_state, "consumer of " + what() + ": it has no group_id to commit for");
        }
    }

    /// The state of a topic that it knows, or of one that its pattern has found.
    [[nodiscard]] std::shared_ptr<const topic_state> state_of(const std::string& topic, std::int32_t at_least) const {
        for (const auto& one : topics_) {
            if (one->name == topic && one->partition_count >= at_least) {
                return one;
            }
        }
        return std::make_shared<topic_state>(topic_state{admin_, topic, at_least});
    }

    // ---- positions ----

    void go(place& one, offset wanted) {
        one.wanted = wanted;
        one.next = wanted;
        one.is_at_end = false;
        if (is_reading_) {
            seek_again();
        }
    }

    /// librdkafka refuses a seek where it has not begun to read a partition: then later.
    void seek_again() {
        const owned_list list = make_list();
        for (const auto& one : positions_.all()) {
            if (one.wanted) {
                add_to(list.get(), one.of, *one.wanted, {});
            }
        }
        if (list->cnt == 0 || !is_reading_) {
            return;
        }
        const owned_error error{rd_kafka_seek_partitions(handle(), list.get(), 1'000)};
        for (int i = 0; i < list->cnt; ++i) {
            if (place* const one = positions_.of(list->elems[i].topic, list->elems[i].partition); one != nullptr && !error && list->elems[i].err == RD_KAFKA_RESP_ERR_NO_ERROR) {
                one->wanted.reset();
            }
        }
    }

    /// Where it has received nothing yet, as the cluster says.
    [[nodiscard]] offset position_of(place& one) {
        if (one.next < 0) {
            const auto found = is_in_group() ? committed(one.of) : std::nullopt;
            return found ? found->first : begin_of(one.of);
        }
        return one.next;
    }

    /// By auto_offset_reset.
    [[nodiscard]] offset begin_of(const partition& of) {
        const bool is_stable = options_.isolation_level == isolation_level::read_committed;
        switch (options_.auto_offset_reset) {
            case offset_reset::earliest: return of.log_start_offset();
            case offset_reset::latest: return is_stable ? of.last_stable_offset() : of.log_end_offset();
            case offset_reset::none: break;
        }
        throw_error(errc::offset_out_of_range, place_text(of) + ": nothing was committed, and auto_offset_reset is none; seek first, to something from " +
                                                   std::to_string(of.log_start_offset()) + " to " + std::to_string(of.log_end_offset()));
    }

    /// Every partition has said that it is at its end; more may have come since.
    [[nodiscard]] bool is_at_ends() {
        for (std::size_t i = 0; i < positions_.all().size(); ++i) {
            std::vector<std::int32_t> numbers;
            std::vector<offset> ends;
            bool is_first = true;
            for (std::size_t k = 0; k < positions_.all().size(); ++k) {
                if (positions_.all()[k].of.topic() == positions_.all()[i].of.topic()) {
                    is_first = is_first && k >= i;
                    numbers.push_back(positions_.all()[k].of.number());
                }
            }
            if (!is_first) {
                continue;  // asked for with the first of its topic
            }
            if (administration::offsets_once(handle(), positions_.all()[i].of.topic(), numbers, administration::at_end, end_timeout, ends) != RD_KAFKA_RESP_ERR_NO_ERROR) {
                return false;  // it cannot be told; polls say what is wrong
            }
            for (std::size_t k = 0; k < numbers.size(); ++k) {
                const place* const one = positions_.of(positions_.all()[i].of.topic(), numbers[k]);
                if (one == nullptr || (!one->is_paused && one->next < ends[k])) {
                    return false;
                }
            }
        }
        return true;
    }
    static constexpr int end_timeout = 5'000;

    // ---- polling ----

    /// What is read without a group is begun here, so that a seek before the first poll decides where.
    void start_reading() {
        if (is_reading_) {
            return;
        }
        if (mode_ == mode::subscribed) {
            is_reading_ = true;  // the group says what
            return;
        }
        const owned_list list = make_list();
        for (auto& one : positions_.all()) {
            if (!one.wanted && options_.auto_offset_reset == offset_reset::none) {
                const auto found = is_in_group() ? committed(one.of) : std::nullopt;
                one.wanted = found ? found->first : begin_of(one.of);  // which says why not
                one.committed = found ? found->first : -1;
            }
            if (one.wanted) {
                one.next = *one.wanted;
            }
            const bool is_latest = options_.auto_offset_reset == offset_reset::latest;
            add_to(list.get(), one.of, one.wanted ? *one.wanted : is_in_group() ? RD_KAFKA_OFFSET_STORED : is_latest ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING, {});
        }
        raise(rd_kafka_assign(handle(), list.get()), "consumer of " + what());
        for (auto& one : positions_.all()) {
            one.wanted.reset();
            if (one.is_paused) {
                raise(rd_kafka_pause_partitions(handle(), list_of(one.of).get()), place_text(one.of));
            }
        }
        positions_.forget_sought();
        is_reading_ = has_settled_ = true;
    }

    /// What has come, without waiting for more once something has.
    void take(std::vector<rd_kafka_message_t*>& into, int timeout) {
        const auto most = static_cast<std::size_t>(options_.max_poll_records);  // as many as that may never come: they are not all made room for
        for (std::size_t count = 0, wanted = 1; wanted != 0;) {
            into.resize(count + wanted);
            const ssize_t come = rd_kafka_consume_batch_queue(queue_.get(), count == 0 ? timeout : 0, into.data() + count, wanted);
            count += come > 0 ? static_cast<std::size_t>(come) : 0;
            into.resize(count);
            const bool is_more = come == static_cast<ssize_t>(wanted);
            wanted = !is_more ? 0 : most - count < records_at_once ? most - count : records_at_once;
        }
        std::size_t kept = 0;
        for (auto* const one : into) {  // nothing here throws before all are sorted
            if (keep(*one)) {
                into[kept++] = one;
            } else {
                rd_kafka_message_destroy(one);
            }
        }
        into.resize(kept);
    }

    static constexpr std::size_t records_at_once = 500;

    /// False: it is no record for its owner.
    [[nodiscard]] bool keep(const rd_kafka_message_t& message) noexcept {
        if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR) [[likely]] {
            place* const one = positions_.of(message);
            if (one == nullptr || one->wanted) {  // it was given up, or goes elsewhere, meanwhile
                return false;
            }
            if (one->is_untold) {  // it comes again, unless the listener goes elsewhere
                one->wanted = one->next = message.offset;
                return false;
            }
            one->next = message.offset + 1;
            one->is_at_end = false;
            return true;
        }
        try {
            learn(message);
        } catch (const std::exception&) {
            keep_caught();
        }
        return false;
    }

    void learn(const rd_kafka_message_t& message) {
        place* const one = message.rkt != nullptr ? positions_.of(message) : nullptr;
        if (message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            if (one != nullptr && !one->wanted) {
                one->is_at_end = true;
                one->next = message.offset;
            }
            return;
        }
        const rd_kafka_resp_err_t code = message.err;
        if (code == RD_KAFKA_RESP_ERR__FATAL) {
            return;  // librdkafka remembers it for raise_kept
        }
        if (code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED && !is_in_group() && mode_ != mode::subscribed) {
            return;  // librdkafka asks for the coordinator of every group_id, and that one is only its own
        }
        const char* reason = rd_kafka_message_errstr(&message);
        if (code == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED || administration::is_worth_a_retry(code)) {
            admin_->of()->report(refusal(code, "consumer of " + what(), reason));  // librdkafka goes on by itself
            return;
        }
        const std::string where = message.rkt != nullptr ? "topic '" + std::string{rd_kafka_topic_name(message.rkt)} + "', partition " + std::to_string(message.partition)
                                                         : "consumer of " + what();
        if (!kept_) {
            kept_ = refusal(code, where, reason);
            if (kept_.code == errc::offset_out_of_range) {
                kept_.text += "; auto_offset_reset is none: seek first";
            }
        }
    }

    /// For the next poll: what a catch clause has caught.
    void keep_caught() noexcept {
        if (!thrown_) {
            thrown_ = std::current_exception();
        } else {
            admin_->of()->report_caught();
        }
    }

    /// What a poll had to keep, since records stood before it; and who we are not believed to be.
    void raise_kept() {
        if (thrown_) {
            std::rethrow_exception(std::exchange(thrown_, nullptr));
        }
        if (kept_) {
            std::exchange(kept_, {}).raise();
        }
        if (const failure refused = client_->take_refused()) {
            refused.raise();
        }
        std::array<char, 512> reason{};
        if (const auto code = rd_kafka_fatal_error(handle(), reason.data(), reason.size()); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            refusal(code, "consumer of " + what(), reason.data()).raise();  // it reads no more: each poll says so
        }
    }

    // ---- what the group does, inside polls ----

    void rebalance(rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t& list) noexcept {
        try {
            if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
                was_given_ = true;
                is_settling_ = false;
                take_over(list);
                if (std::exchange(is_second_join_due_, false)) {
                    client_->joins().expect_join();
                }
            } else {
                is_settling_ = true;
                is_second_join_due_ = is_cooperative() && rd_kafka_assignment_lost(handle()) == 0;
                give_up(list);
            }
        } catch (...) {  // it must not pass through C
            keep_caught();
        }
        raise_or_keep(code, list);
        if (!came_.empty()) {
            rd_kafka_queue_yield(queue_.get());  // the poll that this is in goes on, and tells the listener, before it waits for records
        }
    }

    /// Tells librdkafka what was done, which it insists on.
    void raise_or_keep(rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t& list) noexcept {
        const bool is_coming = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        rd_kafka_resp_err_t answer = RD_KAFKA_RESP_ERR_NO_ERROR;
        if (is_cooperative()) {
            const owned_error error{is_coming ? rd_kafka_incremental_assign(handle(), &list) : rd_kafka_incremental_unassign(handle(), &list)};
            answer = error ? rd_kafka_error_code(error.get()) : answer;
        } else {
            answer = rd_kafka_assign(handle(), is_coming ? &list : nullptr);
        }
        if (answer != RD_KAFKA_RESP_ERR_NO_ERROR && !is_leaving_) {
            admin_->of()->report(refusal(answer, "group '" + options_.group_id + "': partitions cannot be taken or given up"));
        }
    }

    void take_over(rd_kafka_topic_partition_list_t& list) {
        for (int i = 0; i < list.cnt; ++i) {
            auto& one = list.elems[i];
            place& added = positions_.add({state_of(one.topic, one.partition + 1), one.partition});
            if (added.wanted) {
                one.offset = *added.wanted;
                added.wanted.reset();
            }
            came_.push_back(added.of);
            added.is_untold = bool{options_.rebalance_listener.on_partitions_assigned};
        }
        has_settled_ = true;
        positions_.forget_sought();
    }

    /// The listener may commit; whatever it throws, the group goes on without these.
    void give_up(const rd_kafka_topic_partition_list_t& list) {
        std::vector<partition> told;
        for (int i = 0; i < list.cnt; ++i) {
            if (const place* const one = positions_.of(list.elems[i].topic, list.elems[i].partition)) {
                told.push_back(one->of);
            }
        }
        std::exception_ptr thrown;
        const bool is_lost = rd_kafka_assignment_lost(handle()) != 0;
        if (!is_leaving_ && !told.empty()) {
            try {
                if (!is_lost && options_.enable_auto_commit) {
                    commit_all();  // before another has them
                }
                const auto& listener = is_lost ? options_.rebalance_listener.on_partitions_lost : options_.rebalance_listener.on_partitions_revoked;
                if (listener) {
                    listener(told);
                }
            } catch (...) {
                thrown = std::current_exception();
            }
        }
        for (const auto& one : told) {
            positions_.remove(one);
            for (std::size_t i = came_.size(); i-- > 0;) {
                if (came_[i] == one) {
                    came_.erase(came_.begin() + static_cast<std::ptrdiff_t>(i));
                }
            }
        }
        if (thrown) {
            std::rethrow_exception(thrown);
        }
    }

    /// Outside of librdkafka's call, so that the listener may seek. What it throws waits until the records that have come are given.
    void tell_listener() noexcept {
        if (came_.empty()) {
            return;
        }
        const auto came = std::exchange(came_, {});
        for (auto& one : positions_.all()) {
            one.is_untold = false;
        }
        try {
            if (options_.rebalance_listener.on_partitions_assigned) {
                options_.rebalance_listener.on_partitions_assigned(came);
            }
        } catch (...) {
            keep_caught();
        }
    }

    // ---- commits ----

    void commit_all() {
        require_open();
        commits_.all(*client_, positions_);
    }

    const std::shared_ptr<administration> admin_;
    const consumer_options options_;
    mode mode_ = mode::alone;
    std::vector<std::shared_ptr<const topic_state>> topics_;
    std::optional<topic_pattern> pattern_;
    std::shared_ptr<client> client_;
    std::mutex mutex_;            // guards the queue against who wakes
    owned_queue queue_;           // goes before the client
    kafka::positions positions_;
    kafka::commits commits_;
    std::vector<partition> came_;  // the listener has not been told
    bool is_reading_ = false;   // librdkafka has been told what
    bool has_settled_ = false;  // what it reads has been decided, once at least
    bool is_settling_ = false;  // its group has taken something back, and not said yet what it has instead
    bool is_second_join_due_ = false;  // when it has said so: by it others get what this one has given back
    bool was_given_ = false;    // by its group, to this handle; it may have been nothing
    bool is_leaving_ = false;
    failure kept_;              // for the next poll
    std::exception_ptr thrown_;  // so is this, by the listener mostly
    std::atomic<bool> is_rung_{false};
};

}  // namespace brook::inline BROOK_ABI::kafka
