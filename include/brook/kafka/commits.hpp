/// \file brook/kafka/commits.hpp
/// A group's committed offsets, as one of its members asks for them.
/// Edge of floor 6, kafka.
#pragma once

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/kafka/connection.hpp>
#include <brook/kafka/partition_list.hpp>
#include <brook/kafka/positions.hpp>
#include <brook/kafka/refusal.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// What a member of a group has committed, and asks for.
///
/// Threads   confined.
class commits {
public:
    commits(std::shared_ptr<cluster> of, std::string group_id) : of_{std::move(of)}, group_id_{std::move(group_id)} {}

    void all(rd_kafka_t* by, positions& of) {
        if (const owned_list list = uncommitted(of)) {
            now(by, list.get());
            note(*list, of);
        }
    }

    /// Waits for the coordinator, default_api_timeout long at most.
    void now(rd_kafka_t* by, const rd_kafka_topic_partition_list_t* list) {
        const std::string text = "group '" + group_id_ + "': commit";
        const owned_queue answers{rd_kafka_queue_new(by)};
        raise(rd_kafka_commit_queue(by, list, answers.get(), nullptr, nullptr), text);
        const owned_event answer{rd_kafka_queue_poll(answers.get(), milliseconds_of(of_->options.default_api_timeout))};
        if (!answer) {
            throw_error(errc::timed_out, text + ": the cluster did not answer in time; whether it counts shows later");
        }
        raise(rd_kafka_event_error(answer.get()), text);
        const auto* const each = rd_kafka_event_topic_partition_list(answer.get());
        for (int i = 0; each != nullptr && i < each->cnt; ++i) {
            raise(each->elems[i].err, text);
        }
    }

    /// Asked for, and not waited for.
    void later(rd_kafka_t* by, positions& of) {
        if (const owned_list list = uncommitted(of)) {
            note(*list, of);
            if (const auto code = rd_kafka_commit(by, list.get(), 1); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                learn(code, list.get(), of);
            }
        }
    }

    /// What became of it, inside a poll: what was refused is asked for again, by a later one.
    void learn(rd_kafka_resp_err_t code, const rd_kafka_topic_partition_list_t* list, positions& among) noexcept {
        if (code == RD_KAFKA_RESP_ERR__NO_OFFSET) {
            return;
        }
        rd_kafka_resp_err_t refused = code;
        for (int i = 0; list != nullptr && i < list->cnt; ++i) {
            const auto& one = list->elems[i];
            if (code == RD_KAFKA_RESP_ERR_NO_ERROR && one.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
                continue;
            }
            refused = code != RD_KAFKA_RESP_ERR_NO_ERROR ? code : one.err;
            if (positions::place* const of = among.of(one.topic, one.partition); of != nullptr && of->committed == one.offset) {
                of->committed = -1;
            }
        }
        if (refused != RD_KAFKA_RESP_ERR_NO_ERROR) {
            try {
                rest_ = deadline{backoff};
                of_->report(refusal(refused, "group '" + group_id_ + "': auto-commit; it is tried again"));
            } catch (const std::exception&) {  // no memory for a text
            }
        }
    }

    /// One was refused a moment ago.
    [[nodiscard]] bool rests() const { return !rest_.is_over(); }

private:
    static constexpr std::chrono::milliseconds backoff{100};  // Kafka's retry.backoff.ms

    /// What was read and is not committed; null: nothing.
    [[nodiscard]] static owned_list uncommitted(const positions& of) {
        owned_list list = make_list();
        for (const auto& one : of.all()) {
            if (one.next >= 0 && one.next != one.committed && one.next != largest_offset) {
                add_to(list.get(), one.of, one.next, {});
            }
        }
        return list->cnt != 0 ? std::move(list) : owned_list{};
    }

    static void note(const rd_kafka_topic_partition_list_t& list, positions& of) {
        for (int i = 0; i < list.cnt; ++i) {
            if (positions::place* const one = of.of(list.elems[i].topic, list.elems[i].partition)) {
                one->committed = list.elems[i].offset;
            }
        }
    }

    const std::shared_ptr<cluster> of_;
    const std::string group_id_;
    deadline rest_{std::chrono::nanoseconds{}};
};

}  // namespace brook::inline BROOK_ABI::kafka
