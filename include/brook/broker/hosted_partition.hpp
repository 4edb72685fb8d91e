/// \file brook/broker/hosted_partition.hpp
/// One replica with its log: what the state machine wants done, done.
/// Floor 4, broker.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/replication/message.hpp>
#include <brook/replication/replica.hpp>
#include <brook/storage/log.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Who asked, and by which of his requests: where an answer goes.
struct answer_to {
    std::int32_t node = replication::no_node;
    std::uint64_t number = 0;

    bool operator==(const answer_to&) const = default;
};

/// What a control frame says: a number in front, then what goes with it.
///
///     1  an epoch is opened      i32 leader
///     2  who decides             u32 count, i32 each
struct control_record {
    static constexpr std::uint32_t opens_epoch = 1;
    static constexpr std::uint32_t names_voters = 2;

    [[nodiscard]] static std::vector<std::byte> open_epoch(std::int32_t leader);

    [[nodiscard]] static std::vector<std::byte> name_voters(const std::vector<std::int32_t>& nodes);

    /// nullopt: the frame is another one. Empty: it names voters, and nobody can have named those.
    [[nodiscard]] static std::optional<std::vector<std::int32_t>> voters_in(bytes frame);
};

/// A replica, its log, and who waits for what it commits.
///
/// Threads   confined, to whoever holds the cluster's lock; the log is shared.
class hosted_partition {
public:
    hosted_partition(partition_id which, topic_handle of, replication::replica_options options, replication::ballot saved, std::chrono::nanoseconds now)
        : id{which}, topic{std::move(of)}, log{*topic->partitions[static_cast<std::size_t>(which.number)]}, machine{options, std::move(saved), look_at(log), now} {}

    /// Somebody waits until his record is committed.
    struct waiting_ack {
        answer_to to;
        offset first;
        offset end;
        std::int64_t timestamp;
        std::vector<std::byte> body{};  ///< the answer, where it is another than the offset
    };

    partition_id id;
    topic_handle topic;
    storage::log& log;
    replication::replica machine;
    std::vector<waiting_ack> waiting;  ///< by end
    std::uint32_t waiting_epoch = 0;   ///< in which they were appended
    std::int32_t leader_seen = replication::no_node;  ///< who led at the last look, …
    std::uint32_t epoch_seen = 0;                     ///< … and since which epoch
    std::size_t largest_frame = SIZE_MAX;  ///< that the others can be sent, in bytes
    bool wants_sync = false;           ///< somebody waits until what was appended is on this disk
    bool is_rotten = false;            ///< what it should send does not verify
    bool is_unclear = false;           ///< rot hides in which epochs some of it was appended: it must not lead
    bool is_touched = false;           ///< something was said to the machine, or is about to be, and not followed yet
    bool is_settling = false;          ///< what it wants is being done
    offset late_until = 0;             ///< who has sent here has waited in vain until it shows what is below
    failure full;                      ///< why its disk has taken no records lately; success: it takes them
    std::int32_t handed_to = replication::no_node;  ///< who was to lead in its place then
    std::string told;                  ///< why it cannot copy, and that has been reported

    /// The machine begins anew, with what the log has.
    void reopen(replication::replica_options options, std::chrono::nanoseconds now);

    /// Errors    record_too_large: nobody could copy it, nor anything behind it; what the log's append says.
    [[nodiscard]] failure append_own(std::vector<std::byte>& frame, std::uint32_t taken, offset& first, std::chrono::nanoseconds now);

    /// Appends what another replica sent, if it is of no later epoch than that one leads in: such a log is nobody's, and whom this one told of it
    /// would not understand it. `announce` is called in front of a frame that names voters, and has saved that when it returns success.
    /// Returns   true: all of it.
    template <class Announce>
    [[nodiscard]] bool copy(bytes frames, std::chrono::nanoseconds now, const Announce& announce, failure& why) {
        format::wire_walk all{frames};
        std::size_t begin = 0;
        std::size_t end = 0;
        const auto append = [&] {
            offset reached = machine.end();
            if (end > begin) {
                why = log.append_copy(frames.subspan(begin, end - begin), reached);
                note_room(why);
            }
            note_copied(frames.subspan(begin, end - begin), reached, now);
            begin = end;
            return !why;
        };
        for (bytes frame; all.next(frame);) {
            if (const std::uint32_t epoch = format::load_header(frame.data()).leader_epoch; epoch > machine.epoch()) {
                if (append()) {
                    why = {errc::corrupt_record, log.name().text() + ": what another replica sent in epoch " + std::to_string(machine.epoch()) + " is of epoch " + std::to_string(epoch)};
                }
                return false;
            }
            if (auto nodes = control_record::voters_in(frame); nodes && !format::wire_fault(frame)) {
                const format::frame_header header = format::load_header(frame.data());
                if (!append()) {
                    return false;
                }
                if (nodes->empty() || !machine.note_voters(header.base_offset, header.leader_epoch, std::move(*nodes))) {
                    why = {errc::corrupt_record, log.name().text() + ": the record at offset " + std::to_string(header.base_offset) +
                                                     " names voters that cannot be, or too many that are not committed"};
                    return false;
                }
                if (why = announce(); why) {
                    return false;
                }
            }
            end += frame.size();
        }
        if (!append()) {
            return false;
        }
        if (!all.rest().empty()) {
            why = {errc::corrupt_record, log.name().text() + ": what another replica sent ends in the middle of a frame"};
            return false;
        }
        return true;
    }

    /// What the producer's numbers say of a batch: whether it is there already. `is_early`: one that was sent before it is not there.
    enum class repetition { is_new, is_early, is_there, is_forgotten, is_out_of_order, is_fenced };
    [[nodiscard]] repetition look_up(const format::producer_stamp& stamp, std::uint32_t count, bool follows_another, bool may_skip, offset& known, failure& why);

    /// Whether the disk said it, and not what was to be appended.
    [[nodiscard]] static bool is_of_disk(const failure& why) noexcept;

private:
    /// What was refused has ended its segment: nothing is taken, however small, before there is room for another one.
    void note_room(const failure& why);

    [[nodiscard]] static replication::replica_log look_at(storage::log& log);

    void note_copied(bytes frames, offset reached, std::chrono::nanoseconds now);
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/hosted_partition.hpp>
#endif
