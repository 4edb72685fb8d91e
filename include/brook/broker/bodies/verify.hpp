/// \file brook/broker/bodies/verify.hpp
/// The functions that verify.hpp declares.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <brook/broker/options.hpp>
#include <brook/broker/small_file.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/broker/verify.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/format/properties.hpp>
#include <brook/os/platform.hpp>
#include <brook/os/posix.hpp>
#include <brook/storage/partition_scrub.hpp>
#include <brook/storage/verify_report.hpp>

namespace brook::inline BROOK_ABI {

BROOK_INLINE std::uint64_t topic_report::records() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& partition : partitions) {
        sum += partition.records();
    }
    return sum;
}

}  // namespace brook::inline BROOK_ABI

namespace brook::inline BROOK_ABI::broker_room {

BROOK_INLINE verification::verification(std::string directory, const verify_options& options)
    : options_{options}, platform_{options.platform == nullptr ? os::posix() : *options.platform} {
    while (directory.size() > 1 && directory.ends_with('/')) {
        directory.pop_back();
    }
    report_.directory = std::move(directory);
    rules_.deep = options.deep;
    rules_.from = options.from;
    rules_.on_frame = options.on_frame;
    rules_.on_record = options.on_record;
}

BROOK_INLINE verify_report verification::run() {
    if (options_.topic) {
        require_valid_topic_name(*options_.topic);
    } else if (options_.partition) {
        throw_error(errc::invalid_config, "a partition is named and no topic; name both, or neither");
    }
    look_at_directory();
    for (const auto& entry : topic_entries_) {
        if (report_.is_complete && (!options_.topic || entry.name == *options_.topic)) {
            look_at_topic(entry);
        }
    }
    if (options_.topic && report_.topics.empty()) {
        throw_error(errc::unknown_topic_or_partition, "there is no topic '" + *options_.topic + "' in " + report_.directory);
    }
    return std::move(report_);
}

BROOK_INLINE std::vector<os::directory_entry> verification::sorted(std::vector<os::directory_entry> entries) {
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return entries;
}

BROOK_INLINE void verification::look_at_directory() {
    std::vector<os::directory_entry> entries;
    if (const auto code = platform_.list(report_.directory, entries)) {
        throw_error(code, "cannot list " + report_.directory);
    }
    bool has_topics = false;
    bool has_meta = false;
    bool is_being_made = false;
    for (const auto& entry : sorted(std::move(entries))) {
        const std::string path = report_.directory + '/' + entry.name;
        if (entry.name == "broker.meta") {
            has_meta = true;
            read_meta(entry, path);
        } else if (entry.name == "topics") {
            has_topics = true;
            list_topics(entry, path);
        } else if (entry.name == "broker.lock" || entry.name == "broker.meta.tmp") {
            is_being_made = true;
        } else if (entry.name != "lost+found") {
            tell(severity::note, path, "is not brook's, and is left alone");
        }
    }
    if (has_meta) {
        return;
    }
    if (has_topics) {
        tell(severity::damage, report_.directory + "/broker.meta", "is not there, and without it no broker opens the directory. Restore it from a copy");
    } else if (!is_being_made) {
        throw_error(errc::not_a_brook_directory, report_.directory + " holds neither broker.meta nor topics");
    }
}

BROOK_INLINE std::string verification::text_of(const error& why, const std::string& path) {
    std::string text = why.what();
    for (const std::string& prefix : {path + ": ", "cannot open " + path + ": ", "cannot read " + path + ": "}) {
        if (text.starts_with(prefix)) {
            return (prefix.starts_with("cannot") ? "cannot be read: " : "") + text.substr(prefix.size());
        }
    }
    return text;
}

BROOK_INLINE void verification::read_meta(const os::directory_entry& entry, const std::string& path) {
    if (entry.kind != os::entry_kind::file) {
        tell(severity::damage, path, "is no regular file, and was not followed. Put the right one in its place");
        return;
    }
    try {
        const auto meta = format::properties::decode(read_small_file(platform_, path, os::open_mode::read_only), broker_meta_kind, broker_meta_version, path);
        report_.has_meta = true;
        report_.version = meta.version();
        report_.cluster_id = meta.find("cluster_id").value_or("");
    } catch (const error& why) {
        tell(severity::damage, path, text_of(why, path) + ". Without it no broker opens the directory");
    }
}

BROOK_INLINE void verification::list_topics(const os::directory_entry& entry, const std::string& path) {
    std::vector<os::directory_entry> entries;
    if (entry.kind != os::entry_kind::directory) {
        tell(severity::damage, path, "is no directory, and was not followed. Put the right one in its place");
    } else if (const auto code = platform_.list(path, entries)) {
        tell(severity::damage, path, "cannot be listed: " + code.message() + ". See to the disk");
    }
    for (auto& topic : sorted(std::move(entries))) {
        if (topic.name.ends_with('~')) {
            tell(severity::note, path + '/' + topic.name, "is a topic that is being made or deleted, or who did that died; the next opening of a broker removes it");
        } else if (is_valid_topic_name(topic.name)) {
            topic_entries_.push_back(std::move(topic));
        } else {
            tell(severity::note, path + '/' + topic.name, "has a name that no topic has, and is left alone");
        }
    }
}

BROOK_INLINE void verification::look_at_topic(const os::directory_entry& entry) {
    constexpr int most_looks = 3;  // at the last of them what is found is told, whoever makes and deletes topics all the time
    for (int look = 1; look <= most_looks; ++look) {
        const std::size_t topics_before = report_.topics.size();
        const finding_list findings_before = report_.findings;
        look_once(entry);
        if (report_.findings.count(severity::damage) == findings_before.count(severity::damage)) {
            return;
        }
        const std::optional<std::string> id = report_.topics.size() > topics_before && report_.topics.back().has_meta
                                                  ? std::optional{report_.topics.back().id} : std::nullopt;
        const presence now = presence_of(report_.directory + "/topics/" + entry.name, id);
        if (now == presence::same || (now == presence::another && look == most_looks)) {
            return;
        }
        report_.findings = findings_before;
        while (report_.topics.size() > topics_before) {
            report_.topics.pop_back();
        }
        if (now == presence::gone || !report_.is_complete) {
            return;
        }
    }
}

BROOK_INLINE auto verification::presence_of(const std::string& path, const std::optional<std::string>& id) const -> presence {
    std::vector<os::directory_entry> entries;
    if (platform_.list(path, entries) == std::errc::no_such_file_or_directory) {
        return presence::gone;
    }
    try {
        const std::string meta_path = path + "/topic.meta";
        const topic_meta meta = topic_meta::decode(read_small_file(platform_, meta_path, os::open_mode::read_only), meta_path);
        return id && hex_of(meta.id) == *id ? presence::same : presence::another;
    } catch (const error&) {
        return presence::same;  // and damaged
    }
}

BROOK_INLINE void verification::look_once(const os::directory_entry& entry) {
    const std::string path = report_.directory + "/topics/" + entry.name;
    std::vector<os::directory_entry> entries;
    if (entry.kind == os::entry_kind::file) {
        tell(severity::note, path, "is not brook's, and is left alone");
        return;
    }
    report_.topics.push_back({});
    topic_report& topic = report_.topics.back();
    topic.name = entry.name;
    topic.path = path;
    if (entry.kind != os::entry_kind::directory) {
        tell(severity::damage, path, "is no directory (a symbolic link?), and was not followed: to a broker there is no such topic. Put the directory itself here");
        return;
    }
    if (const auto code = platform_.list(path, entries)) {
        tell(severity::damage, path, "topic '" + topic.name + "': cannot be listed: " + code.message() + ". See to the disk");
        return;
    }
    entries = sorted(std::move(entries));
    const auto meta = read_topic_meta(topic, entries);
    look_at_partitions(topic, entries, meta);
}

BROOK_INLINE std::optional<topic_meta> verification::read_topic_meta(topic_report& topic, const std::vector<os::directory_entry>& entries) {
    const std::string path = topic.path + "/topic.meta";
    const auto listed = std::find_if(entries.begin(), entries.end(), [](const auto& entry) { return entry.name == "topic.meta"; });
    const std::string advice = ". Without it the topic does not open; restore it from a copy";
    if (listed == entries.end()) {
        tell(severity::damage, path, "topic '" + topic.name + "': is not there" + advice);
        return std::nullopt;
    }
    if (listed->kind != os::entry_kind::file) {
        tell(severity::damage, path, "topic '" + topic.name + "': is no regular file, and was not followed" + advice);
        return std::nullopt;
    }
    try {
        const std::string text = read_small_file(platform_, path, os::open_mode::read_only);
        topic_meta meta = topic_meta::decode(text, path);
        topic.has_meta = true;
        topic.id = hex_of(meta.id);
        topic.partition_count = meta.partitions;
        topic.segment_bytes = meta.log.segment_bytes;
        topic.flush_messages = meta.log.flush_messages;
        topic.flush_interval = meta.log.flush_interval;
        topic.is_append_time = meta.log.is_append_time;
        topic.compression_type = meta.compression_type;
        topic.key_schema = meta.key.name;
        topic.value_schema = meta.value.name;
        return meta;
    } catch (const error& why) {
        tell(severity::damage, path, "topic '" + topic.name + "': " + text_of(why, path) + advice);
        return std::nullopt;
    }
}

BROOK_INLINE std::string verification::hex_of(const format::topic_id& id) {
    return format::properties::hex(load<std::uint64_t>(id.data())) + format::properties::hex(load<std::uint64_t>(id.data() + 8));
}

BROOK_INLINE std::optional<std::int32_t> verification::partition_number(const std::string& name) {
    if (name.empty() || name.size() > 5 || name.find_first_not_of("0123456789") != name.npos || (name.size() > 1 && name[0] == '0')) {
        return std::nullopt;
    }
    return std::stoi(name);
}

BROOK_INLINE void verification::look_at_partitions(topic_report& topic, const std::vector<os::directory_entry>& entries,
                                                   const std::optional<topic_meta>& meta) {
    std::vector<std::int32_t> numbers;
    std::vector<std::int32_t> told;  // that are there, and no directory
    for (const auto& entry : entries) {
        const auto number = partition_number(entry.name);
        const bool is_ours = number && *number < (meta ? meta->partitions : topic_meta::most_partitions);
        if (is_ours && entry.kind == os::entry_kind::directory) {
            numbers.push_back(*number);
        } else if (is_ours) {
            tell(severity::damage, topic.path + '/' + entry.name,
                 "topic '" + topic.name + "': is no directory, and was not followed. Without it the topic does not open");
            told.push_back(*number);
        } else if (entry.name != "topic.meta") {
            tell(severity::note, topic.path + '/' + entry.name, "topic '" + topic.name + "': is not brook's, and is left alone");
        }
    }
    std::sort(numbers.begin(), numbers.end());
    for (std::int32_t number = 0; meta && number < meta->partitions; ++number) {
        const bool is_there = std::binary_search(numbers.begin(), numbers.end(), number) || std::find(told.begin(), told.end(), number) != told.end();
        if (!is_there && (!options_.partition || *options_.partition == number)) {
            tell(severity::damage, topic.path + '/' + std::to_string(number),
                 "topic '" + topic.name + "': this partition is not there. Without it the topic does not open; restore the directory from a copy");
        }
    }
    if (options_.partition && !std::binary_search(numbers.begin(), numbers.end(), *options_.partition) && told.empty()) {
        throw_error(errc::unknown_topic_or_partition, "topic '" + topic.name + "' has no partition " + std::to_string(*options_.partition) + " in " + report_.directory);
    }
    for (const std::int32_t number : numbers) {
        if (report_.is_complete && (!options_.partition || *options_.partition == number)) {
            topic.partitions.push_back({});
            storage::partition_name name{topic.name, meta ? meta->id : format::topic_id{}, static_cast<std::uint32_t>(number)};
            storage::partition_scrub scrub{platform_, topic.path + '/' + std::to_string(number), std::move(name), meta.has_value(), rules_, report_.findings};
            report_.is_complete = scrub.run(topic.partitions.back());
        }
    }
}

BROOK_INLINE std::string grouped(std::uint64_t number) {
    std::string text = std::to_string(number);
    for (std::size_t at = text.size(); at > 3; at -= 3) {
        text.insert(at - 3, 1, ',');
    }
    return text;
}

BROOK_INLINE std::string counted(std::uint64_t count, std::string_view what) {
    return grouped(count) + ' ' + std::string{what} + (count == 1 ? "" : "s");
}

}  // namespace brook::inline BROOK_ABI::broker_room

namespace brook::inline BROOK_ABI {

BROOK_INLINE verify_report verify(std::string directory, const verify_options& options) {
    return broker_room::verification{std::move(directory), options}.run();
}

BROOK_INLINE std::string verify_report::text() const {
    std::uint64_t partitions = 0;
    std::uint64_t segments = 0;
    std::uint64_t records = 0;
    std::uint64_t walked = 0;
    for (const auto& topic : topics) {
        for (const auto& partition : topic.partitions) {
            ++partitions;
            segments += partition.segments.size();
            records += partition.records();
            walked += static_cast<std::uint64_t>(std::count_if(partition.segments.begin(), partition.segments.end(), [](const auto& one) { return one.is_walked; }));
        }
    }
    using broker_room::counted;
    std::string text = directory + ": " + (!is_ok() ? "DAMAGED" : findings.count(severity::tail) > 0 ? "no damage, and a torn tail" : "no damage") + ". " + counted(topics.size(), "topic") + ", " +
                       counted(partitions, "partition") + ", " + counted(segments, "segment") +
                       (walked < segments ? ", " + broker_room::grouped(walked) + " of them walked" : "") + ", " + counted(records, "record") + '\n';
    for (const severity how_bad : {severity::damage, severity::tail, severity::note}) {
        std::uint64_t told = 0;
        for (const auto& found : findings) {
            if (found.severity != how_bad) {
                continue;
            }
            ++told;
            text += std::string{to_string(how_bad)} + ": " + found.file;
            if (found.end > found.begin) {
                text += ", bytes " + std::to_string(found.begin) + " to " + std::to_string(found.end);
            }
            if (found.last > found.first) {
                const bool is_one = found.last == found.first + 1;
                text += is_one ? ", offset " + std::to_string(found.first)
                               : ", offsets " + std::to_string(found.first) + " to " + std::to_string(found.last - 1);
            }
            text += "\n    " + found.text + '\n';
        }
        if (const std::uint64_t all = findings.count(how_bad); all > told) {
            text += std::string{to_string(how_bad)} + ": and " + broker_room::grouped(all - told) + " more\n";
        }
    }
    return text;
}

}  // namespace brook::inline BROOK_ABI
