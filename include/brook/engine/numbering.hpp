/// \file brook/engine/numbering.hpp
/// One producer's records in one partition, numbered: so that one that is sent twice is there once.
/// Floor 5, engine. Source: Kafka's idempotent producer (KIP-98); RabbitMQ's publishing ids for numbers of the user's own.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/engine/embedded.hpp>
#include <brook/engine/pending.hpp>
#include <brook/format/frame.hpp>
#include <brook/storage/log.hpp>
#include <brook/storage/producer_table.hpp>

namespace brook::inline BROOK_ABI::engine {

/// Where a producer stands in a partition.
///
/// Threads   shared.
class numbering {
public:
    /// `is_dense`: numbers that are given may leave none out.
    numbering(const storage::log& log, std::shared_ptr<storage::producer_state> state, bool is_dense) noexcept
        : log_{log}, state_{std::move(state)}, is_dense_{is_dense} {}

    /// Whoever had this id before is fenced from now on.
    void take_over(std::uint16_t epoch) {
        const std::scoped_lock guard{state_->lock};
        epoch_ = epoch;
        state_->set_epoch(epoch);
    }

    /// Errors    forked.
    [[nodiscard]] std::int64_t last_sequence() const {
        if (log_.is_forked()) [[unlikely]] {
            forked().raise();
        }
        const std::scoped_lock guard{state_->lock};
        return state_->last_sequence();
    }

    /// Appends by `append`, which is given the origin to tell, unless the partition has it already.
    ///
    /// `sequence`: of the first of `count` records; nullopt: the next one.
    /// Returns   false, and `why`: producer_fenced, out_of_order_sequence_number, or what `append` said.
    template <class Append>
    [[nodiscard]] bool append_once(std::optional<std::int64_t> sequence, std::uint32_t count, appended& done, failure& why, const Append& append) {
        if (log_.is_forked()) [[unlikely]] {
            why = forked();
            return false;
        }
        const std::scoped_lock held{state_->lock};
        if (state_->epoch() != epoch_) [[unlikely]] {
            why = fenced();
            return false;
        }
        const std::int64_t next = state_->last_sequence() + 1;
        const std::int64_t first = sequence.value_or(next);
        if (first != next) [[unlikely]] {
            if (first < next) {
                const auto known = state_->find(first);
                if (!known || first + std::int64_t{count} > next) {
                    why = passed_over(first, next);
                    return false;
                }
                done.at = *known;
                return true;
            }
            if (is_dense_ && next > 0) {
                why = gap(first, next);
                return false;
            }
        }
        if (first > format::largest_sequence - std::int64_t{count} + 1) [[unlikely]] {
            why = {errc::out_of_order_sequence_number, log_.name().text() + ": there is no sequence behind " + std::to_string(format::largest_sequence) +
                                                           "; go on under another name"};
            return false;
        }
        const batch_origin origin{{state_->id(), epoch_, first}};
        if (!append(origin)) {
            return false;
        }
        state_->note({first, first + std::int64_t{count} - 1, done.at});
        return true;
    }

    /// The common case: the next number, and `append` needs nothing but a claim. It is given the origin to tell, and where it
    /// has done it the offset.
    /// Returns   false: nothing has changed, and append_once says what there is to say.
    template <class Append>
    [[nodiscard, gnu::always_inline]] bool try_append_next(std::optional<std::int64_t> sequence, offset& at, const Append& append) {
        if (log_.is_forked()) [[unlikely]] {
            return false;
        }
        const std::scoped_lock held{state_->lock};
        const std::int64_t next = state_->last_sequence() + 1;
        if (state_->epoch() != epoch_ || sequence.value_or(next) != next || next > format::largest_sequence) [[unlikely]] {
            return false;
        }
        if (!append(batch_origin{{state_->id(), epoch_, next}})) [[unlikely]] {
            return false;
        }
        state_->note({next, next, at});
        return true;
    }

    // ---- for who gathers ----

    /// Where a record is that is there already; nullopt for one that was passed over, and is not.
    ///
    /// Requires  sequence <= last_sequence().
    [[nodiscard]] std::optional<offset> find(std::int64_t sequence) const {
        const std::scoped_lock guard{state_->lock};
        return state_->find(sequence);
    }

    /// Of a number that follows `last`, which is gathered or there already.
    [[nodiscard]] failure check_order(std::int64_t sequence, std::int64_t last) const {
        return is_dense_ && last >= 0 && sequence > last + 1 ? gap(sequence, last + 1) : failure{};
    }

    [[nodiscard]] failure passed_over(std::int64_t sequence, std::int64_t next) const {
        return {errc::out_of_order_sequence_number, log_.name().text() + ": sequence " + std::to_string(sequence) + " has been passed over: it is not there, and " +
                                                        std::to_string(next) + " is the next that can be; send records in the order of their numbers"};
    }

private:
    [[nodiscard]] failure forked() const {
        return {errc::forked, log_.name().text() + ": its broker belongs to the parent of this process; open a broker of your own after fork()"};
    }

    [[nodiscard]] failure fenced() const {
        return {errc::producer_fenced, log_.name().text() + ": another producer of the same name has been made since; this one sends nothing any more"};
    }

    [[nodiscard]] failure gap(std::int64_t sequence, std::int64_t next) const {
        return {errc::out_of_order_sequence_number, log_.name().text() + ": sequence " + std::to_string(sequence) + " comes where " + std::to_string(next) +
                                                        " was expected; send what is missing first, or make the producer without dense_sequences"};
    }

    const storage::log& log_;
    std::shared_ptr<storage::producer_state> state_;
    bool is_dense_;
    std::uint16_t epoch_ = 0;
};

}  // namespace brook::inline BROOK_ABI::engine
