/// \file brook/broker/metadata_loader.hpp
/// What is committed of the cluster's metadata, added up as it comes.
/// Floor 4, broker. Source: Kafka's MetadataLoader (KIP-631).
#pragma once

#include <algorithm>
#include <cstdint>
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
#include <brook/core/bytes.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
#include <brook/format/frame.hpp>
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
    [[nodiscard]] format::topic_id id_of(std::string_view topic) const {
        const cluster_metadata::topic* const found = sum_.find(topic);
        try {
            return found == nullptr ? format::topic_id{} : decode(*found).id;
        } catch (const error&) {
            return {};
        }
    }

    /// Null: it was not deleted, as far as this broker has seen.
    [[nodiscard]] const std::string* name_of_deleted(const format::topic_id& id) const noexcept {
        for (const auto& [name, deleted] : deleted_) {
            if (deleted == id) {
                return &name;
            }
        }
        return nullptr;
    }

    /// The broker has just started.
    void begin(hosted_partition& of) {
        live_from_ = of.log.high_watermark();
        apply(of);
    }

    /// Adds up what has been committed since the last look.
    void apply(hosted_partition& of) {
        const offset end = of.log.readable_end();
        if (applied_ >= end) {
            return;
        }
        storage::log_reader reader = of.log.reader();
        reader.seek(applied_ > of.log.log_start_offset() ? applied_ : of.log.log_start_offset());
        for (std::vector<storage::record_range> ranges;; ranges.clear()) {
            if (failure why = reader.fetch(1'000, true, ranges); why || ranges.empty()) {
                if (why) {
                    out_.report(std::move(why));
                    return;
                }
                break;
            }
            for (const auto& range : ranges) {
                apply(range);
            }
        }
        applied_ = end;
        out_.note_change();
        out_.want_upkeep();
        is_news_ = true;
    }

    /// Where something was cut that counted here, all is added up from the beginning. Topics stay, whoever spoke of them.
    void was_cut(hosted_partition& of) {
        if (of.log.high_watermark() < applied_) {
            sum_ = {};
            applied_ = 0;
            live_from_ = of.log.high_watermark();
            apply(of);
        }
    }

    // ---- for who makes the topics here ----

    struct news {
        std::vector<cluster_metadata::topic> topics;                           ///< all that there are
        std::vector<std::pair<std::string, format::topic_id>> deleted;  ///< all that ever were
    };

    /// nullopt: nothing has come since the last time.
    [[nodiscard]] std::optional<news> take_news() {
        if (!is_news_) {
            return std::nullopt;
        }
        std::optional<news> all{news{sum_.topics(), deleted_}};
        is_news_ = false;  // once they have been copied, for which there may be no memory
        return all;
    }

    /// They have to be looked at once more.
    void tell_again() noexcept { is_news_ = true; }

    /// What was decided of a topic. Who leads the metadata may have said anything: of what this gives the replicas can be begun, and let go of again.
    /// Errors    corrupt_record, unsupported_version.
    [[nodiscard]] static topic_meta decode(const cluster_metadata::topic& one) {
        topic_meta meta = topic_meta::decode(one.meta, std::string{metadata_topic});
        const bool has_voters = !meta.replicas.empty() && std::all_of(meta.replicas.begin(), meta.replicas.end(), [](const std::vector<std::int32_t>& nodes) { return replication::voter_set::is_possible(nodes); });
        if (!has_voters || meta.id == metadata_topic_id || meta.id == format::topic_id{}) {
            throw_error(errc::corrupt_record, std::string{metadata_topic} + ": what was decided of topic '" + one.name + "' cannot be: " +
                                                  (has_voters ? "its id is none that a topic has" : "a partition has no replicas, or none that can be"));
        }
        return meta;
    }

private:
    void apply(const storage::record_range& range) {
        for (position at = range.begin; at < range.end;) {
            const format::frame_header header = format::load_header(range.frame(at));
            if (format::word_of(header).kind() == format::frame_kind::data) {
                format::record_walk records{header, range.frame(at)};
                for (format::record_slice record; records.next(record);) {
                    note_deleted(record);
                    sum_.apply(record);
                }
            }
            at += format::word_of(header).length();
        }
    }

    /// Nothing is deleted because nobody speaks of it: only what a committed record says was deleted.
    void note_deleted(const format::record_slice& record) {
        const std::string_view key = as_text(record.key());
        if (record.has_value() || key.empty() || key[0] != 't') {
            return;
        }
        if (const cluster_metadata::topic* const gone = sum_.find(key.substr(1))) {
            try {
                deleted_.push_back({gone->name, decode(*gone).id});
            } catch (const error& why) {
                out_.report(failure{why});  // what this broker cannot read it has not made, either
            }
        }
    }

    departures& out_;
    cluster_metadata sum_;
    offset applied_ = 0;
    offset live_from_ = 0;
    std::vector<std::pair<std::string, format::topic_id>> deleted_;
    bool is_news_ = false;
};

}  // namespace brook::inline BROOK_ABI::broker_room
