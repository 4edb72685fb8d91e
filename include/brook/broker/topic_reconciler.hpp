/// \file brook/broker/topic_reconciler.hpp
/// A broker's directory brought to what the cluster's metadata says: topics made, and deleted.
/// Floor 4, broker. Source: Kafka's BrokerMetadataPublisher.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>

#include <brook/broker/answers.hpp>
#include <brook/broker/cluster_metadata.hpp>
#include <brook/broker/core.hpp>
#include <brook/broker/departures.hpp>
#include <brook/broker/member_lock.hpp>
#include <brook/broker/metadata_loader.hpp>
#include <brook/broker/replica_host.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/broker/topic_state.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/storage/log_life.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Makes the topics here that the cluster has, and deletes those that it has deleted. What the disk refuses is reported, and tried again after a
/// pause, whoever calls how often.
///
/// Threads   shared; without the member's lock, which it takes for the replicas.
/// Cost      nothing while nothing has come. Else it takes the disk a while.
class topic_reconciler {
public:
    /// `replicas` and those behind it are used under the lock.
    topic_reconciler(core& of, shared_state& shared, std::int32_t self, std::chrono::nanoseconds pause, member_lock& lock, replica_host& replicas, metadata_loader& metadata, answers& to, departures& out) noexcept
        : core_{of}, shared_{shared}, self_{self}, pause_{pause}, lock_{lock}, replicas_{replicas}, metadata_{metadata}, answers_{to}, out_{out} {}

    /// By one thread at a time, and not within itself: what is told here may wait for topics. Who comes meanwhile has nothing to do.
    /// Returns   whether somebody may wait for what it did.
    bool reconcile() {
        const auto now = shared_.platform.monotonic();
        if (now.count() < again_at_.load(std::memory_order_relaxed) || is_at_it_.exchange(true, std::memory_order_acquire)) {
            return false;
        }
        const struct at_it {
            std::atomic<bool>& flag;
            ~at_it() { flag.store(false, std::memory_order_release); }
        } guard{is_at_it_};
        const std::optional<metadata_loader::news> news = lock_.hold([this] { return metadata_.take_news(); });
        if (!news) {
            return false;
        }
        again_at_.store(none, std::memory_order_relaxed);
        try {
            return follow(*news, now);
        } catch (const std::exception&) {
            try_again(now);  // for want of memory
            throw;
        }
    }

    /// When it wants to be called again, since a topic could not be made here; nullopt: when there is news.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> again_at() const noexcept {
        const std::int64_t at = again_at_.load(std::memory_order_relaxed);
        return at == none ? std::nullopt : std::optional{std::chrono::nanoseconds{at}};
    }

private:
    static constexpr std::int64_t none = INT64_MIN;

    [[nodiscard]] bool follow(const metadata_loader::news& all, std::chrono::nanoseconds now) {
        for (const auto& [name, id] : all.deleted) {
            forget(name, id);
        }
        for (const cluster_metadata::topic& one : all.topics) {
            try {
                make(one);
            } catch (const error& why) {
                if (why.code() == errc::closed) {
                    return false;
                }
                try_again(now);
                shared_.report(failure{why});
            }
        }
        return true;
    }

    void try_again(std::chrono::nanoseconds now) {
        again_at_.store((now + pause_).count(), std::memory_order_relaxed);
        lock_.hold([this] { metadata_.tell_again(); });
    }

    void make(const cluster_metadata::topic& one) {
        const topic_meta meta = metadata_loader::decode(one);
        const topic_handle topic = core_.open_replicated(one.name, meta);
        const bool was_here = has_directory(meta);
        lock_.work_quietly([&](std::chrono::nanoseconds) {
            replicas_.host(topic, one.at >= metadata_.live_from() && was_here ? provenance::newly_made : provenance::lost);
            out_.note_change();
        });
    }

    /// Whether the topic was made while this directory was this broker's.
    [[nodiscard]] bool has_directory(const topic_meta& meta) const {
        for (const auto& [node, directory] : meta.directories) {
            if (node == self_) {
                return directory == core_.directory_id();
            }
        }
        return false;
    }

    void forget(const std::string& name, const format::topic_id& id) {
        lock_.work_quietly([&](std::chrono::nanoseconds now) {
            for (const auto& one : replicas_.all()) {
                if (one->id.topic == id) {
                    answers_.refuse_waiting(*one, storage::deleted_topic(name), now);
                    out_.note_change();
                }
            }
            replicas_.let_go(id);
        });
        try {
            core_.drop_replicated(name, id);
        } catch (const error& why) {
            shared_.report(failure{why});
        }
    }

    core& core_;
    shared_state& shared_;
    const std::int32_t self_;
    const std::chrono::nanoseconds pause_;
    member_lock& lock_;
    replica_host& replicas_;
    metadata_loader& metadata_;
    answers& answers_;
    departures& out_;
    std::atomic<std::int64_t> again_at_{none};
    std::atomic<bool> is_at_it_{false};
};

}  // namespace brook::inline BROOK_ABI::broker_room
