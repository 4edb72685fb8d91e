/// \file brook/core/error.hpp
/// What can go wrong, by Kafka's names, and the one function that throws it.
/// Floor 0, core. Source: Kafka's protocol errors (org.apache.kafka.common.protocol.Errors).
#pragma once

#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <brook/core/config.hpp>

namespace brook::inline BROOK_ABI {

/// Branch on these, not on the text. What the operating system refused keeps the system's own code instead:
/// a full disk is `std::errc::no_space_on_device`.
enum class errc {
    closed = 1,                     ///< the broker, producer or consumer behind this handle has been closed
    invalid_topic,                  ///< not 1-249 bytes of [A-Za-z0-9._-], or "." or ".."
    unknown_topic_or_partition,     ///< no such topic, or its partitions end before this number
    topic_already_exists,           ///< it exists with other options than the ones given
    schema_mismatch,                ///< the topic was made with another key or value type
    invalid_config,                 ///< options that contradict each other, or that this version cannot honour
    record_too_large,               ///< larger than a segment of its topic can hold
    offset_out_of_range,            ///< before the log start or past the log end, and no policy says where to go
    corrupt_record,                 ///< bytes on disk are not what was written; the text names file and position
    unsupported_version,            ///< written by a newer brook
    not_a_brook_directory,          ///< the directory holds something else
    directory_in_use,               ///< another broker, here or in another process, has it open
    unsafe_filesystem,              ///< mapped writes are not promised there
    partition_failed,               ///< a sync failed: the partition takes no more writes until it is opened again
    unsupported_compression_type,   ///< this program has no such codec; the text names the header that has
    illegal_generation,             ///< a commit by who is no member of the group any more, or for what is not its own
    fenced_instance_id,             ///< another consumer with this group_instance_id has taken its place
    inconsistent_group_protocol,    ///< the group shares out its partitions by another assignor
    offset_metadata_too_large,      ///< more than 4096 bytes of it came with a commit
    group_id_not_found,             ///< there is no such group, or it has committed nothing
    non_empty_group,                ///< it has members, who must leave first
    out_of_order_sequence_number,   ///< a producer's numbers leave one out, and it has said that they do not
    producer_fenced,                ///< another producer of this name, or transaction of this id, has taken its place
    transaction_aborted,            ///< the transaction has ended without being committed; nothing of it counts
    claim_open,                     ///< this thread waits for records while it holds a claim in front of them
    no_value,                       ///< the record is a tombstone
    no_offset,                      ///< a position was asked for before one was known
    schema_read,                    ///< a record's bytes end before its type does
    forked,                         ///< the broker belongs to the parent process
    illegal_state,                  ///< the call does not fit what the object is doing
    not_leader_or_follower,         ///< no leader of the partition can be reached; nothing was written
    not_enough_replicas,            ///< fewer than min_insync_replicas are in sync; nothing was written
    coordinator_not_available,      ///< the broker that coordinates the group was not reached in time
    timed_out,                      ///< delivery_timeout passed first; whether the record is there shows later
    network_exception,              ///< a connection between brokers was refused, lost or never made
    authentication_failed,          ///< a broker has not proved who it is: its certificate, or what it speaks, is not good
};

}  // namespace brook::inline BROOK_ABI

/// Lets `error.code() == brook::errc::closed` compile. Stands before the first use that would instantiate it.
template <>
struct std::is_error_code_enum<brook::errc> : std::true_type {};

namespace brook::inline BROOK_ABI {

namespace detail {

class error_category final : public std::error_category {
public:
    const char* name() const noexcept override { return "brook"; }

    std::string message(int code) const override {
        switch (static_cast<errc>(code)) {
            case errc::closed: return "closed";
            case errc::invalid_topic: return "invalid topic";
            case errc::unknown_topic_or_partition: return "unknown topic or partition";
            case errc::topic_already_exists: return "topic already exists";
            case errc::schema_mismatch: return "schema mismatch";
            case errc::invalid_config: return "invalid config";
            case errc::record_too_large: return "record too large";
            case errc::offset_out_of_range: return "offset out of range";
            case errc::corrupt_record: return "corrupt record";
            case errc::unsupported_version: return "unsupported version";
            case errc::not_a_brook_directory: return "not a brook directory";
            case errc::directory_in_use: return "directory in use";
            case errc::unsafe_filesystem: return "unsafe filesystem";
            case errc::partition_failed: return "partition failed";
            case errc::unsupported_compression_type: return "unsupported compression type";
            case errc::illegal_generation: return "illegal generation";
            case errc::fenced_instance_id: return "fenced instance id";
            case errc::inconsistent_group_protocol: return "inconsistent group protocol";
            case errc::offset_metadata_too_large: return "offset metadata too large";
            case errc::group_id_not_found: return "group id not found";
            case errc::non_empty_group: return "non-empty group";
            case errc::out_of_order_sequence_number: return "out of order sequence number";
            case errc::producer_fenced: return "producer fenced";
            case errc::transaction_aborted: return "transaction aborted";
            case errc::claim_open: return "claim open";
            case errc::no_value: return "no value";
            case errc::no_offset: return "no offset";
            case errc::schema_read: return "record does not match its schema";
            case errc::forked: return "forked";
            case errc::illegal_state: return "illegal state";
            case errc::not_leader_or_follower: return "not leader or follower";
            case errc::not_enough_replicas: return "not enough replicas";
            case errc::coordinator_not_available: return "coordinator not available";
            case errc::timed_out: return "timed out";
            case errc::network_exception: return "network exception";
            case errc::authentication_failed: return "authentication failed";
        }
        return "unknown brook error";
    }
};

}  // namespace detail

inline const std::error_category& brook_category() noexcept {
    static const detail::error_category category;
    return category;
}

inline std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), brook_category()}; }

/// Every failure of brook. `what()` names topic, partition, offset and file as far as they are known, and what to do.
class error : public std::system_error {
public:
    error(std::error_code code, const std::string& text) : std::system_error{code, text} {}
    error(errc code, const std::string& text) : std::system_error{make_error_code(code), text} {}
};

/// Every throw of brook passes here, so that throwing costs its callers one call and a debugger one breakpoint.
[[noreturn]] inline void throw_error(std::error_code code, const std::string& text) { throw error{code, text}; }
[[noreturn]] inline void throw_error(errc code, const std::string& text) { throw error{code, text}; }

/// The system's own code, untranslated, with what was tried and on which path.
[[noreturn]] inline void throw_system_error(int number, const std::string& what) {
    throw error{std::error_code{number, std::system_category()}, what};
}

/// An error that is kept rather than thrown: the code, and the text that `error::what` would have given.
/// Default-constructed: success.
struct failure {
    std::error_code code;
    std::string text;

    failure() = default;
    failure(std::error_code why, std::string what) : code{why}, text{std::move(what)} {}
    failure(errc why, std::string what) : code{make_error_code(why)}, text{std::move(what)} {}

    /// What an error said, without the code's own words, which raising it adds again.
    explicit failure(const std::system_error& thrown) : code{thrown.code()}, text{thrown.what()} {
        if (const std::string suffix = ": " + code.message(); text.ends_with(suffix)) {
            text.resize(text.size() - suffix.size());
        }
    }

    explicit operator bool() const noexcept { return static_cast<bool>(code); }
    void raise() const { throw_error(code, text); }
};

/// What was thrown, by whomever: with its own code where it has one; not_enough_memory, where that is what it says; else illegal_state.
[[nodiscard]] inline failure failure_of(const std::exception& thrown) {
    if (const auto* const coded = dynamic_cast<const std::system_error*>(&thrown)) {
        return failure{*coded};
    }
    const bool is_memory = dynamic_cast<const std::bad_alloc*>(&thrown) != nullptr || dynamic_cast<const std::length_error*>(&thrown) != nullptr;
    return {is_memory ? std::make_error_code(std::errc::not_enough_memory) : make_error_code(errc::illegal_state), thrown.what()};
}

}  // namespace brook::inline BROOK_ABI
