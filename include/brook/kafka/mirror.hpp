/// \file brook/kafka/mirror.hpp
/// A topic carried between this process and a cluster, record by record, for as long as it takes.
/// Edge of floor 6, kafka. Source: Kafka's MirrorMaker 2 (KIP-382); the outbox pattern.
#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/options.hpp>
#include <brook/client/consumer.hpp>
#include <brook/client/topic.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/sender.hpp>
#include <brook/engine/transaction.hpp>
#include <brook/format/record.hpp>
#include <brook/kafka/administration.hpp>
#include <brook/kafka/broker.hpp>
#include <brook/kafka/connection.hpp>
#include <brook/kafka/reader.hpp>
#include <brook/kafka/refusal.hpp>
#include <brook/kafka/sender.hpp>
#include <brook/kafka/topic.hpp>
#include <brook/kafka/transaction.hpp>
#include <brook/os/posix.hpp>
#include <brook/os/thread.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// How far a mirror has come.
struct mirror_progress {
    struct partition {
        std::int32_t number = 0;
        offset next = -1;             ///< of the source: everything below it has been carried; -1: not known yet
        offset end = -1;              ///< of the source, as it was last seen
        std::int64_t skipped = 0;     ///< the source had forgotten so many before they could be carried: retention was faster
        [[nodiscard]] std::int64_t lag() const noexcept { return next < 0 || end < next ? 0 : end - next; }
    };

    std::vector<partition> partitions;
    std::uint64_t records = 0;     ///< carried since it was made
    std::uint64_t bytes = 0;       ///< of their keys and values
    std::uint64_t beginnings = 0;  ///< how often it had to find out anew where it was: 1, and one for each trouble
    bool is_running = true;        ///< false: it was stopped, or `trouble` is for good
    failure trouble;               ///< why it is not getting on just now; success: nothing is wrong

    [[nodiscard]] std::int64_t lag() const noexcept {
        std::int64_t all = 0;
        for (const auto& one : partitions) {
            all += one.lag();
        }
        return all;
    }

    /// Everything that the source was seen to have is carried, and all of its partitions were looked at.
    [[nodiscard]] bool is_caught_up() const noexcept {
        for (const auto& one : partitions) {
            if (one.next < 0 || one.end < 0 || one.lag() != 0) {
                return false;
            }
        }
        return true;
    }
};

struct mirror_options {
    /// Under which its progress is kept: the same after a restart, one mirror at a time. Two that carry different things have different names.
    std::string name{};

    /// Upward: a transaction ends when it has so many records, and has fewer than twice as many. Downward: records between two looks at what has
    /// come of them, at most. 1 or more.
    std::int32_t batch_records = 10'000;

    /// Upward: how long a transaction waits for more records when there are none just now.
    std::chrono::nanoseconds linger = std::chrono::milliseconds{5};

    /// After a trouble, how long until it tries again.
    std::chrono::nanoseconds retry_backoff = std::chrono::milliseconds{500};

    brook::compression compression_type = brook::compression::none;  ///< of what goes up

    /// Told of each step that carried something, or failed; on its thread, and not for long. It may stop the mirror, which then ends as soon as it returns.
    callback<void(const mirror_progress&)> on_progress{};
};

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
                    note([](mirror_progress& now) { ++now.beginnings; });
                    begin();
                    is_begun = true;
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

/// Up: a local topic's records, in transactions that carry its progress with them.
template <class Key, class Value>
class mirror_up final : public mirror_work {
public:
    mirror_up(topic<Key, Value, brook::broker> from, std::shared_ptr<const topic_state> to, mirror_options with)
        : mirror_work{std::move(with), from.partition_count()}, from_{std::move(from)}, to_{std::move(to)}, group_{"brook-mirror-" + options().name} {}
    ~mirror_up() override { stop(); }

private:
    using local_consumer = consumer<Key, Value, brook::broker>;

    void begin() override {
        const auto cluster = to_->cluster->of();
        cluster->require_open("mirror '" + options().name + '\'');
        producer_ = std::make_unique<transactional_producer>(
            cluster, transaction_options{.transactional_id = group_ + '-' + to_->name, .compression_type = options().compression_type}, &stopping());
        std::vector<offset> stored = read_progress(*cluster);
        read_own_progress(stored);
        local_.emplace(from_, brook::consumer_options{.max_poll_records = options().batch_records});
        for (const brook::partition& one : from_.partitions()) {
            const offset first = one.log_start_offset();
            const offset end = one.log_end_offset();
            const offset next = stored[static_cast<std::size_t>(one.number())];
            if (next > end) {
                throw_error(errc::offset_out_of_range, "mirror '" + options().name + "': of topic '" + from_.name() + "', partition " + std::to_string(one.number()) + ", offsets up to " +
                                                           std::to_string(next) + " have been carried, and it ends at " + std::to_string(end) + ": it is another topic, or lost its end with the power");
            }
            const std::int64_t skipped = next >= 0 && next < first ? first - next : 0;
            local_->seek(one, next < first ? first : next);
            note([&](mirror_progress& now) {
                auto& of = now.partitions[static_cast<std::size_t>(one.number())];
                of.next = next < first ? first : next;
                of.end = end;
                of.skipped += skipped;
            });
            expect(one.number(), next < first ? first : next);
        }
    }

    bool carry() override {
        auto records = local_->poll(std::chrono::milliseconds{100});
        if (records.empty()) {
            note_ends({});
            return false;
        }
        producer_->begin();
        std::uint64_t count = 0;
        std::uint64_t size = 0;
        for (const deadline end{options().linger};;) {
            for (const auto& record : records) {
                look_for_gap(record.partition(), record.offset(), [&] { return from_.partition(record.partition()).log_start_offset(); });
                send(record);
                ++count;
                size += record.key_bytes().size() + record.value_bytes().size();
            }
            if (count >= static_cast<std::uint64_t>(options().batch_records) || stopping().load()) {
                break;
            }
            const auto left = end.left();
            records = local_->poll(left);
            if (records.empty()) {
                break;
            }
        }
        std::vector<offset> next;
        const owned_list list = make_list();
        for (const brook::partition& one : from_.partitions()) {
            next.push_back(local_->position(one));
            rd_kafka_topic_partition_list_add(list.get(), to_->name.c_str(), one.number())->offset = next.back();
        }
        const std::unique_ptr<rd_kafka_consumer_group_metadata_t, destroyer<rd_kafka_consumer_group_metadata_destroy>> group{
            rd_kafka_consumer_group_metadata_new(group_.c_str())};
        producer_->send_offsets(list.get(), group.get());
        producer_->commit();
        keep_own_progress(next);
        note([&](mirror_progress& now) {
            now.records += count;
            now.bytes += size;
        });
        note_skipped();
        note_ends(next);
        return true;
    }

    void end() noexcept override {
        local_.reset();
        producer_.reset();  // what it had begun is ended by the next one of its id
    }

    void look(mirror_progress& now) const override {
        try {
            for (auto& one : now.partitions) {
                const offset end = from_.partition(one.number).last_stable_offset();
                one.end = one.end > end ? one.end : end;
            }
        } catch (const error&) {  // its broker is closed, or the topic gone: as it was
        }
    }

    void send(const record_view<Key, Value, brook::broker>& record) {
        const auto headers = record.headers();
        outgoing_record out{.partition = record.partition(), .header_slices = &headers, .time = record.timestamp()};
        if (record.has_key()) {
            out.key = record.key_bytes();
        }
        if (!record.is_tombstone()) {
            out.value = record.value_bytes();
        }
        producer_->send(*to_, out);
    }

    void note_ends(const std::vector<offset>& next) {
        for (const brook::partition& one : from_.partitions()) {
            const offset end = one.last_stable_offset();
            const offset carried = next.empty() ? local_->position(one) : next[static_cast<std::size_t>(one.number())];
            note([&](mirror_progress& now) {
                auto& of = now.partitions[static_cast<std::size_t>(one.number())];
                of.end = end > carried ? end : carried;
                of.next = carried;
            });
        }
    }

    /// What its last transaction that counts has said. By now none of its id is undecided.
    [[nodiscard]] std::vector<offset> read_progress(cluster& of) const {
        settings with{of};
        with.set("group.id", group_);
        with.set("enable.auto.commit", "false");
        with.set("isolation.level", "read_committed");
        with.set(of.options.properties);
        with.set(of.options.consumer_properties);
        client asked{to_->cluster->of(), RD_KAFKA_CONSUMER, std::move(with)};
        const owned_list list = make_list();
        for (std::int32_t number = 0; number < to_->partition_count; ++number) {
            rd_kafka_topic_partition_list_add(list.get(), to_->name.c_str(), number);
        }
        administration::ask_again(to_->cluster->patience(), asked, "mirror '" + options().name + "': its progress", [&](int timeout) {
            auto code = rd_kafka_committed(asked.get(), list.get(), timeout);
            for (int i = 0; i < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
                code = list->elems[i].err;
            }
            return stopping().load() && code != RD_KAFKA_RESP_ERR_NO_ERROR ? RD_KAFKA_RESP_ERR__DESTROY : code;
        });
        std::vector<offset> stored(static_cast<std::size_t>(to_->partition_count), -1);
        for (int i = 0; i < list->cnt; ++i) {
            stored[static_cast<std::size_t>(list->elems[i].partition)] = list->elems[i].offset < 0 ? -1 : list->elems[i].offset;
        }
        return stored;
    }

    // ---- its progress, once more in the local broker: a cluster forgets what a group without members has committed, after a week by default ----

    [[nodiscard]] std::string own_id() const { return group_ + '-' + from_.name() + '-' + to_->name; }

    void keep_own_progress(const std::vector<offset>& next) {
        std::string text;
        for (const offset one : next) {
            text += std::to_string(one) + ' ';
        }
        try {
            brook::engine::embedded_transaction keep{detail::access::engine(from_).open_core(), own_id(), std::chrono::minutes{1}, compression::none, std::nullopt};
            keep.set_state(std::move(text));
            keep.commit();
        } catch (const error& why) {  // the cluster's counts first; who is in want of this one finds an older one
            to_->cluster->of()->report(failure{why});
        }
    }

    /// Where the cluster has none.
    void read_own_progress(std::vector<offset>& stored) const {
        for (const offset one : stored) {
            if (one >= 0) {
                return;
            }
        }
        const std::string text = detail::access::engine(from_).open_core()->transaction_state(own_id());
        std::size_t at = 0;
        for (offset& one : stored) {
            if (const std::size_t end = text.find(' ', at); end != std::string::npos) {
                one = std::stoll(text.substr(at, end - at));
                at = end + 1;
            }
        }
    }

    const topic<Key, Value, brook::broker> from_;
    const std::shared_ptr<const topic_state> to_;
    const std::string group_;
    std::unique_ptr<transactional_producer> producer_;
    std::optional<local_consumer> local_;
};

/// Down: a cluster's topic's records, numbered by their offsets there: what is sent again is there already.
class mirror_down final : public mirror_work {
public:
    mirror_down(std::shared_ptr<const topic_state> from, brook::engine::embedded_topic to, mirror_options with)
        : mirror_work{std::move(with), from->partition_count}, from_{std::move(from)}, to_{std::move(to)} {}
    ~mirror_down() override { stop(); }

private:
    void begin() override {
        brook::engine::sender_options how;
        how.waits_for_sync = false;  // what goes with the power is carried again
        how.delivery_timeout = std::chrono::minutes{2};
        how.is_idempotent = true;
        how.name = "brook-mirror-" + options().name;
        sender_ = brook::engine::embedded_sender::make(to_, std::move(how));
        consumer_options reading;
        reading.max_poll_records = options().batch_records;
        reader_.emplace(from_->cluster, std::move(reading));
        std::vector<partition> all;
        for (std::int32_t number = 0; number < from_->partition_count; ++number) {
            all.emplace_back(from_, number);
        }
        reader_->assign(all);
        const auto numbers = numbers_of(all);
        const auto firsts = from_->cluster->offsets(from_->name, numbers, administration::at_beginning, true);
        const auto ends = ask_ends();
        for (const partition& one : all) {
            const offset next = sender_->last_sequence(one.number()) + 1;
            const offset first = firsts[static_cast<std::size_t>(one.number())];
            if (const offset end = ends[static_cast<std::size_t>(one.number())]; next > end) {  // its next records would pass for carried
                throw_error(errc::offset_out_of_range, "mirror '" + options().name + "': of the cluster's topic '" + from_->name + "', partition " + std::to_string(one.number()) +
                                                           ", offsets up to " + std::to_string(next) + " have been carried, and it ends at " + std::to_string(end) +
                                                           ": it is another topic, made anew perhaps; carry it into a new one, or under another name");
            }
            reader_->seek(one, next < first ? first : next);
            note([&](mirror_progress& now) {
                auto& of = now.partitions[static_cast<std::size_t>(one.number())];
                of.skipped += next > 0 && next < first ? first - next : 0;
                of.next = next < first ? first : next;
                of.end = ends[static_cast<std::size_t>(one.number())] > of.next ? ends[static_cast<std::size_t>(one.number())] : of.next;
            });
            expect(one.number(), next < first ? first : next);
        }
    }

    bool carry() override {
        const message_batch batch = reader_->poll(std::chrono::milliseconds{100});
        std::uint64_t size = 0;
        for (auto* const raw : batch.all()) {
            const message one{raw};
            look_for_gap(one.partition(), one.offset(), [&] { return reader_->log_start_seen({from_, one.partition()}); });
            send(one);
            size += one.key().size() + one.value().size();
        }
        if (const failure why = batch.all().empty() ? failure{} : sender_->flush()) {
            why.raise();
        }
        std::vector<offset> next;
        bool is_at_end = true;  // as far as it was seen: then it is looked again, before anybody is told that it has caught up
        const mirror_progress before = noted();
        for (const auto& one : reader_->assignment()) {
            next.push_back(reader_->position(one));
            is_at_end = is_at_end && next.back() >= before.partitions[static_cast<std::size_t>(one.number())].end;
        }
        idle_ = batch.all().empty() && before.is_caught_up() ? idle_ + 1 : 0;
        const std::vector<offset> ends = is_at_end && idle_ % 10 == 0 ? ask_ends() : std::vector<offset>{};
        note([&](mirror_progress& now) {
            now.records += batch.all().size();
            now.bytes += size;
            for (std::size_t i = 0; i < next.size(); ++i) {  // assigned in the order of their numbers
                auto& of = now.partitions[i];
                of.next = next[i];
                of.end = !ends.empty() && ends[i] > of.end ? ends[i] : of.end > next[i] ? of.end : next[i];
            }
        });
        note_skipped();
        return !batch.all().empty();
    }

    void end() noexcept override {
        reader_.reset();
        if (sender_) {
            try {
                if (const failure why = sender_->close()) {
                    to_.shared().report(why);
                }
            } catch (const std::exception&) {  // no memory to tell it: the next beginning finds out what is there
            }
            sender_.reset();
        }
    }

    /// In order, and never past one that failed.
    void send(const message& one) {
        headers_.clear();
        one.each_header([this](const format::header_slice& header) {
            const std::size_t before = headers_.size();
            headers_.resize(before + static_cast<std::size_t>(format::header_bytes(header.name.size(), header.value ? header.value->size() : 0)));
            static_cast<void>(format::write_header(headers_.data() + before, header.name, header.value));
        });
        const auto size_of = [](bool is_there, bytes data) { return is_there ? static_cast<std::uint32_t>(data.size()) : format::null_size; };
        const format::record_sizes sizes{size_of(one.has_key(), one.key()), size_of(one.has_value(), one.value()), static_cast<std::uint32_t>(headers_.size())};
        const auto put = [](bytes data) { return [data](std::byte* to) { copy_bytes(to, data.data(), data.size()); }; };
        brook::engine::sent sent = sender_->send(one.partition(), sizes, one.timestamp().time_since_epoch().count(), one.offset(), put(one.key()), put(one.value()), bytes{headers_});
        if (sent.pending) {
            if (const failure why = sent.pending->wait(sent.done)) {
                why.raise();
            }
        }
    }

    [[nodiscard]] std::vector<offset> ask_ends() const {
        std::vector<std::int32_t> numbers;
        for (std::int32_t number = 0; number < from_->partition_count; ++number) {
            numbers.push_back(number);
        }
        return from_->cluster->offsets(from_->name, numbers, administration::at_end, true);
    }

    [[nodiscard]] static std::vector<std::int32_t> numbers_of(const std::vector<partition>& all) {
        std::vector<std::int32_t> numbers;
        for (const auto& one : all) {
            numbers.push_back(one.number());
        }
        return numbers;
    }

    const std::shared_ptr<const topic_state> from_;
    const brook::engine::embedded_topic to_;
    std::shared_ptr<brook::engine::embedded_sender> sender_;
    std::optional<reader> reader_;
    std::vector<std::byte> headers_;  // reused
    unsigned idle_ = 0;               // polls that gave nothing, one after the other
};

/// Carries all records of a topic to another one, and those that come, until it goes: a local topic up to a cluster, an outbox that bears with
/// outages, or a cluster's topic down into a local one, where it can be read in place, and made a table of.
///
///     brook::kafka::mirror up{local_orders, cluster_orders, {.name = "edge-7"}};
///     brook::kafka::mirror down{cluster_prices, local_prices, {.name = "edge-7"}};
///
/// Keys, values, headers, partitions and the order in each are the same on both sides, and timestamps, to the millisecond, where the topic
/// that they come to does not stamp itself. Offsets are not. Both topics have the same number of partitions.
///
/// After a restart, a kill or an outage of whatever length it goes on where it stopped, of its own accord:
///   up     Exactly once, for consumers with isolation_level read_committed: each transaction has records and how far they are (a committed
///          offset of the group "brook-mirror-<name>"), and both count or none. Who reads uncommitted records also sees attempts that were aborted.
///          The cluster forgets that offset when nothing was carried for offsets.retention.minutes, a week by default; then what the local broker has
///          noted counts, and a kill between the two may have let one batch come twice.
///          What the local topic has lost with the power after it was carried cannot be called back: then it stops, offset_out_of_range. A
///          local topic with flush_messages 1 loses nothing.
///   down   Exactly once: a record's number with the local producer "brook-mirror-<name>" is its offset in the cluster, and what is there
///          already is not appended again. Records of transactions that were aborted do not come. A topic that was deleted and made again counts
///          from 0: then it stops, offset_out_of_range, unless that one has come further by then, and it cannot be told.
/// Nobody else writes to the topic that it fills under its name. Should another mirror of the same name begin, that one goes on, and this one
/// ends with producer_fenced.
///
/// Back-pressure is where records wait anyway: upward in the local topic, as long as its retention keeps them; downward in the cluster.
/// What was forgotten there before it was carried is counted as `skipped`.
///
/// Threads   shared, but for moving it.
/// Cost      a thread; upward a transaction for each batch; downward what an idempotent producer costs.
/// Lifetime  its destructor stops it. Goes before both brokers, or stops with closed.
class mirror {
public:
    /// Up.
    /// Errors    invalid_config: no name, or topics with different numbers of partitions.
    template <class Key, class Value>
    mirror(const topic<Key, Value, brook::broker>& from, const topic<Key, Value, broker>& to, mirror_options options) {
        require_legal(options, from, to);
        begin(std::make_unique<mirror_up<Key, Value>>(from, detail::access::engine(to), std::move(options)));
    }

    /// Down.
    template <class Key, class Value>
    mirror(const topic<Key, Value, broker>& from, const topic<Key, Value, brook::broker>& to, mirror_options options) {
        require_legal(options, from, to);
        begin(std::make_unique<mirror_down>(detail::access::engine(from), detail::access::engine(to), std::move(options)));
    }

    mirror(mirror&&) noexcept = default;
    mirror& operator=(mirror&&) noexcept = default;

    [[nodiscard]] mirror_progress progress() const { return work_->progress(); }

    /// Ends it, where it is: within the time of the operation in hand. What was in hand is carried by the next one of its name.
    void stop() noexcept { work_->stop(); }

private:
    void begin(std::unique_ptr<mirror_work> work) {
        work_ = std::move(work);
        work_->start();
    }

    template <class From, class To>
    static void require_legal(const mirror_options& options, const From& from, const To& to) {
        const auto refuse = [&](const std::string& rule) {
            throw_error(errc::invalid_config, "mirror '" + options.name + "' of topic '" + from.name() + "': " + rule);
        };
        if (options.name.empty()) {
            refuse("it needs a name, under which its progress is kept");
        }
        if (options.batch_records < 1 || options.linger.count() < 0 || options.retry_backoff.count() < 0) {
            refuse("batch_records is 1 or more, linger and retry_backoff are not negative");
        }
        if (from.partition_count() != to.partition_count()) {
            refuse("it has " + std::to_string(from.partition_count()) + " partitions, and topic '" + to.name() + "' has " + std::to_string(to.partition_count()) + "; they must be as many");
        }
    }

    std::unique_ptr<mirror_work> work_;
};

}  // namespace brook::inline BROOK_ABI::kafka
