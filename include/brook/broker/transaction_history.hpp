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
#include <vector>

#include <brook/broker/topic_state.hpp>
#include <brook/broker/transaction_part.hpp>
#include <brook/broker/transaction_record.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
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
    explicit transaction_history(const std::vector<topic_handle>& topics);

    /// Errors    corrupt_record, or what the disk said; what was told in front of it is there all the same.
    [[nodiscard]] failure read(storage::log& from);

    [[nodiscard]] const std::vector<producer>& producers() const noexcept { return producers_; }  ///< by id
    [[nodiscard]] std::vector<holder>& holders() noexcept { return holders_; }                    ///< by transactional id

    /// The shortest flush_interval of a topic that has a part of one.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> flush_interval() const noexcept { return flush_interval_; }

private:
    enum class reach { all, lost, unknown };

    void apply(const format::record_slice& record);

    /// Whether each log still has what the transaction ends with in it. A topic that has gone is asked for nothing; one that
    /// is there and could not be opened leaves it open. What is there may have been written by a process that was killed, and
    /// not be on the disk: a later transaction must not rely on it.
    [[nodiscard]] reach reached(const transaction_record& told, holder& of);

    void note_interval(std::chrono::nanoseconds interval) noexcept;

    /// Topics of which not even the id could be read.
    [[nodiscard]] bool has_strangers() const noexcept { return !topics_.empty() && topics_.front()->meta.id == format::topic_id{}; }

    [[nodiscard]] producer& producer_of(std::int64_t id, std::string_view transactional_id);

    [[nodiscard]] holder& holder_of(std::string_view transactional_id);

    [[nodiscard]] std::size_t place_of(const format::topic_id& id) const noexcept;

    /// Returns   how many there were.
    [[nodiscard]] static std::size_t erase(std::vector<std::uint16_t>& epochs, std::uint16_t epoch);

    std::vector<topic_handle> topics_;  // by id
    std::vector<producer> producers_;
    std::vector<holder> holders_;
    std::optional<std::chrono::nanoseconds> flush_interval_;
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/transaction_history.hpp>
#endif
