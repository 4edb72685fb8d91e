/// \file brook/broker/metadata_loader.hpp
/// What is committed of the cluster's metadata, added up as it comes.
/// Floor 4, broker. Source: Kafka's MetadataLoader (KIP-631).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/cluster.hpp>
#include <brook/broker/cluster_metadata.hpp>
#include <brook/broker/departures.hpp>
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/record.hpp>
#include <brook/format/segment_header.hpp>
#include <brook/replication/ballot.hpp>
#include <brook/storage/log_reader.hpp>

namespace brook::inline BROOK_ABI::broker_room {

/// Where the metadata is: one partition, the same in every cluster.
inline constexpr partition_id metadata_id{metadata_topic_id, 0};

/// The sum of the metadata's records up to the high watermark that this broker knows of, and which of its topics were deleted.
///
/// Threads   confined, to whoever holds the member's lock.
/// Cost      `apply` reads what is new.
class metadata_loader {
public:
    explicit metadata_loader(departures& out) noexcept : out_{out} {}

    [[nodiscard]] const cluster_metadata& sum() const noexcept { return sum_; }

    /// How far it goes.
    [[nodiscard]] offset applied() const noexcept { return applied_; }

    /// What is decided from there on is decided while this broker is there.
    [[nodiscard]] offset live_from() const noexcept { return live_from_; }

    /// Zeros: there is none of this name, or what was decided of it cannot be read.
    [[nodiscard]] format::topic_id id_of(std::string_view topic) const;

    /// Null: it was not deleted, as far as this broker has seen.
    [[nodiscard]] const std::string* name_of_deleted(const format::topic_id& id) const noexcept;

    /// The broker has just started.
    void begin(hosted_partition& of);

    /// Adds up what has been committed since the last look.
    void apply(hosted_partition& of);

    /// Where something was cut that counted here, all is added up from the beginning. Topics stay, whoever spoke of them.
    void was_cut(hosted_partition& of);

    // ---- for who makes the topics here ----

    struct news {
        std::vector<cluster_metadata::topic> topics;                           ///< all that there are
        std::vector<std::pair<std::string, format::topic_id>> deleted;  ///< all that ever were
    };

    /// nullopt: nothing has come since the last time.
    [[nodiscard]] std::optional<news> take_news();

    /// They have to be looked at once more.
    void tell_again() noexcept { is_news_ = true; }

    /// What was decided of a topic. Who leads the metadata may have said anything: of what this gives the replicas can be begun, and let go of again.
    /// Errors    corrupt_record, unsupported_version.
    [[nodiscard]] static topic_meta decode(const cluster_metadata::topic& one);

private:
    void apply(const storage::record_range& range);

    /// Nothing is deleted because nobody speaks of it: only what a committed record says was deleted.
    void note_deleted(const format::record_slice& record);

    departures& out_;
    cluster_metadata sum_;
    offset applied_ = 0;
    offset live_from_ = 0;
    std::vector<std::pair<std::string, format::topic_id>> deleted_;
    bool is_news_ = false;
};

}  // namespace brook::inline BROOK_ABI::broker_room

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/metadata_loader.hpp>
#endif
