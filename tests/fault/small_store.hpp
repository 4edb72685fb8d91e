/// \file fault/small_store.hpp
/// A small store with everything in it that a broker writes, what it holds, and where on the disk each record lies.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include <brook/brook.hpp>

#include "support/faulty_platform.hpp"
#include "support/rebooting_platform.hpp"

namespace brook::test {

// ---- a directory's files ----

/// All files below a directory, by their path in it.
using file_tree = std::map<std::string, std::string>;

namespace detail {

class descriptor {
public:
    descriptor(const std::string& path, int flags) : number_{::open(path.c_str(), flags | O_CLOEXEC, 0600)} {
        if (number_ < 0) {
            throw std::system_error{errno, std::system_category(), "open " + path};
        }
    }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() { ::close(number_); }
    [[nodiscard]] int number() const noexcept { return number_; }

private:
    int number_;
};

template <class Visit>
void for_each_entry(const std::string& directory, const Visit& visit) {
    DIR* const listing = ::opendir(directory.c_str());
    if (listing == nullptr) {
        throw std::system_error{errno, std::system_category(), "opendir " + directory};
    }
    std::vector<std::pair<std::string, bool>> entries;
    while (const dirent* const entry = ::readdir(listing)) {
        if (const std::string name = entry->d_name; name != "." && name != "..") {
            entries.emplace_back(name, entry->d_type == DT_DIR);
        }
    }
    ::closedir(listing);
    for (const auto& [name, is_directory] : entries) {
        visit(name, is_directory);
    }
}

inline void read_files_into(file_tree& files, const std::string& root, const std::string& below) {
    for_each_entry(root + '/' + below, [&](const std::string& name, bool is_directory) {
        const std::string path = below.empty() ? name : below + '/' + name;
        if (is_directory) {
            return read_files_into(files, root, path);
        }
        const descriptor file{root + '/' + path, O_RDONLY};
        struct stat status {};
        ::fstat(file.number(), &status);
        std::string content(static_cast<std::size_t>(status.st_size), '\0');
        if (::pread(file.number(), content.data(), content.size(), 0) != static_cast<ssize_t>(content.size())) {
            throw std::system_error{errno, std::system_category(), "read " + path};
        }
        files.emplace(path, std::move(content));
    });
}

inline void remove_others(const file_tree& files, const std::string& root, const std::string& below) {
    for_each_entry(root + '/' + below, [&](const std::string& name, bool is_directory) {
        const std::string path = below.empty() ? name : below + '/' + name;
        if (is_directory) {
            remove_others(files, root, path);
        } else if (!files.contains(path)) {
            ::unlink((root + '/' + path).c_str());
        }
    });
}

}  // namespace detail

[[nodiscard]] inline file_tree read_tree(const std::string& directory) {
    file_tree files;
    detail::read_files_into(files, directory, "");
    return files;
}

/// Makes the directory hold these files and no others; directories are made, and none is removed.
inline void write_tree(const std::string& directory, const file_tree& files) {
    detail::remove_others(files, directory, "");
    std::string made;
    for (const auto& [path, content] : files) {
        if (const std::string within = path.substr(0, path.find_last_of('/') + 1); within != made) {
            for (std::size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
                if (::mkdir((directory + '/' + path.substr(0, slash)).c_str(), 0700) != 0 && errno != EEXIST) {
                    throw std::system_error{errno, std::system_category(), "mkdir " + path.substr(0, slash)};
                }
            }
            made = within;
        }
        const detail::descriptor file{directory + '/' + path, O_WRONLY | O_CREAT | O_TRUNC};
        const std::size_t used = content.find_last_not_of('\0') + 1;  // npos + 1: none of it
        if (::pwrite(file.number(), content.data(), used, 0) != static_cast<ssize_t>(used) ||
            ::ftruncate(file.number(), static_cast<off_t>(content.size())) != 0) {
            throw std::system_error{errno, std::system_category(), "write " + path};
        }
    }
}

// ---- what a store holds ----

struct stored_record {
    brook::offset at = 0;
    std::int64_t timestamp = 0;
    std::optional<std::string> key;
    std::optional<std::string> value;
    std::vector<header> headers;
    bool operator==(const stored_record&) const = default;
};

/// A published frame, and the offsets that it takes.
struct frame_place {
    std::string file;
    std::size_t begin = 0;
    std::size_t size = 0;    ///< of what its checksum covers: not the zeros behind it, nor what lies in a gap
    std::size_t length = 0;  ///< bytes to the next one
    brook::offset first = 0;
    brook::offset last = 0;
    format::frame_kind kind{};
};

/// Bytes that prove how far a partition was on the disk.
struct evidence_place {
    std::string file;
    std::size_t begin = 0;
    std::size_t end = 0;
    brook::offset durable = 0;
};

struct partition_truth {
    std::string topic;
    std::int32_t number = 0;
    std::string directory;  ///< in the store
    std::vector<stored_record> records;
    std::vector<frame_place> frames;
    std::vector<evidence_place> evidence;
    brook::offset end = 0;

    [[nodiscard]] const stored_record* find(brook::offset at) const noexcept {
        const auto found = std::lower_bound(records.begin(), records.end(), at, [](const auto& one, brook::offset wanted) { return one.at < wanted; });
        return found != records.end() && found->at == at ? &*found : nullptr;
    }
    /// The frame that holds an offset; null where there was none, such as in front of an open claim's publication.
    [[nodiscard]] const frame_place* frame_of(brook::offset at) const noexcept {
        for (const auto& frame : frames) {
            if (frame.first <= at && at < frame.last) {
                return &frame;
            }
        }
        return nullptr;
    }
};

/// One commit of the group, in the order in which they were made.
struct commit_truth {
    std::int32_t partition = 0;
    brook::offset next = 0;
};

/// A store at one moment: its files, and what was in them.
struct store_moment {
    const char* name = "";
    file_tree files;
    std::vector<partition_truth> partitions;  ///< the one of __consumer_offsets is the last
    std::vector<commit_truth> commits;        ///< of the group, to the topic with keys; offset k is commit k
};

inline constexpr const char* ledger_name = "ledger";  ///< topic<std::string, brook::bytes>, two partitions
inline constexpr const char* audit_name = "audit";    ///< topic<no_key, std::string>, flush_messages
inline constexpr const char* offsets_name = "__consumer_offsets";
inline constexpr const char* reader_group = "readers";

[[nodiscard]] inline bool is_segment(std::string_view path) noexcept { return path.ends_with(".log"); }

template <class T>
[[nodiscard]] T load_at(const std::string& content, std::size_t at) noexcept {
    return load<T>(reinterpret_cast<const std::byte*>(content.data()) + at);
}

/// Walks the frames of a segment's bytes, over gaps too; `visit` is given position, header and bytes.
template <class Visit>
void for_each_frame(const std::string& content, const Visit& visit) {
    for (std::size_t at = format::segment_header_size; at + format::frame_header_size <= content.size();) {
        const auto word = load_at<format::frame_word>(content, at);
        if (word.is_published()) {
            visit(at, load_at<format::frame_header>(content, at), reinterpret_cast<const std::byte*>(content.data()) + at);
            at += word.length();
        } else if (word.is_empty() || word.is_claimed()) {
            at += word.is_empty() ? format::frame_alignment : word.claimed_length();
        } else {
            return;  // nothing that a broker writes
        }
    }
}

/// Where the last frame of a segment ends.
[[nodiscard]] inline std::size_t end_of_frames(const std::string& content) {
    std::size_t end = format::segment_header_size;
    for_each_frame(content, [&](std::size_t at, const format::frame_header& header, const std::byte*) { end = at + format::word_of(header).length(); });
    return end;
}

/// Makes the store, and remembers it as it was at several moments of its life; the last two are "killed" and "closed".
class small_store {
public:
    /// The same seed makes the same bytes.
    small_store(const std::string& directory, std::uint64_t seed) : directory_{directory} {
        machine_.use_random_seed(seed);
        platform_.set_now(timestamp{std::chrono::seconds{1'700'000'000}});
        platform_.set_monotonic(std::chrono::seconds{1});
        live();
    }

    [[nodiscard]] const std::vector<store_moment>& moments() const noexcept { return moments_; }
    [[nodiscard]] const store_moment& closed() const noexcept { return moments_.back(); }
    [[nodiscard]] const store_moment& killed() const noexcept { return moments_[moments_.size() - 2]; }

private:
    using ledger_topic = brook::topic<std::string, bytes>;
    using audit_topic = brook::topic<no_key, std::string>;

    void live() {
        brook::broker broker{directory_, {.maintenance = maintenance::manual, .platform = &platform_}};
        auto ledger = broker.create_topic<std::string, bytes>(ledger_name, {.partitions = 2, .segment_bytes = 8192});
        auto audit = broker.create_topic<no_key, std::string>(audit_name, {.segment_bytes = 4096, .flush_messages = 8});
        brook::producer entries{ledger};
        brook::producer notes{audit};
        brook::consumer readers{ledger, {.group_id = reader_group}};
        remember("born");

        for (int i = 0; i < 6; ++i) {
            send(entries, 0);
        }
        send(entries, 1, true);
        note(notes, 5);
        read_and_commit(readers, ledger);
        ledger.partition(0).sync();
        remember("young");

        send_large(entries);
        gather(ledger, 0);
        send_batch(entries, 0, 12);
        send(entries, 0, true);
        while (segment_count("topics/ledger/0") < 2) {
            send(entries, 0);
        }
        note(notes, 20);
        read_and_commit(readers, ledger);
        keep_up(broker);
        remember("middle");

        send_tombstone(entries);
        gather(ledger, 1);
        send_batch(entries, 1, 4);
        static_cast<void>(entries.claim(key_in_zero_, 300));  // a filler
        for (int i = 0; i < 9; ++i) {
            send(entries, 0, i % 3 == 0);
        }
        write_in_place(entries);
        ledger.partition(1).sync();
        read_and_commit(readers, ledger);
        ledger.partition(0).roll();
        remember("rolled");

        for (int i = 0; i < 8; ++i) {
            send(entries, 0);
        }
        note(notes, 24);
        keep_up(broker);
        ledger.partition(0).sync();
        send_batch(entries, 0, 5);
        for (int i = 0; i < 4; ++i) {
            send(entries, 0, i % 2 == 0);  // nothing vouches for them
        }
        read_and_commit(readers, ledger);
        {
            brook::slot first = entries.claim(key_in_zero_, 120);
            std::memset(first.data(), 0x55, first.size());
            send(entries, 0);
            send(entries, 0);
            brook::slot last = entries.claim(key_in_zero_, 64);
            std::memset(last.data(), 0xaa, last.size());
            remember("killed");
        }
        send(entries, 0);
        send(entries, 1);
        note(notes, 3);
        read_and_commit(readers, ledger);
        broker.close();
        remember("closed");
    }

    // ---- what its users do ----

    /// Text of a length that depends on the number, and so does every byte of it.
    [[nodiscard]] std::string next_text(std::size_t least = 12) {
        const std::uint64_t seed = ++number_ * 0x9e3779b97f4a7c15u;
        std::string text = "record " + std::to_string(number_) + ' ';
        for (std::uint64_t i = 0; text.size() < least + seed % 71; ++i) {
            text += static_cast<char>('!' + ((seed >> (i % 56)) + i) % 90);
        }
        return text;
    }

    /// The next moment of the store's clock: no two sends share one.
    [[nodiscard]] timestamp next_time() {
        platform_.advance_now(std::chrono::milliseconds{1});
        return platform_.now();
    }

    void put(const char* topic, const record_metadata& where, std::optional<std::string> key, std::optional<std::string> value, std::vector<header> headers = {}) {
        sent_[{topic, where.partition}].push_back({where.offset, where.timestamp.time_since_epoch().count(), std::move(key), std::move(value), std::move(headers)});
    }

    void send(brook::producer<std::string, bytes>& entries, std::int32_t partition, bool has_headers = false) {
        const std::string key = "key " + std::to_string(number_ % 7);
        const std::string value = next_text();
        brook::record<std::string, bytes> record{.key = key, .value = as_bytes(value), .timestamp = next_time(), .partition = partition};
        if (has_headers) {
            record.headers = {{"trace", "t" + std::to_string(number_)}, {"empty"}, {"trace", "again"}};
        }
        put(ledger_name, entries.send(record).get(), key, value, record.headers);
    }

    void send_large(brook::producer<std::string, bytes>& entries) {
        const std::string value = next_text(1'500);
        put(ledger_name, entries.send({.key = "large", .value = as_bytes(value), .timestamp = next_time(), .partition = 0}).get(), "large", value);
    }

    void send_tombstone(brook::producer<std::string, bytes>& entries) {
        brook::record<std::string, tombstone_t> record{.key = "gone", .headers = {{"why", "left"}}, .timestamp = next_time(), .partition = 0};
        put(ledger_name, entries.send(record).get(), "gone", std::nullopt, record.headers);
    }

    void write_in_place(brook::producer<std::string, bytes>& entries) {
        const std::string value = next_text(40);
        static_cast<void>(next_time());
        brook::slot slot = entries.claim(key_in_zero_, value.size());
        std::memcpy(slot.data(), value.data(), value.size());
        put(ledger_name, slot.commit().get(), key_in_zero_, value);
    }

    void send_batch(brook::producer<std::string, bytes>& entries, std::int32_t partition, int count) {
        std::vector<std::string> values;
        for (int i = 0; i < count; ++i) {
            values.push_back(next_text());
        }
        std::vector<std::pair<std::string, bytes>> pairs;
        for (const auto& value : values) {
            pairs.emplace_back("of a batch", as_bytes(value));
        }
        static_cast<void>(next_time());
        record_metadata where = entries.send_batch(partition, pairs).get();
        for (const auto& value : values) {
            put(ledger_name, where, "of a batch", value);
            ++where.offset;
        }
    }

    /// A batch with a time and headers for each record.
    void gather(const ledger_topic& ledger, std::int32_t partition) {
        brook::producer gathering{ledger, {.linger = std::chrono::seconds{1}}};
        std::vector<std::tuple<delivery, std::string, std::vector<header>>> lingering;
        std::vector<std::string> values;
        for (int i = 0; i < 5; ++i) {
            values.push_back(next_text());
            const std::vector<header> headers = i % 2 == 0 ? std::vector<header>{{"number", std::to_string(i)}} : std::vector<header>{};
            lingering.emplace_back(gathering.send({.key = "gathered", .value = as_bytes(values.back()), .headers = headers, .timestamp = next_time(), .partition = partition}),
                                   values.back(), headers);
        }
        gathering.flush();
        for (auto& [sent, value, headers] : lingering) {
            put(ledger_name, sent.get(), "gathered", value, headers);
        }
    }

    void note(brook::producer<no_key, std::string>& notes, int count) {
        for (int i = 0; i < count; ++i) {
            const std::string value = next_text(60);
            put(audit_name, notes.send({.value = value, .timestamp = next_time()}).get(), std::nullopt, value);
        }
    }

    void read_and_commit(brook::consumer<std::string, bytes>& readers, const ledger_topic& ledger) {
        while (!readers.poll(std::chrono::milliseconds{0}).empty()) {
        }
        for (const auto& partition : ledger.partitions()) {
            const offset next = readers.position(partition);
            readers.commit(partition, next);
            commits_.push_back({partition.number(), next});
        }
    }

    void keep_up(brook::broker& broker) {
        for (int pass = 0; pass < 2; ++pass) {
            platform_.advance_monotonic(std::chrono::seconds{1});
            broker.maintain();
        }
    }

    // ---- what is remembered ----

    [[nodiscard]] std::size_t segment_count(const std::string& partition) const {
        std::size_t count = 0;
        detail::for_each_entry(directory_ + '/' + partition, [&](const std::string& name, bool) { count += is_segment(name) ? 1 : 0; });
        return count;
    }

    void remember(const char* name) {
        store_moment moment{name, read_tree(directory_), {}, commits_};
        for (const auto& [topic, count] : {std::pair{ledger_name, 2}, std::pair{audit_name, 1}, std::pair{offsets_name, 1}}) {
            for (std::int32_t number = 0; number < count; ++number) {
                moment.partitions.push_back(describe(moment.files, topic, number));
            }
        }
        moments_.push_back(std::move(moment));
    }

    [[nodiscard]] partition_truth describe(const file_tree& files, const char* topic, std::int32_t number) const {
        partition_truth truth{topic, number, std::string{"topics/"} + topic + '/' + std::to_string(number), {}, {}, {}, 0};
        if (const auto sent = sent_.find({topic, number}); sent != sent_.end()) {
            truth.records = sent->second;
        }
        for (const auto& [path, content] : files) {
            if (path.starts_with(truth.directory + '/')) {
                if (is_segment(path)) {
                    describe_segment(truth, path, content);
                } else if (path.ends_with("/checkpoint")) {
                    describe_checkpoint(truth, path, content);
                }
            }
        }
        return truth;
    }

    static void describe_segment(partition_truth& truth, const std::string& path, const std::string& content) {
        for_each_frame(content, [&](std::size_t at, const format::frame_header& header, const std::byte* data) {
            const format::frame_word word = format::word_of(header);
            const auto taken = static_cast<brook::offset>(format::offsets_taken(header, data));
            const bool has_body = word.kind() == format::frame_kind::data;
            truth.frames.push_back({path, at, has_body ? word.size() : format::frame_header_size, word.length(),
                                    header.base_offset, header.base_offset + taken, word.kind()});
            truth.end = std::max(truth.end, header.base_offset + taken);
            if (word.kind() == format::frame_kind::evidence) {
                truth.evidence.push_back({path, at, at + word.size(), header.base_timestamp});
            }
        });
        const auto footer = load_at<format::segment_footer>(content, format::footer_at);
        if (format::verifies(footer, load_at<format::segment_birth>(content, 0).seed)) {
            truth.evidence.push_back({path, format::footer_at, format::footer_at + sizeof footer, footer.end_offset});
        }
    }

    static void describe_checkpoint(partition_truth& truth, const std::string& path, const std::string& content) {
        for (std::size_t at = 0; at + sizeof(format::checkpoint) <= content.size(); at += format::checkpoint_slot_size) {
            if (const auto slot = load_at<format::checkpoint>(content, at); format::verifies(slot)) {
                truth.evidence.push_back({path, at, at + sizeof slot, slot.durable_offset});
            }
        }
    }

    /// A key whose partition is 0.
    [[nodiscard]] static std::string key_for_zero() {
        for (int i = 0;; ++i) {
            if (std::string key = "place " + std::to_string(i); partition_for_key(as_bytes(key), 2) == 0) {
                return key;
            }
        }
    }

    const std::string directory_;
    const std::string key_in_zero_ = key_for_zero();
    rebooting_platform machine_;
    faulty_platform platform_{machine_};
    std::uint64_t number_ = 0;
    std::map<std::pair<std::string, std::int32_t>, std::vector<stored_record>> sent_;
    std::vector<commit_truth> commits_;
    std::vector<store_moment> moments_;
};

}  // namespace brook::test
