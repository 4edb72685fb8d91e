/// \file brook/broker/bodies/metadata_loader.hpp
/// The functions that metadata_loader.hpp declares.
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
#include <brook/broker/hosted_partition.hpp>
#include <brook/broker/metadata_loader.hpp>
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

BROOK_INLINE format::topic_id metadata_loader::id_of(std::string_view topic) const {
    const cluster_metadata::topic* const found = sum_.find(topic);
    try {
        return found == nullptr ? format::topic_id{} : decode(*found).id;
    } catch (const error&) {
        return {};
    }
}

BROOK_INLINE const std::string* metadata_loader::name_of_deleted(const format::topic_id& id) const noexcept {
    for (const auto& [name, deleted] : deleted_) {
        if (deleted == id) {
            return &name;
        }
    }
    return nullptr;
}

BROOK_INLINE void metadata_loader::begin(hosted_partition& of) {
    live_from_ = of.log.high_watermark();
    apply(of);
}

BROOK_INLINE void metadata_loader::apply(hosted_partition& of) {
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

BROOK_INLINE void metadata_loader::was_cut(hosted_partition& of) {
    if (of.log.high_watermark() < applied_) {
        sum_ = {};
        applied_ = 0;
        live_from_ = of.log.high_watermark();
        apply(of);
    }
}

BROOK_INLINE auto metadata_loader::take_news() -> std::optional<news> {
    if (!is_news_) {
        return std::nullopt;
    }
    std::optional<news> all{news{sum_.topics(), deleted_}};
    is_news_ = false;  // once they have been copied, for which there may be no memory
    return all;
}

BROOK_INLINE topic_meta metadata_loader::decode(const cluster_metadata::topic& one) {
    topic_meta meta = topic_meta::decode(one.meta, std::string{metadata_topic});
    const bool has_voters = !meta.replicas.empty() && std::all_of(meta.replicas.begin(), meta.replicas.end(), [](const std::vector<std::int32_t>& nodes) { return replication::voter_set::is_possible(nodes); });
    if (!has_voters || meta.id == metadata_topic_id || meta.id == format::topic_id{}) {
        throw_error(errc::corrupt_record, std::string{metadata_topic} + ": what was decided of topic '" + one.name + "' cannot be: " +
                                              (has_voters ? "its id is none that a topic has" : "a partition has no replicas, or none that can be"));
    }
    return meta;
}

BROOK_INLINE void metadata_loader::apply(const storage::record_range& range) {
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

BROOK_INLINE void metadata_loader::note_deleted(const format::record_slice& record) {
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

}  // namespace brook::inline BROOK_ABI::broker_room
