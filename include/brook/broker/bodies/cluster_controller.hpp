/// \file brook/broker/bodies/cluster_controller.hpp
/// The functions that cluster_controller.hpp declares.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_controller.hpp>
#include <brook/broker/cluster_metadata.hpp>
#include <brook/broker/cluster_request.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/metadata_loader.hpp>
#include <brook/broker/options.hpp>
#include <brook/broker/request_board.hpp>
#include <brook/broker/small_file.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/format/wire_frame.hpp>
#include <brook/replication/byte_stream.hpp>
#include <brook/replication/message.hpp>

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE topic_meta cluster_controller::make_metadata_meta() const {
    topic_options options;
    options.segment_bytes = std::int64_t{mib};
    options.flush_messages = 1;
    topic_meta meta = topic_meta::make(metadata_topic, options, metadata_topic_id, {"brook.internal", 0}, {"brook.internal", 0});
    meta.replicas = {who_.peers};
    meta.log.is_replicated = true;
    return meta;
}

BROOK_INLINE void cluster_controller::require_same_peers(const topic_meta& metadata, const std::string& directory) const {
    std::vector<std::int32_t> made = metadata.replicas.front();
    std::sort(made.begin(), made.end());
    if (made != who_.peers) {
        throw_error(errc::invalid_config, directory + " belongs to a cluster of " + std::to_string(made.size()) + " brokers with other numbers than these peers; name the ones that it was made with");
    }
}

BROOK_INLINE void cluster_controller::progressed(const hosted_partition& home, std::chrono::nanoseconds now) noexcept {
    if (home.machine.is_leader() && std::exchange(led_epoch_, home.machine.epoch()) != home.machine.epoch()) {
        leads_since_ = now;
    }
}

BROOK_INLINE void cluster_controller::enlist(std::chrono::nanoseconds now) {
    hosted_partition& of = home();
    if (of.machine.leader() == replication::no_node) {
        return;
    }
    if (of.machine.accepts_appends() && knows_all(of)) {
        if (metadata_.sum().cluster() == format::topic_id{}) {
            const format::topic_id made = topic_meta::new_id(platform_);
            decide(nobody(), "c", bytes{made}, now);
        } else if (metadata_.sum().find(offsets_topic) == nullptr && are_brokers_known(now)) {
            make_offsets_topic(now);
        }
        replicas_.settle(now);
    }
    if (metadata_.sum().directory_of(who_.node) != who_.directory && now >= enlist_again_at_) {
        enlist_again_at_ = now + who_.election_timeout;
        request_board::request made;
        made.kind = request_kind::register_broker;
        made.target = metadata_id;
        replication::byte_writer to{made.body};
        to.put(who_.node);
        to.put(who_.directory);
        made.deadline = now + who_.election_timeout;
        made.done = [](const failure&, bytes) {};
        board_.begin(std::move(made), now);
        replicas_.settle(now);
    }
}

BROOK_INLINE void cluster_controller::create_topic(const answer_to& to, bytes body, std::chrono::nanoseconds now) {
    if (!decides(to, now)) {
        return;
    }
    replication::byte_reader from{body};
    const std::string name = from.take_text();
    const std::size_t factor = from.take<std::uint32_t>();
    const auto min_insync = from.take<std::int32_t>();
    const std::string wanted = from.take_text();
    if (!from.is_done() || !is_valid_topic_name(name) || is_internal_topic(name) || factor < 1 || min_insync < 1) {
        return;
    }
    if (const format::topic_id there = metadata_.id_of(name); there != format::topic_id{}) {
        answers_.give(to, answer_status::done, made(there), now);  // whether it agrees who asked finds out
        return;
    }
    if (!are_brokers_known(now)) {
        answers_.refuse(to, answer_status::not_now, {errc::timed_out, "not all brokers of the cluster have told of themselves yet: " + unknown_brokers() + " not been there"}, now);
        return;
    }
    try {
        topic_meta meta = topic_meta::decode(wanted, "a request to make topic '" + name + '\'');
        if (factor > who_.peers.size() || static_cast<std::size_t>(min_insync) > factor) {
            throw_error(errc::invalid_config, "topic '" + name + "': there are not so many brokers, or min_insync_replicas is more than replication_factor");
        }
        meta.min_insync_replicas = min_insync;
        if (metadata_.name_of_deleted(meta.id) != nullptr) {
            throw_error(errc::unknown_topic_or_partition, "topic '" + name + "' was made, and has been deleted since");
        }
        if (meta.id == format::topic_id{} || meta.id == metadata_topic_id || is_taken(meta.id)) {
            return;  // nobody sent that
        }
        assign_replicas(meta, factor);
        const std::string text = meta.encode();
        const std::size_t largest_frame = std::min<std::size_t>(home().log.largest_frame(), home().largest_frame);
        if (text.size() > small_file_max || cluster_metadata::make_record("t" + name, as_bytes(text), 0).size() > largest_frame) {
            throw_error(errc::invalid_config, "topic '" + name + "': so many partitions with so many replicas do not fit into its topic.meta, or not into a datagram of the transport");
        }
        decide(to, "t" + name, as_bytes(text), now, made(meta.id));
    } catch (const error& why) {
        answers_.refuse(to, answer_status::done, failure{why}, now);
    }
}

BROOK_INLINE void cluster_controller::delete_topic(const answer_to& to, bytes body, std::chrono::nanoseconds now) {
    if (!decides(to, now)) {
        return;
    }
    replication::byte_reader from{body};
    const std::string name = from.take_text();
    const auto id = from.take<format::topic_id>();
    if (!from.is_done() || is_internal_topic(name)) {
        return;  // nobody sent that
    }
    if (metadata_.sum().find(name) == nullptr || (id != format::topic_id{} && metadata_.id_of(name) != id)) {
        answers_.refuse(to, answer_status::done, {errc::unknown_topic_or_partition, "there is no topic '" + name + "' in the cluster"}, now);
        return;
    }
    decide(to, "t" + name, std::nullopt, now);
}

BROOK_INLINE void cluster_controller::register_broker(const answer_to& to, bytes body, std::chrono::nanoseconds now) {
    if (!decides(to, now)) {
        return;
    }
    replication::byte_reader from{body};
    const auto node = from.take<std::int32_t>();
    const auto directory = from.take<format::topic_id>();
    if (!from.is_done() || node != to.node) {
        return;  // nobody sent that: each speaks for itself
    }
    if (metadata_.sum().directory_of(node) == directory) {
        answers_.give_appended(to, -1, 0, now);
        return;
    }
    decide(to, "b" + std::to_string(node), bytes{directory}, now);
}

BROOK_INLINE bool cluster_controller::decides(const answer_to& to, std::chrono::nanoseconds now) {
    const hosted_partition& of = home();
    if (!of.machine.accepts_appends()) {
        answers_.give_elsewhere(to, now);
        return false;
    }
    if (!knows_all(of)) {
        answers_.refuse(to, answer_status::not_now, {errc::timed_out, "what came before is not decided yet: a majority of the brokers has not answered"}, now);
        return false;
    }
    return true;
}

BROOK_INLINE void cluster_controller::decide(const answer_to& to, std::string_view key, std::optional<bytes> value, std::chrono::nanoseconds now,
                                             std::vector<std::byte> answer) {
    hosted_partition& of = home();
    std::vector<std::byte> frame = cluster_metadata::make_record(key, value, platform_.now().time_since_epoch().count());
    format::store_wire(frame.data(), format::load_header(frame.data()));
    offset first = 0;
    if (failure why = replicas_.append(of, frame, 1, first, now)) {
        answers_.refuse(to, why.code == errc::record_too_large ? answer_status::done : answer_status::not_now, why, now);
        return;
    }
    answers_.note_appended(to);
    answers_.give_when_committed(of, {to, first, first + 1, 0, std::move(answer)}, now);
}

BROOK_INLINE std::vector<std::byte> cluster_controller::made(const format::topic_id& id) {
    std::vector<std::byte> answer;
    answer_codec::put(answer, {});
    replication::byte_writer{answer}.put(id);
    return answer;
}

BROOK_INLINE std::string cluster_controller::unknown_brokers() const {
    std::string text;
    std::size_t count = 0;
    for (const std::int32_t node : who_.peers) {
        if (!metadata_.sum().directory_of(node)) {
            text += (count++ == 0 ? "broker " : ", broker ") + std::to_string(node);
        }
    }
    return text + (count == 1 ? " has" : " have");
}

BROOK_INLINE bool cluster_controller::are_brokers_known(std::chrono::nanoseconds now) const noexcept {
    const std::size_t all = who_.peers.size();
    return metadata_.sum().brokers().size() >= (now - leads_since_ < who_.election_timeout * 2 ? all : all / 2 + 1);
}

BROOK_INLINE void cluster_controller::assign_replicas(topic_meta& meta, std::size_t factor) {
    meta.replicas.clear();
    for (std::int32_t partition = 0; partition < meta.partitions; ++partition) {
        std::vector<std::int32_t> replicas;
        for (std::size_t k = 0; k < factor; ++k) {
            replicas.push_back(who_.peers[(next_leader_ + static_cast<std::size_t>(partition) + k) % who_.peers.size()]);
        }
        meta.replicas.push_back(std::move(replicas));
    }
    next_leader_ += static_cast<std::size_t>(meta.partitions);
    meta.directories.assign(metadata_.sum().brokers().begin(), metadata_.sum().brokers().end());
}

BROOK_INLINE bool cluster_controller::is_taken(const format::topic_id& id) const {
    const std::vector<cluster_metadata::topic>& all = metadata_.sum().topics();
    return std::any_of(all.begin(), all.end(), [&](const cluster_metadata::topic& one) { return metadata_.id_of(one.name) == id; });
}

BROOK_INLINE void cluster_controller::make_offsets_topic(std::chrono::nanoseconds now) {
    topic_options options;
    options.segment_bytes = std::int64_t{mib};
    topic_meta meta = topic_meta::make(offsets_topic, options, topic_meta::new_id(platform_), {"brook.internal", 0}, {"brook.internal", 0});
    assign_replicas(meta, std::min(who_.peers.size(), std::size_t{3}));
    decide(nobody(), "t" + std::string{offsets_topic}, as_bytes(meta.encode()), now);
}

}  // namespace brook::inline BROOK_ABI::broker_room
