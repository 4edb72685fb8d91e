/// \file brook/broker/transaction_coordinator.hpp
/// Who holds which transactional id, and the one record by which a transaction is committed.
/// Floor 4, broker. Source: Kafka's TransactionCoordinator (KIP-98), without its markers: all partitions are here.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/group_coordinator.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/broker/transaction_history.hpp>
#include <brook/broker/transaction_part.hpp>
#include <brook/broker/transaction_record.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

inline constexpr std::string_view transaction_topic = "__transaction_state";

/// One transaction, as its holder and the coordinator share it.
///
/// Threads   the id, the stamp and the timeout never change; the parts belong to the holder's thread while it is open; the
///           rest is guarded by the coordinator.
class coordinated_transaction {
public:
    [[nodiscard]] const std::string& transactional_id() const noexcept { return transactional_id_; }
    [[nodiscard]] format::producer_stamp stamp(std::int64_t sequence) const noexcept { return {producer_id_, epoch_, sequence}; }

private:
    friend class transaction_coordinator;

    enum class state { open, committed, aborted, fenced, timed_out };

    std::string transactional_id_;
    std::int64_t producer_id_ = 0;
    std::uint16_t epoch_ = 0;
    std::chrono::nanoseconds timeout_{};
    state state_ = state::open;
    bool has_appended_ = false;
    std::chrono::nanoseconds deadline_{};
    std::vector<transaction_part> parts_;
};

using transaction_handle = std::shared_ptr<coordinated_transaction>;

/// The transactions of a broker.
///
/// All partitions are on one disk and in one process, so that no two of them have to be brought to agree: a transaction's
/// batches are appended where they belong, marked as its own, and one record in __transaction_state then makes all of them
/// count. Killed in front of that record's publication, nothing of it ever does; behind it, all of it.
///
/// Readers ask the table of fates (storage::transaction_table), which is the sum of those records. Producer ids are made
/// anew by each broker object: what a dead process left open has an id that nobody will ever commit.
///
/// A topic that is deleted takes the parts along that transactions have in it, as if they had been committed just before: they are
/// named by no record and waited for by nobody, and the rest is committed as if they had never been. The same goes for offsets
/// that were read in it.
///
/// Threads   shared.
/// Cost      a commit is one append more than its parts.
class transaction_coordinator {
public:
    transaction_coordinator(shared_state& shared, committed_offsets& offsets) noexcept : shared_{shared}, offsets_{offsets} {}

    /// Takes the internal topic, with all topics of the broker by which to judge its records.
    /// Errors    corrupt_record, and what appending a judgement says.
    void open(topic_handle own, const std::vector<topic_handle>& topics);

    [[nodiscard]] bool is_open() const;

    /// Begins a transaction. One that is open under the same id is aborted, and its holder fenced.
    [[nodiscard]] transaction_handle begin(std::string_view transactional_id, std::chrono::nanoseconds timeout);

    /// Called in front of the first batch that a transaction appends to a partition: from here on readers wait there.
    /// Errors    producer_fenced, transaction_aborted.
    [[nodiscard]] failure join(coordinated_transaction& in, const topic_handle& topic, std::int32_t partition, std::size_t& part);

    /// What it has appended there last.
    static void note_end(coordinated_transaction& in, std::size_t part, offset end, std::uint64_t checksum) noexcept;

    [[nodiscard]] failure check(const coordinated_transaction& in) const;

    /// All or nothing: what it has appended, how far these groups have read, and the application's state.
    /// Errors    producer_fenced, transaction_aborted, illegal_generation, what appending says: then it is aborted. What
    ///           waiting for the disk says: then it is committed, and may be lost with the power.
    [[nodiscard]] failure commit(const transaction_handle& in, group_coordinator& groups, const std::vector<group_commit>& commits,
                                 const std::optional<std::string>& state_bytes);

    /// Nothing of it will ever count. It may have ended already.
    void abort(coordinated_transaction& in) noexcept;

    /// What the last committed transaction of this id has left for the next.
    [[nodiscard]] std::string state_of(std::string_view transactional_id) const;

    // ---- upkeep ----

    /// Aborts those that hold readers up for longer than they said, and syncs what topics with a flush_interval promise.
    /// Returns   when to look again.
    std::optional<std::chrono::nanoseconds> run_due(std::chrono::nanoseconds now, failure& why);

    /// A topic has been deleted: what is kept to be synced later lets go of it.
    void forget_deleted() noexcept;

    /// In front of the logs' closing: what a flush_interval has promised is not left to the power.
    void close() noexcept;

private:
    using state = coordinated_transaction::state;
    static constexpr std::int32_t largest_epoch = 65'535;
    static constexpr std::size_t most_aborted = 1'000;

    struct holder {
        std::string transactional_id;
        std::int64_t producer_id = -1;       // of this broker object; -1: none yet
        std::int32_t last_epoch = -1;        // that has appended something
        std::vector<std::uint16_t> aborted;  // those of them that failed
        std::string state;
        transaction_handle current;          // null: none is open
        unsynced_parts unsynced;
    };

    [[nodiscard]] storage::log& log() const { return topic_->partition(0); }

    [[nodiscard]] std::size_t place_of(std::string_view transactional_id) const noexcept;
    [[nodiscard]] bool is_at(std::size_t i, std::string_view transactional_id) const noexcept;
    [[nodiscard]] holder& holder_of(std::string_view transactional_id);

    [[nodiscard]] static failure refusal(const coordinated_transaction& of);

    [[nodiscard]] failure join_locked(coordinated_transaction& in, const topic_handle& topic, std::int32_t partition);

    /// What leaves something in a log without being committed is named by every later record of its producer id.
    void end(holder& of, coordinated_transaction& in, state how) noexcept;

    static void release_parts(const coordinated_transaction& in) noexcept;

    /// The moment. Called with the groups held still, where some of them commit.
    [[nodiscard]] failure decide(coordinated_transaction& in, const std::vector<group_commit>& commits, const std::optional<std::string>& state_bytes);

    /// They are in the log, and count: without memory to note them a group may read again what it has read, until the broker is
    /// opened anew.
    void note_commits(const std::vector<group_commit>& commits) noexcept;

    [[nodiscard]] failure append_commits(coordinated_transaction& in, const std::vector<group_commit>& commits);

    [[nodiscard]] failure append(std::string_view transactional_id, const transaction_record& told);

    // ---- durability ----

    /// A topic that promises durability promises it of transactions, too.
    void note_interval(std::chrono::nanoseconds interval);

    /// Who waits for the disk must not be the one whom the disk waits for.
    [[nodiscard]] static failure refuse_own_claims(const coordinated_transaction& in);

    [[nodiscard]] static bool is_durability_promised(const coordinated_transaction& in);

    /// First the parts, then the record which says that they are there. Those of earlier transactions of the id, too: what is
    /// lost with the power takes all behind it along.
    [[nodiscard]] failure make_durable(std::string_view transactional_id);

    // ---- opening ----

    /// Takes over what the lives before have left. First for the readers of this one, which may not be able to write it down.
    void recall(const std::vector<topic_handle>& topics);

    /// Says once and for all that these are aborted, in front of all that is told of the same ids from here on. It need not be
    /// on the disk now: with it, all that is behind it would be lost, and the next opening would judge the same.
    void judge(const transaction_history& history);

    shared_state& shared_;
    committed_offsets& offsets_;
    mutable std::mutex mutex_;  // guards what follows, and that records are appended in the order of what they tell
    topic_handle topic_;        // null: nobody has begun a transaction yet
    std::vector<holder> holders_;  // by transactional id
    std::optional<std::chrono::nanoseconds> sync_by_;  // a topic with a flush_interval waits for it
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/transaction_coordinator.hpp>
#endif
