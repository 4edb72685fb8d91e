/// \file brook/broker/group_service.hpp
/// What consumers ask of whoever coordinates their group: this broker, or another of its cluster.
/// Floor 4, broker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/group.hpp>
#include <brook/broker/request_outcome.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>

namespace brook::inline BROOK_ABI {

/// How a group is [GroupState].
enum class group_state {
    empty,        ///< it has committed, and has no members
    reconciling,  ///< some member has yet to give something up, or to take it, at its next poll
    stable,
};

/// A group as it was when it was asked for.
struct group_description {
    struct member {
        std::string id;
        std::string group_instance_id;                                    ///< empty: it has none
        bool is_away = false;                                             ///< it has left, and may come back under its name
        std::vector<std::pair<std::string, std::int32_t>> assignment{};  ///< topic and number of each partition that it reads
    };
    struct partition {
        std::string topic;
        std::int32_t number = 0;
        std::optional<offset> committed{};  ///< the next offset to read; nullopt: nothing was committed
        std::string metadata{};             ///< what was committed with it
        offset log_end_offset = 0;
        std::int64_t lag = 0;  ///< offsets from the committed one to the log's end, from the log's start where nothing was committed; a change of leaders takes one
    };

    std::string group_id;
    group_state state = group_state::empty;
    std::int32_t generation = 0;
    std::string assignor;  ///< empty: no members
    std::vector<member> members;
    std::vector<partition> partitions;  ///< those that it reads or has committed, by topic and number

    /// Of all partitions.
    [[nodiscard]] std::int64_t lag() const noexcept {
        std::int64_t all = 0;
        for (const auto& one : partitions) {
            all += one.lag;
        }
        return all;
    }
};

}  // namespace brook::inline BROOK_ABI

namespace brook::inline BROOK_ABI::broker_room {

/// What a member holds of its group.
struct group_seat {
    group::member_id id = 0;  ///< 0: none
    std::shared_ptr<membership> shared;
};

/// What a consumer's polls have asked a coordinator elsewhere and did not wait for: a later poll finds the answer.
///
/// Threads   confined, to its consumer.
class group_inquiries {
public:
    /// The number under which it is about to join, whether or not the coordinator has taken it in already; 0: it is not.
    group::member_id joining = 0;

    /// The answer to this call, which `begin(outcome)` asks where it has not been asked before. One of a kind is open, but for those of which `many`.
    /// Errors    thrown: what was answered; coordinator_not_available while there is no answer.
    template <class Begin>
    [[nodiscard]] std::vector<std::byte> ask(const std::vector<std::byte>& call, std::uint32_t kind, bool many, const Begin& begin) {
        std::size_t i = 0;
        while (i < open_.size() && open_[i].call != call) {
            ++i;
        }
        if (i == open_.size()) {
            for (std::size_t k = open_.size(); !many && k-- > 0;) {
                if (open_[k].kind == kind) {
                    erase_at(open_, k);
                }
            }
            open_.push_back({call, kind, std::make_shared<request_outcome>()});
            i = open_.size() - 1;
            try {
                begin(open_[i].told);
            } catch (const std::exception&) {
                open_.pop_back();  // nobody will answer it
                throw;
            }
        }
        failure why;
        std::vector<std::byte> result;
        if (!open_[i].told->take(why, result)) {
            throw_error(errc::coordinator_not_available, "the group's coordinator has not answered yet");
        }
        erase_at(open_, i);
        if (why) {
            why.raise();
        }
        return result;
    }

    /// Nothing is awaited.
    [[nodiscard]] bool is_empty() const noexcept { return open_.empty(); }

    /// Whatever is answered from here on, nobody wants to know.
    void clear() noexcept { open_.clear(); }

private:
    struct inquiry {
        std::vector<std::byte> call;
        std::uint32_t kind;
        std::shared_ptr<request_outcome> told;
    };
    std::vector<inquiry> open_;
};

/// The groups of a broker, or of a cluster. See group_coordinator for what each of these does.
///
/// Those that polls use have `later`. Null: they wait for their answer, for some election timeouts at most. Else they wait for nothing, and throw or return
/// coordinator_not_available until the answer is there: asked the same once more they have it. Readers are woken when one has come.
///
/// Threads   shared.
/// Errors    of those that go to another broker also coordinator_not_available: it was not reached in time, and what was asked may have been
///           done. Functions that return a failure return that; the others throw it.
class group_service {
public:
    virtual ~group_service() = default;

    [[nodiscard]] virtual group_seat join(std::string_view name, const member_options& options, std::vector<group_topic> topics, group_inquiries* later = nullptr) = 0;
    virtual void subscribe(std::string_view name, group::member_id member, std::vector<group_topic> topics, group_inquiries* later = nullptr) = 0;
    virtual void leave(std::string_view name, group::member_id member) = 0;
    [[nodiscard]] virtual bool is_member(std::string_view name, group::member_id member) = 0;
    [[nodiscard]] virtual bool has_instance(std::string_view name, std::string_view instance, group_inquiries* later = nullptr) = 0;
    [[nodiscard]] virtual std::vector<group_place> to_release(std::string_view name, group::member_id member, group_inquiries* later = nullptr) = 0;
    virtual void release(std::string_view name, group::member_id member, const std::vector<group_place>& places, group_inquiries* later = nullptr) = 0;
    [[nodiscard]] virtual std::vector<group_place> take(std::string_view name, group::member_id member, bool& awaits_more, group_inquiries* later = nullptr) = 0;

    [[nodiscard]] virtual failure commit(std::string_view name, group::member_id member, const std::vector<committed_position>& positions, group_inquiries* later = nullptr) = 0;
    [[nodiscard]] virtual std::optional<committed_position> committed(std::string_view name, const format::topic_id& topic, std::int32_t partition, group_inquiries* later = nullptr) = 0;

    [[nodiscard]] virtual std::vector<std::string> names() = 0;
    [[nodiscard]] virtual group_description describe(std::string_view name, const std::vector<topic_handle>& topics) = 0;
    [[nodiscard]] virtual failure remove(std::string_view name) = 0;
    [[nodiscard]] virtual failure reset(std::string_view name, const std::vector<committed_position>& positions) = 0;
};

}  // namespace brook::inline BROOK_ABI::broker_room
