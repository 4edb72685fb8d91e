/// \file brook/kafka/commits.hpp
/// A group's committed offsets, as one of its members asks for them.
/// Edge of floor 6, kafka.
#pragma once

#include <librdkafka/rdkafka.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/kafka/connection.hpp>
#include <brook/kafka/join_watch.hpp>
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

    void all(client& by, positions& of) {
        if (const owned_list list = uncommitted(of)) {
            now(by, list.get());
            note(*list, of);
        }
    }

    /// Waits for the coordinator, and for the end of a join that is under way: default_api_timeout long at most.
    void now(client& by, const rd_kafka_topic_partition_list_t* list) {
        const std::string text = "group '" + group_id_ + "': commit";
        const owned_queue answers{rd_kafka_queue_new(by.get())};
        for (const deadline end{of_->options.default_api_timeout};;) {
            hand_over(by, *list, answers.get(), end, text);
            const owned_event answer{rd_kafka_queue_poll(answers.get(), milliseconds_of(end.left()))};
            if (!answer) {
                throw_error(errc::timed_out, by.unanswered(text, of_->options.default_api_timeout).text + "; whether it counts shows later");
            }
            const rd_kafka_resp_err_t code = first_of(answer.get());
            if (code != RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS || end.is_over()) {
                raise(code, text);
                return;
            }
            const std::uint32_t seen = by.joins().changes();  // not looked at yet: it is asked again when the group goes on, or a moment later
            by.joins().wait(seen, end.left() < backoff ? end.left() : backoff);
        }
    }

    /// Asked for, and not waited for. Where a join is under way, or may be, by a later poll.
    void later(client& by, positions& of) {
        if (const owned_list list = uncommitted(of)) {
            rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
            if (by.joins().before_any_join([&] { code = rd_kafka_commit(by.get(), list.get(), 1); }, backoff) == join_watch::verdict::handed_over) {
                note(*list, of);
                if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                    learn(code, list.get(), of);
                }
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
    static constexpr std::chrono::nanoseconds backoff = std::chrono::milliseconds{100};  // Kafka's retry.backoff.ms
    static constexpr std::chrono::nanoseconds longest_look = std::chrono::milliseconds{500};

    /// Before any join, or behind it.
    void hand_over(client& by, const rd_kafka_topic_partition_list_t& list, rd_kafka_queue_t* answers, const deadline& end, const std::string& text) const {
        for (;;) {
            const std::uint32_t seen = by.joins().changes();
            const auto verdict = by.joins().before_any_join([&] { raise(rd_kafka_commit_queue(by.get(), &list, answers, nullptr, nullptr), text); });
            if (verdict == join_watch::verdict::handed_over) {
                return;
            }
            std::array<char, 512> reason{};
            if (const auto code = rd_kafka_fatal_error(by.get(), reason.data(), reason.size()); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                refusal(code, text, reason.data()).raise();  // no join of it comes to an end
            }
            if (end.is_over() && verdict == join_watch::verdict::doubtful) {
                throw_error(errc::timed_out, by.unanswered(text, of_->options.default_api_timeout).text + "; nothing was committed");
            }
            if (end.is_over()) {
                throw_error(errc::illegal_generation, text + ": its members share out anew, and were not done in time; nothing was committed: poll, and commit again");
            }
            const std::chrono::nanoseconds left = end.left();
            const std::chrono::nanoseconds most = left < longest_look ? left : longest_look;
            if (verdict == join_watch::verdict::joining) {
                by.joins().wait(seen, most);
            } else {
                settle(by, list, most);
            }
        }
    }

    /// Asks the coordinator anything: once that is answered, a join that was in doubt was sent before, or there is none.
    static void settle(client& by, const rd_kafka_topic_partition_list_t& list, std::chrono::nanoseconds longest) {
        const std::uint64_t answers = by.joins().answers();
        const owned_list asked{rd_kafka_topic_partition_list_copy(&list)};
        if (rd_kafka_committed(by.get(), asked.get(), milliseconds_of(longest)) != RD_KAFKA_RESP_ERR__TIMED_OUT) {
            by.joins().settle(answers);
        }
    }

    [[nodiscard]] static rd_kafka_resp_err_t first_of(rd_kafka_event_t* answer) {
        rd_kafka_resp_err_t code = rd_kafka_event_error(answer);
        const auto* const each = rd_kafka_event_topic_partition_list(answer);
        for (int i = 0; each != nullptr && i < each->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
            code = each->elems[i].err;
        }
        return code;
    }

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
