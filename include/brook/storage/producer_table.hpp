/// \file brook/storage/producer_table.hpp
/// What a partition remembers of its producers, to tell a repetition from something new.
/// Floor 2, storage. Source: Kafka's ProducerStateManager (KIP-98), which keeps five batches of each.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/checksum.hpp>
#include <brook/format/frame.hpp>
#include <brook/os/brief_lock.hpp>
#include <brook/os/platform.hpp>

namespace brook::inline BROOK_ABI::storage {

/// One producer as one partition knows it.
///
/// Threads   shared, under `lock`: who appends for the producer holds it from the question whether a record is new to
///           the note that it is there. So its records stand in the order of their sequences, and others' go on.
class producer_state {
public:
    static constexpr std::size_t most_remembered = 16;  ///< as many as a producer may have on their way at once

    /// Records that were appended together: sequences [first, last], of which the first has offset `at`.
    struct batch {
        std::int64_t first = 0;
        std::int64_t last = -1;
        offset at = -1;
    };

    producer_state(std::int64_t id, os::platform& on) noexcept : lock{on}, id_{id} {}

    os::brief_lock lock;  ///< guards everything but the id

    [[nodiscard]] std::int64_t id() const noexcept { return id_; }

    /// Of the latest that came under this id: an older one is fenced.
    [[nodiscard]] std::uint16_t epoch() const noexcept { return epoch_; }
    void set_epoch(std::uint16_t epoch) noexcept { epoch_ = epoch; }

    /// The largest sequence that is in the log; -1: nothing is known of it.
    [[nodiscard]] std::int64_t last_sequence() const noexcept { return last_sequence_; }

    [[nodiscard]] const batch& newest() const noexcept { return batches_[newest_]; }

    /// Where a record of this sequence is: -1 for one that is older than what is remembered; nullopt for one that is new, or
    /// that has been passed over.
    [[nodiscard]] std::optional<offset> find(std::int64_t sequence) const noexcept {
        bool is_older = last_sequence() >= 0;
        for (const batch& one : batches_) {
            if (one.at >= 0 && sequence >= one.first && sequence <= one.last) {
                return one.at + (sequence - one.first);
            }
            is_older = is_older && (one.at < 0 || sequence < one.first);
        }
        return is_older ? std::optional{offset{-1}} : std::nullopt;
    }

    /// Takes a batch that has been appended; one that is known is not taken twice.
    void note(const batch& appended) noexcept {
        if (appended.last > last_sequence()) {
            newest_ = newest_ == most_remembered - 1 ? std::uint8_t{0} : static_cast<std::uint8_t>(newest_ + 1);
            batches_[newest_] = appended;
            last_sequence_ = appended.last;
        }
    }

private:
    std::int64_t id_;
    std::uint16_t epoch_ = 0;
    std::uint8_t newest_ = 0;
    std::int64_t last_sequence_ = -1;
    std::array<batch, most_remembered> batches_{};

    friend class producer_table;
    std::int64_t seen_last_ = -1;              // by the table, when it looked for those that have gone
    std::chrono::nanoseconds seen_moving_{};
};

/// The producers of one partition.
///
/// A frame of the log holds the table from time to time, so that opening need not read the whole log: an entry each,
///
///     i64 producer id, u16 epoch and six zero bytes, i64 first and i64 last sequence of its newest batch, i64 its offset
///
/// complete for what is below the offset that the frame names; what is above is read from the log.
///
/// Threads   shared.
class producer_table {
public:
    static constexpr std::size_t entry_bytes = 40;

    /// Ids with this bit are of names, which are told once and for all; others are made for one producer's life, and are
    /// forgotten when they have not been heard of for long.
    static constexpr std::int64_t named_bit = std::int64_t{1} << 62;

    /// The id of a name: everybody finds the same one.
    [[nodiscard]] static std::int64_t id_of(std::string_view name) noexcept {
        return static_cast<std::int64_t>(format::hash(as_bytes(name)) & below_named) | named_bit;
    }

    /// One that nobody has had.
    [[nodiscard]] static std::int64_t new_id(os::platform& platform) { return static_cast<std::int64_t>(platform.random() & below_named); }

    explicit producer_table(os::platform& on) noexcept : platform_{on} {}

    [[nodiscard]] std::shared_ptr<producer_state> find(std::int64_t id) const {
        const std::scoped_lock guard{mutex_};
        const std::size_t i = place_of(id);
        return is_at(i, id) ? states_[i] : nullptr;
    }

    [[nodiscard]] std::shared_ptr<producer_state> find_or_add(std::int64_t id) {
        const std::scoped_lock guard{mutex_};
        const std::size_t i = place_of(id);
        if (!is_at(i, id)) {
            insert_at(states_, i, std::make_shared<producer_state>(id, platform_));
        }
        return states_[i];
    }

    [[nodiscard]] bool empty() const {
        const std::scoped_lock guard{mutex_};
        return states_.empty();
    }

    /// A batch that is in the log.
    void note(const format::producer_stamp& stamp, std::uint32_t count, offset at) {
        const auto state = find_or_add(stamp.id);
        const std::scoped_lock guard{state->lock};
        if (stamp.sequence > state->last_sequence()) {
            state->set_epoch(stamp.epoch);
        }
        state->note({stamp.sequence, stamp.sequence + std::int64_t{count} - 1, at});
    }

    /// Forgets what was appended, for it to be noted anew: the log has been cut. Who holds a producer's state goes on with it.
    void forget_batches() {
        const std::scoped_lock guard{mutex_};
        for (const auto& state : states_) {
            const std::scoped_lock held{state->lock};
            state->batches_ = {};
            state->newest_ = 0;
            state->last_sequence_ = -1;
        }
    }

    /// Every producer that has appended something. Waits for those who are about to.
    [[nodiscard]] std::vector<std::byte> encode() const {
        std::vector<std::shared_ptr<producer_state>> all;
        {
            const std::scoped_lock guard{mutex_};
            all = states_;
        }
        std::vector<std::byte> encoded;
        for (const auto& state : all) {
            const std::scoped_lock guard{state->lock};
            const producer_state::batch& newest = state->newest();
            if (newest.at < 0) {
                continue;
            }
            const std::size_t before = encoded.size();
            encoded.resize(before + entry_bytes);
            std::byte* const to = encoded.data() + before;
            store(to, state->id());
            store(to + 8, std::uint64_t{state->epoch()});
            store(to + 16, newest.first);
            store(to + 24, newest.last);
            store(to + 32, newest.at);
        }
        return encoded;
    }

    void decode(bytes encoded) {
        for (; encoded.size() >= entry_bytes; encoded = encoded.subspan(entry_bytes)) {
            const std::byte* const from = encoded.data();
            const producer_state::batch newest{load<std::int64_t>(from + 16), load<std::int64_t>(from + 24), load<offset>(from + 32)};
            if (newest.first < 0 || newest.last < newest.first || newest.last > format::largest_sequence || newest.at < 0 || newest.at > largest_offset) {
                continue;  // nobody wrote that
            }
            const auto state = find_or_add(load<std::int64_t>(from));
            const std::scoped_lock guard{state->lock};
            state->set_epoch(load<std::uint16_t>(from + 8));
            state->note(newest);
        }
    }

    /// Forgets those without a name that have appended nothing for `expiration`, as far as they were looked at, and that
    /// nobody holds.
    void expire(std::chrono::nanoseconds now, std::chrono::nanoseconds expiration) {
        const std::scoped_lock guard{mutex_};
        for (std::size_t i = states_.size(); i-- > 0;) {
            producer_state& state = *states_[i];
            if ((state.id() & named_bit) != 0) {
                continue;
            }
            std::int64_t last = -1;
            {
                const std::scoped_lock looking{state.lock};
                last = state.last_sequence();
            }
            if (state.seen_last_ != last || state.seen_moving_ == std::chrono::nanoseconds{}) {
                state.seen_last_ = last;
                state.seen_moving_ = now;
            } else if (now - state.seen_moving_ >= expiration && states_[i].use_count() == 1) {
                erase_at(states_, i);
            }
        }
    }

private:
    static constexpr auto below_named = static_cast<std::uint64_t>(named_bit) - 1;

    [[nodiscard]] std::size_t place_of(std::int64_t id) const noexcept {
        return count_before(states_.size(), [&](std::size_t i) { return states_[i]->id() < id; });
    }
    [[nodiscard]] bool is_at(std::size_t i, std::int64_t id) const noexcept { return i < states_.size() && states_[i]->id() == id; }

    os::platform& platform_;
    mutable std::mutex mutex_;  // guards the vector; each state guards itself, and is locked second
    std::vector<std::shared_ptr<producer_state>> states_;  // by id
};

}  // namespace brook::inline BROOK_ABI::storage
