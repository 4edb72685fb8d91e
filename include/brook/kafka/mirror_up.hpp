/// \file brook/kafka/mirror_up.hpp
/// A local topic's records on their way to a cluster.
/// Edge of floor 6, kafka. Source: the outbox pattern.
#pragma once

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/client/consumer.hpp>
#include <brook/client/topic.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/transaction.hpp>
#include <brook/kafka/administration.hpp>
#include <brook/kafka/connection.hpp>
#include <brook/kafka/mirror_options.hpp>
#include <brook/kafka/mirror_work.hpp>
#include <brook/kafka/refusal.hpp>
#include <brook/kafka/sender.hpp>
#include <brook/kafka/topic.hpp>
#include <brook/kafka/transaction.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// Up: a local topic's records, in transactions that carry its progress with them.
template <class Key, class Value>
class mirror_up final : public mirror_work {
public:
    mirror_up(topic<Key, Value, brook::broker> from, std::shared_ptr<const topic_state> to, mirror_options with)
        : mirror_work{std::move(with), from.partition_count()}, from_{std::move(from)}, to_{std::move(to)}, group_{"brook-mirror-" + options().name} {}
    /// To a topic that is looked for when it begins, and each time it begins anew.
    mirror_up(topic<Key, Value, brook::broker> from, std::shared_ptr<administration> cluster, std::string to, mirror_options with)
        : mirror_up{std::move(from), std::make_shared<const topic_state>(topic_state{std::move(cluster), std::move(to), 0}), std::move(with)} {}
    ~mirror_up() override { stop(); }

private:
    using local_consumer = consumer<Key, Value, brook::broker>;

    void begin() override {
        const auto cluster = to_->cluster->of();
        cluster->require_open("mirror '" + options().name + '\'');
        if (is_looked_for_) {
            note_own_progress();
            look_for_topic();
        }
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

    /// Errors    unknown_topic_or_partition, timed_out: it is asked for again. invalid_config: other partitions.
    void look_for_topic() {
        const topic_description found = to_->cluster->find(to_->name, {}, &stopping());
        require_as_many(options().name, from_.name(), from_.partition_count(), to_->name, found.partitions);
        to_ = std::make_shared<const topic_state>(topic_state{to_->cluster, to_->name, found.partitions});
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

    /// What can be told without the cluster, which may be further, and never less far.
    void note_own_progress() {
        std::vector<offset> noted(static_cast<std::size_t>(from_.partition_count()), -1);
        read_own_progress(noted);
        for (const brook::partition& one : from_.partitions()) {
            const offset first = one.log_start_offset();
            const offset next = noted[static_cast<std::size_t>(one.number())];
            note([&](mirror_progress& now) {
                auto& of = now.partitions[static_cast<std::size_t>(one.number())];
                const offset carried = next < first ? first : next;
                of.next = of.next < carried ? carried : of.next;
            });
        }
    }

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
    std::shared_ptr<const topic_state> to_;  // its thread's own
    const bool is_looked_for_ = to_->partition_count == 0;
    const std::string group_;
    std::unique_ptr<transactional_producer> producer_;
    std::optional<local_consumer> local_;
};

}  // namespace brook::inline BROOK_ABI::kafka
