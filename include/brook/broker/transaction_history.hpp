/// \file brook/broker/transaction_history.hpp
/// What __transaction_state tells when a broker opens, held against what the logs still have.
/// Floor 4, broker.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/topic_replay.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/broker/transaction_part.hpp>
#include <brook/broker/transaction_record.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// The transactions of the lives before this one. After a loss of power a part of one may be gone that its record names: then
/// it is lost, and so is every one behind it of the same transactional id, as what is appended to a log is a prefix. The next
/// opening must come to the same result, whatever has been appended meanwhile, so whoever opens writes it down: a judgement.
///
/// Threads   confined.
class transaction_history {
public:
    /// What was told under one producer id.
    struct producer {
        std::int64_t id = 0;
        std::string transactional_id;
        std::uint16_t epoch = 0;             ///< the last that was told of
        std::vector<std::uint16_t> aborted;  ///< the lost among them
        std::vector<std::uint16_t> lost;     ///< no judgement has told of them yet
        std::vector<std::uint16_t> unknown;  ///< a topic of theirs could not be opened
    };

    /// What an application left under one transactional id.
    struct holder {
        std::string transactional_id;
        std::string state;        ///< of its last transaction that counts
        unsynced_parts unsynced;
        std::size_t lost = 0;     ///< while the records are read: transactions that no judgement has told of yet
    };

    /// `topics`: all of the broker's.
    explicit transaction_history(const std::vector<topic_handle>& topics) {
        for (const auto& topic : topics) {
            insert_at(topics_, place_of(topic->meta.id), topic);
        }
    }

    /// Errors    corrupt_record, or what the disk said; what was told in front of it is there all the same.
    [[nodiscard]] failure read(storage::log& from) {
        failure why = replay_records(from, [this](const format::record_slice& record) { apply(record); });
        for (producer& one : producers_) {
            for (const std::uint16_t epoch : one.lost) {
                one.aborted.push_back(epoch);
            }
        }
        return why;
    }

    [[nodiscard]] const std::vector<producer>& producers() const noexcept { return producers_; }  ///< by id
    [[nodiscard]] std::vector<holder>& holders() noexcept { return holders_; }                    ///< by transactional id

    /// The shortest flush_interval of a topic that has a part of one.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> flush_interval() const noexcept { return flush_interval_; }

private:
    enum class reach { all, lost, unknown };

    void apply(const format::record_slice& record) {
        std::string_view transactional_id;
        const auto told = transaction_record::decode(record.key(), record.value(), transactional_id);
        if (!told) {
            return;
        }
        producer& one = producer_of(told->producer_id, transactional_id);
        holder& of = holder_of(transactional_id);
        one.epoch = told->epoch;
        one.aborted = told->aborted;  // each names those before it, too
        reach found = reach::all;
        if (told->is_judgement) {  // an earlier opening's: it need not be made again, and what comes behind it is new
            for (const std::uint16_t epoch : told->aborted) {
                of.lost -= erase(one.lost, epoch);
            }
        } else {
            found = of.lost > 0 ? reach::lost : reached(*told, of);
        }
        if (found == reach::lost) {
            one.lost.push_back(told->epoch);
            ++of.lost;
        } else if (found == reach::unknown) {
            one.unknown.push_back(told->epoch);
        }
        if (of.lost == 0) {
            of.state = told->state;
        }
    }

    /// Whether each log still has what the transaction ends with in it. A topic that has gone is asked for nothing; one that
    /// is there and could not be opened leaves it open. What is there may have been written by a process that was killed, and
    /// not be on the disk: a later transaction must not rely on it.
    [[nodiscard]] reach reached(const transaction_record& told, holder& of) {
        reach found = reach::all;
        for (const transaction_end& end : told.ends) {
            const std::size_t i = place_of(end.topic);
            if (i == topics_.size() || topics_[i]->meta.id != end.topic) {
                found = has_strangers() ? reach::unknown : found;
                continue;
            }
            if (topics_[i]->why) {
                found = reach::unknown;
                continue;
            }
            if (end.partition < 0 || end.partition >= topics_[i]->partition_count()) {
                continue;
            }
            storage::log& log = topics_[i]->partition(end.partition);
            note_interval(log.options().flush_interval);
            // A cut raises the epoch, and may give the same offsets anew: then their being durable says nothing of these.
            const bool is_durable = end.end <= log.durable_offset() && end.leader_epoch == log.leader_epoch();
            if (!is_durable && !log.has_frame(end.end, end.leader_epoch, end.checksum)) {
                return reach::lost;
            }
            if (end.end > log.durable_offset()) {
                of.unsynced.note({topics_[i], end.partition, 0, end.end});
            }
        }
        return found;
    }

    void note_interval(std::chrono::nanoseconds interval) noexcept {
        if (interval.count() > 0 && (!flush_interval_ || interval < *flush_interval_)) {
            flush_interval_ = interval;  // something may have been committed shortly before a kill
        }
    }

    /// Topics of which not even the id could be read.
    [[nodiscard]] bool has_strangers() const noexcept { return !topics_.empty() && topics_.front()->meta.id == format::topic_id{}; }

    [[nodiscard]] producer& producer_of(std::int64_t id, std::string_view transactional_id) {
        const std::size_t i = count_before(producers_.size(), [&](std::size_t k) { return producers_[k].id < id; });
        if (i == producers_.size() || producers_[i].id != id) {
            insert_at(producers_, i, producer{id, std::string{transactional_id}, 0, {}, {}, {}});
        }
        return producers_[i];
    }

    [[nodiscard]] holder& holder_of(std::string_view transactional_id) {
        const std::size_t i = count_before(holders_.size(), [&](std::size_t k) { return std::string_view{holders_[k].transactional_id} < transactional_id; });
        if (i == holders_.size() || holders_[i].transactional_id != transactional_id) {
            insert_at(holders_, i, holder{std::string{transactional_id}, {}, {}, 0});
        }
        return holders_[i];
    }

    [[nodiscard]] std::size_t place_of(const format::topic_id& id) const noexcept {
        return count_before(topics_.size(), [&](std::size_t i) { return std::memcmp(topics_[i]->meta.id.data(), id.data(), id.size()) < 0; });
    }

    /// Returns   how many there were.
    [[nodiscard]] static std::size_t erase(std::vector<std::uint16_t>& epochs, std::uint16_t epoch) {
        for (std::size_t i = 0; i < epochs.size(); ++i) {
            if (epochs[i] == epoch) {
                erase_at(epochs, i);
                return 1;
            }
        }
        return 0;
    }

    std::vector<topic_handle> topics_;  // by id
    std::vector<producer> producers_;
    std::vector<holder> holders_;
    std::optional<std::chrono::nanoseconds> flush_interval_;
};

}  // namespace brook::inline BROOK_ABI::broker_room
