/// \file brook/broker/verify.hpp
/// What a user runs after an accident: looks through a broker's directory and says what is there and what to do.
/// Floor 4, broker. Source: what kafka-dump-log, Aeron's ArchiveTool and RocksDB's ldb are asked for.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/options.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/core/callback.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/os/platform.hpp>
#include <brook/storage/verify_report.hpp>

namespace brook::inline BROOK_ABI {

/// What to look at, and how closely.
struct verify_options {
    std::optional<std::string> topic{};       ///< this one alone; not given: all, the broker's own among them
    std::optional<std::int32_t> partition{};  ///< of that topic, this one alone

    /// Every frame's checksum and every record in it. False: headers, footers, checkpoints and sizes alone, which costs
    /// some reads a segment and sees no damage in records.
    bool deep = true;

    offset from = 0;  ///< segments that end at or before this offset are not walked frame by frame

    callback<bool(const visited_frame&)> on_frame{};    ///< told of each frame that verifies, in the order of the files; false: enough
    callback<bool(const visited_record&)> on_record{};  ///< told of each record in one; false: enough

    os::platform* platform = nullptr;  ///< null: this system. Tests hand in one that fails, forgets or lies
};

/// One topic.
struct topic_report {
    std::string name;
    std::string path;
    bool has_meta = false;               ///< topic.meta is whole; what stands there follows
    std::string id;                      ///< 32 hex digits
    std::int32_t partition_count = 0;
    std::int64_t segment_bytes = 0;
    std::int64_t flush_messages = 0;     ///< 0: none
    std::chrono::nanoseconds flush_interval{};  ///< 0: none
    bool is_append_time = false;
    std::optional<compression> compression_type;  ///< forced on producers; nullopt: as they say
    std::string key_schema;
    std::string value_schema;
    std::vector<partition_report> partitions;

    [[nodiscard]] std::uint64_t records() const noexcept;
};

/// What a look through a directory found.
///
/// Threads   confined.
struct verify_report {
    std::string directory;
    bool has_meta = false;       ///< broker.meta is whole; what stands there follows
    std::uint32_t version = 0;   ///< of the directory's format
    std::string cluster_id;
    std::vector<topic_report> topics;  ///< by name
    finding_list findings;
    bool is_complete = true;     ///< false: a visitor had enough

    /// True when no damage was found. A torn tail is none: nobody was promised what is in it.
    [[nodiscard]] bool is_ok() const noexcept { return findings.count(severity::damage) == 0; }

    /// For people: one line when all is well; else each finding with its place, and what to do.
    [[nodiscard]] std::string text() const;
};

/// Looks through a broker's directory. Nothing is written, made, locked or mapped, so that it can be run at any time: a
/// broker that has the directory open goes on undisturbed, and nothing that it is about to finish is called damage.
///
/// Errors    not_a_brook_directory; unknown_topic_or_partition, invalid_topic, invalid_config of the options; the system's
///           own where the directory cannot be listed. What is wrong inside is a finding and no error.
/// Threads   any.
/// Cost      reads every segment once, those that seem damaged twice, through a buffer of 256 KiB or the largest frame.
[[nodiscard]] verify_report verify(std::string directory, const verify_options& options = {});

}  // namespace brook::inline BROOK_ABI

namespace brook::inline BROOK_ABI::broker_room {

/// One run of `verify`.
class verification {
public:
    verification(std::string directory, const verify_options& options);

    [[nodiscard]] verify_report run();

private:
    void tell(severity how_bad, std::string file, std::string text) { report_.findings.add({how_bad, std::move(file), 0, 0, 0, 0, std::move(text)}); }

    [[nodiscard]] static std::vector<os::directory_entry> sorted(std::vector<os::directory_entry> entries);

    void look_at_directory();

    /// What an error said of a file, without the path, which a finding has.
    [[nodiscard]] static std::string text_of(const error& why, const std::string& path);

    void read_meta(const os::directory_entry& entry, const std::string& path);

    void list_topics(const os::directory_entry& entry, const std::string& path);

    /// One that is deleted meanwhile is none that anything is wrong with, and another of its name is looked at in its place.
    void look_at_topic(const os::directory_entry& entry);

    enum class presence { same, another, gone };

    /// Whether the topic that was looked at, by this id if it could be read, is there as yet.
    [[nodiscard]] presence presence_of(const std::string& path, const std::optional<std::string>& id) const;

    void look_once(const os::directory_entry& entry);

    [[nodiscard]] std::optional<topic_meta> read_topic_meta(topic_report& topic, const std::vector<os::directory_entry>& entries);

    [[nodiscard]] static std::string hex_of(const format::topic_id& id);

    /// A partition's number from its directory's name: decimal, as brook writes it.
    [[nodiscard]] static std::optional<std::int32_t> partition_number(const std::string& name);

    void look_at_partitions(topic_report& topic, const std::vector<os::directory_entry>& entries, const std::optional<topic_meta>& meta);

    const verify_options& options_;
    os::platform& platform_;
    storage::scrub_rules rules_;
    verify_report report_;
    std::vector<os::directory_entry> topic_entries_;
};

/// "1,234,567".
[[nodiscard]] BROOK_INLINE std::string grouped(std::uint64_t number);

/// "1 record", "2 records".
[[nodiscard]] BROOK_INLINE std::string counted(std::uint64_t count, std::string_view what);

}  // namespace brook::inline BROOK_ABI::broker_room

namespace brook::inline BROOK_ABI {

BROOK_INLINE verify_report verify(std::string directory, const verify_options& options);

}  // namespace brook::inline BROOK_ABI

#if !BROOK_SEPARATE_COMPILATION
#include <brook/broker/bodies/verify.hpp>
#endif
