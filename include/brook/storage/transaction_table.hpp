/// \file brook/storage/transaction_table.hpp
/// How each transaction ended: what a reader asks when it comes to a part of one.
/// Floor 2, storage. Source: Kafka's last stable offset and index of aborted transactions (KIP-98).
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/ordered.hpp>

namespace brook::inline BROOK_ABI::storage {

enum class transaction_fate {
    open,       ///< not decided: readers of committed records wait in front of it
    committed,
    aborted,    ///< they pass over it
    unknown,    ///< where it was told how it ended is damage
};

/// The transactions of a broker, by producer id and epoch. An id belongs to one holder after the other, and each of its
/// transactions that appended anything has an epoch of its own, counted up: so all that has to be kept of an id is how far
/// it has come, and which of its epochs failed.
///
/// What nothing is known of was aborted: a transaction is committed by being told of.
///
/// Threads   shared.
/// Cost      a look is a lock and a search among the ids, for each batch of a transaction that is read.
class transaction_table {
public:
    [[nodiscard]] transaction_fate fate(std::int64_t id, std::uint16_t epoch) const {
        const std::scoped_lock guard{mutex_};
        const std::size_t i = place_of(id);
        if (!is_at(i, id) || std::int32_t{epoch} > ids_[i].last_committed) {
            const bool is_open = is_at(i, id) && ids_[i].open_epoch == std::int32_t{epoch};
            return is_open ? transaction_fate::open : is_damaged_ ? transaction_fate::unknown : transaction_fate::aborted;
        }
        return is_among(ids_[i].aborted, epoch)   ? transaction_fate::aborted
               : is_among(ids_[i].unknown, epoch) ? transaction_fate::unknown
                                                  : transaction_fate::committed;
    }

    /// A transaction may append from now on.
    void begin(std::int64_t id, std::uint16_t epoch) {
        const std::scoped_lock guard{mutex_};
        at(id).open_epoch = epoch;
    }

    /// Its fate is told: from now on readers see all of it, together with those whose epochs lie between and that are not in
    /// `aborted`.
    ///
    /// Requires  begin, of this id. Takes no memory: what is told must not fail here.
    void commit(std::int64_t id, std::uint16_t epoch, std::vector<std::uint16_t>&& aborted) noexcept {
        const std::scoped_lock guard{mutex_};
        entry& one = ids_[place_of(id)];
        one.last_committed = epoch;
        one.aborted.swap(aborted);
        one.open_epoch = none;
    }

    /// As an opening finds it: `unknown` are those of which it cannot be said now whether all of it is there.
    void recall(std::int64_t id, std::uint16_t epoch, std::vector<std::uint16_t> aborted, std::vector<std::uint16_t> unknown) {
        begin(id, epoch);
        commit(id, epoch, std::move(aborted));
        const std::scoped_lock guard{mutex_};
        ids_[place_of(id)].unknown = std::move(unknown);
    }

    void abort(std::int64_t id) {
        const std::scoped_lock guard{mutex_};
        if (const std::size_t i = place_of(id); is_at(i, id)) {
            ids_[i].open_epoch = none;
        }
    }

    /// Whether what was told of them can be read. If not, nobody knows how those ended that nothing is known of.
    void set_readable(bool is_readable) {
        const std::scoped_lock guard{mutex_};
        is_damaged_ = !is_readable;
    }

private:
    static constexpr std::int32_t none = -1;

    struct entry {
        std::int64_t id = 0;
        std::int32_t last_committed = none;
        std::int32_t open_epoch = none;
        std::vector<std::uint16_t> aborted;  // epochs before the last committed one
        std::vector<std::uint16_t> unknown;
    };

    [[nodiscard]] static bool is_among(const std::vector<std::uint16_t>& epochs, std::uint16_t epoch) noexcept {
        for (const std::uint16_t one : epochs) {
            if (one == epoch) {
                return true;
            }
        }
        return false;
    }

    [[nodiscard]] std::size_t place_of(std::int64_t id) const noexcept {
        return count_before(ids_.size(), [&](std::size_t i) { return ids_[i].id < id; });
    }
    [[nodiscard]] bool is_at(std::size_t i, std::int64_t id) const noexcept { return i < ids_.size() && ids_[i].id == id; }
    [[nodiscard]] entry& at(std::int64_t id) {
        const std::size_t i = place_of(id);
        if (!is_at(i, id)) {
            insert_at(ids_, i, entry{id, none, none, {}, {}});
        }
        return ids_[i];
    }

    mutable std::mutex mutex_;  // guards what follows
    std::vector<entry> ids_;    // by id
    bool is_damaged_ = false;
};

}  // namespace brook::inline BROOK_ABI::storage
