/// \file brook/broker/topic_admin.hpp
/// Topics made and deleted in a whole cluster, for users of this broker.
/// Floor 4, broker. Source: Kafka's Admin.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/cluster_request.hpp>
#include <brook/broker/core.hpp>
#include <brook/broker/member_lock.hpp>
#include <brook/broker/metadata_loader.hpp>
#include <brook/broker/options.hpp>
#include <brook/broker/request_client.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/replication/byte_stream.hpp>
#include <brook/storage/log_life.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Asks the controller, and waits until it is decided and this broker has done its own part of it (topic_reconciler).
///
/// Threads   shared; without the member's lock.
/// Errors    thrown: what the controller answered; timed_out, after default_api_timeout, or not_leader_or_follower where nothing can have come of it;
///           closed.
class topic_admin {
public:
    struct settings {
        std::size_t brokers;                         ///< that the cluster has
        std::chrono::nanoseconds timeout;            ///< default_api_timeout
        std::chrono::nanoseconds election_timeout;
    };

    /// `why_leaderless`: why nobody leads the metadata, in words; empty where somebody does.
    topic_admin(core& of, settings given, member_lock& lock, const metadata_loader& metadata, request_client& client, callback<std::string()> why_leaderless)
        : core_{of}, settings_{given}, lock_{lock}, metadata_{metadata}, client_{client}, why_leaderless_{std::move(why_leaderless)} {}

    /// The controller says which topic has the name, since the one that is here may have been deleted, and made anew, without this broker knowing. Where
    /// no controller answers in some election timeouts the one that is here counts, if one is.
    topic_handle create_topic(std::string_view name, const topic_options& options, const schema& key, const schema& value) {
        const auto begun = client_.now();
        const bool is_here = core_.has_topic(name);
        const auto deadline = moment_after(begun, is_here ? std::min(settings_.timeout, settings_.election_timeout * 4) : settings_.timeout);
        const format::topic_id own = topic_meta::new_id(core_.shared()->platform);  // by which the controller knows a copy of this request that is late, also once the topic has gone again
        const topic_meta wanted = topic_meta::make(name, options, own, key, value);
        const auto factor = static_cast<std::size_t>(options.replication_factor.value_or(1));
        if (factor > settings_.brokers) {
            throw_error(errc::invalid_config, "topic '" + std::string{name} + "': replication_factor is " + std::to_string(factor) + ", and the cluster has " +
                                                  std::to_string(settings_.brokers) + " brokers");
        }
        std::vector<std::byte> body;
        replication::byte_writer to{body};
        to.put_text(name);
        to.put(static_cast<std::uint32_t>(factor));
        to.put(wanted.min_insync_replicas);
        to.put_text(wanted.encode());
        std::vector<std::byte> answer;
        try {
            answer = ask(request_kind::create_topic, std::move(body), deadline, "topic '" + std::string{name} + "' was not made");
        } catch (const error& why) {
            topic_handle here = is_here && has_run_out(why) ? core_.find_agreeing(name, options, key, value) : nullptr;
            if (here) {
                return here;
            }
            throw;
        }
        replication::byte_reader from{answer};
        const auto id = from.take<format::topic_id>();
        topic_handle made;
        bool is_gone = false;
        const bool is_made = client_.wait_until(moment_after(begun, settings_.timeout), [&] {
            made = core_.find_agreeing(name, options, key, value, id);
            is_gone = !made && lock_.hold([&] { return metadata_.name_of_deleted(id) != nullptr; });
            return made != nullptr || is_gone;
        });
        if (is_gone) {
            storage::deleted_topic(std::string{name}).raise();
        }
        if (!is_made) {
            throw_error(errc::timed_out, "topic '" + std::string{name} + "' is made in the cluster, and this broker has not made its own part in time; broker.health() may tell why");
        }
        return made;
    }

    void delete_topic(std::string_view name) {
        const auto deadline = moment_after(client_.now(), settings_.timeout);
        // So that one of its name that is made meanwhile stays, however often this is asked. Zeros: not known here.
        const format::topic_id id = lock_.hold([&] { return metadata_.id_of(name); });
        const bool is_known = id != format::topic_id{};
        const bool was_here = is_known || core_.has_topic(name);
        std::vector<std::byte> body;
        replication::byte_writer to{body};
        to.put_text(name);
        to.put(id);
        try {
            ask(request_kind::delete_topic, std::move(body), deadline, "topic '" + std::string{name} + "' was not deleted");
        } catch (const error& why) {
            if (!was_here || why.code() != errc::unknown_topic_or_partition) {
                throw;
            }  // else it is gone: the answer that said so was lost, or another broker was first
        }
        if (!client_.wait_until(deadline, [&] { return is_known ? !core_.has_topic(name, id) : !core_.has_topic(name); })) {
            throw_error(errc::timed_out, "topic '" + std::string{name} + "' was deleted in the cluster, and not in time on this broker; broker.health() may tell why");
        }
    }

private:
    [[nodiscard]] static bool has_run_out(const error& why) noexcept { return why.code() == errc::timed_out || why.code() == errc::not_leader_or_follower; }

    /// Says why, where the time is over.
    std::vector<std::byte> ask(request_kind kind, std::vector<std::byte> body, std::chrono::nanoseconds deadline, const std::string& what) {
        try {
            return client_.ask(kind, metadata_id, std::move(body), deadline, what);
        } catch (const error& why) {
            const std::string reason = has_run_out(why) ? why_leaderless_() : std::string{};
            if (!reason.empty()) {
                throw_error(why.code(), failure{why}.text + "; " + reason);
            }
            throw;
        }
    }

    core& core_;
    const settings settings_;
    const member_lock& lock_;
    const metadata_loader& metadata_;  // under the lock
    request_client& client_;
    callback<std::string()> why_leaderless_;
};

}  // namespace brook::inline BROOK_ABI::broker_room
