/// \file fault/broker_oracle.hpp
/// The same promises one floor up: a broker, one topic, a producer, and a group that commits how far it has come.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <brook/brook.hpp>
#include <brook/lz4.hpp>
#include <brook/zstd.hpp>

#include "fault/crash_oracle.hpp"
#include "support/disguised_record.hpp"
#include "support/log_anatomy.hpp"

namespace brook::test {

inline constexpr const char* journal_name = "journal";
inline constexpr const char* journal_group = "auditors";
inline constexpr const char* doomed_name = "doomed";  ///< a topic beside it, which is deleted, and made again
inline constexpr std::uint32_t doomed_count = 3;      ///< records that the first of that name has

/// What one user of a broker does. Key and value of a record are those of a disguised_record.
class journal {
public:
    journal(os::platform& platform, const std::string& directory, brook::maintenance upkeep, std::int64_t flush_messages = 0,
            std::int64_t segment_bytes = 8 * kib)
        : broker_{directory, {.maintenance = upkeep, .platform = &platform}},
          topic_{broker_.create_topic<std::uint64_t, std::string>(journal_name, options(segment_bytes, flush_messages))},
          producer_{topic_},
          gathering_{topic_, {.batch_size = segment_bytes / 2, .linger = std::chrono::microseconds{200}}},
          consumer_{topic_, {.group_id = journal_group}} {}

    [[nodiscard]] brook::broker& broker() noexcept { return broker_; }
    [[nodiscard]] partition log() { return topic_.partition(0); }

    /// Its offset, once the broker has acknowledged it.
    offset send(const disguised_record& record) { return producer_.send(record.word(), value_of(record)).get().offset; }

    /// The same for several, gathered into batches by a producer that lingers.
    [[nodiscard]] std::vector<offset> send_gathered(std::span<const disguised_record> records) {
        return gather(gathering_, records);
    }

    /// The same as one compressed batch.
    [[nodiscard]] std::vector<offset> send_compressed(std::span<const disguised_record> records, compression codec) {
        auto& by = codec == compression::lz4 ? by_lz4_ : by_zstd_;
        if (!by) {
            by.emplace(topic_, producer_options{.linger = std::chrono::minutes{1}, .compression_type = codec});
        }
        return gather(*by, records);
    }

    // ---- the topic beside it ----

    void make_doomed() {
        static_cast<void>(broker_.create_topic<std::uint64_t, std::string>(doomed_name, options(8 * kib, 0)));
    }
    void fill_doomed() {
        auto doomed = broker_.topic<std::uint64_t, std::string>(doomed_name);
        producer<std::uint64_t, std::string> by{doomed};
        for (std::uint32_t i = 0; i < doomed_count; ++i) {
            const disguised_record record{i, 0, 0, 100 * i};
            by.send(record.word(), value_of(record));
        }
        by.flush();
        consumer<std::uint64_t, std::string> reader{doomed, {.group_id = journal_group}};
        static_cast<void>(reader.poll(std::chrono::milliseconds{0}));
        reader.commit();
    }
    void delete_doomed() { broker_.delete_topic(doomed_name); }

    /// How many records it has; nullopt: there is no such topic. How far the group has committed there.
    [[nodiscard]] std::optional<std::uint32_t> survey_doomed(std::optional<offset>& committed) {
        const auto names = broker_.topics();
        if (std::find(names.begin(), names.end(), doomed_name) == names.end()) {
            return std::nullopt;
        }
        auto doomed = broker_.topic<std::uint64_t, std::string>(doomed_name);
        consumer<std::uint64_t, std::string> reader{doomed, {.group_id = journal_group, .auto_offset_reset = offset_reset::earliest}};
        committed = reader.committed(doomed.partition(0));
        reader.assign({doomed.partition(0)});
        reader.seek_to_beginning();
        std::uint32_t count = 0;
        do {
            const auto records = reader.poll(std::chrono::milliseconds{0});
            for (const auto& one : records) {
                count += identify(one).record.sequence == count ? 1 : doomed_count;
            }
        } while (!reader.caught_up());
        return count;
    }

    /// What a poll gives; a record that is not one of ours is refused.
    [[nodiscard]] std::vector<found_record> poll() {
        std::vector<found_record> found;
        const auto records = consumer_.poll(std::chrono::milliseconds{0});
        for (const auto& one : records) {
            found.push_back(identify(one));
        }
        return found;
    }

    /// Everything there is, whatever was committed.
    [[nodiscard]] std::vector<found_record> read_all() {
        std::vector<found_record> found;
        brook::consumer all{topic_};
        do {
            const auto records = all.poll(std::chrono::milliseconds{0});
            for (const auto& one : records) {
                found.push_back(identify(one));
            }
        } while (!all.caught_up());
        return found;
    }

    void commit() { consumer_.commit(); }
    [[nodiscard]] std::optional<offset> committed() { return consumer_.committed(log()); }

    /// Where the next poll begins.
    [[nodiscard]] offset position() { return consumer_.position(log()); }

private:
    [[nodiscard]] static std::vector<offset> gather(brook::producer<std::uint64_t, std::string>& by, std::span<const disguised_record> records) {
        std::vector<delivery> deliveries;
        for (const auto& record : records) {
            deliveries.push_back(by.send(record.word(), value_of(record)));
        }
        by.flush();
        std::vector<offset> offsets;
        for (auto& one : deliveries) {
            offsets.push_back(one.get().offset);
        }
        return offsets;
    }

    [[nodiscard]] static topic_options options(std::int64_t segment_bytes, std::int64_t flush_messages) {
        topic_options options;
        options.segment_bytes = segment_bytes;
        if (flush_messages > 0) {
            options.flush_messages = flush_messages;
        }
        return options;
    }

    [[nodiscard]] static std::string value_of(const disguised_record& record) {
        std::string value(record.size, '\0');
        record.write_value(reinterpret_cast<std::byte*>(value.data()));
        return value;
    }

    template <class Record>
    [[nodiscard]] static found_record identify(const Record& one) {
        const std::uint64_t word = one.key();
        const auto record = disguised_record::of(word);
        if (record.word() != word || !record.is_value(one.value_bytes())) {
            throw error{errc::corrupt_record, "offset " + std::to_string(one.offset()) + " holds what nobody sent"};
        }
        return {one.offset(), record, 0};
    }

    brook::broker broker_;
    brook::topic<std::uint64_t, std::string> topic_;
    brook::producer<std::uint64_t, std::string> producer_;
    brook::producer<std::uint64_t, std::string> gathering_;
    std::optional<brook::producer<std::uint64_t, std::string>> by_lz4_;
    std::optional<brook::producer<std::uint64_t, std::string>> by_zstd_;
    brook::consumer<std::uint64_t, std::string> consumer_;
};

/// Opens a broker's directory after a kill and holds it against what its users had been told.
class broker_oracle {
public:
    explicit broker_oracle(const progress& told) : told_{told} {}

    [[nodiscard]] outcome judge(os::platform& platform, const std::string& directory) {
        outcome result;
        try {
            result.problem = examine(platform, directory, result);
        } catch (const error& why) {
            result.problem = why.what();
        }
        return result;
    }

private:
    [[nodiscard]] std::string examine(os::platform& platform, const std::string& directory, outcome& result) {
        std::optional<offset> committed;
        std::size_t count = 0;
        {
            journal reopened{platform, directory, maintenance::manual};
            if (!reopened.broker().health().is_ok()) {
                return "health: " + reopened.broker().health().errors.front().text;
            }
            const auto found = reopened.read_all();
            const offset end = reopened.log().log_end_offset();
            if (std::string problem = told_.compare(found, crash::kill, {reopened.log().log_start_offset(), end}, result); !problem.empty()) {
                return problem;
            }
            committed = reopened.committed();
            if (std::string problem = check_commit(committed); !problem.empty()) {
                return problem;
            }
            if (std::string problem = check_doomed(reopened, directory, result); !problem.empty()) {
                return problem;
            }
            // The group goes on behind its commit, with what is new, once.
            const offset next = reopened.send({0, 9, 0, 60});
            auto rest = reopened.poll();
            if (next != end || rest.empty() || rest.back().at != end || rest.front().at < committed.value_or(0)) {
                return "the group does not go on at its commit";
            }
            const std::size_t before = static_cast<std::size_t>(
                std::count_if(found.begin(), found.end(), [&](const auto& one) { return one.at < committed.value_or(0); }));
            if (before + rest.size() != found.size() + 1) {
                return "the group is given " + std::to_string(rest.size()) + " records behind offset " +
                       std::to_string(committed.value_or(0)) + ", there are " + std::to_string(found.size() + 1 - before);
            }
            reopened.commit();
            committed = reopened.committed();
            count = found.size() + 1;
        }
        const log_anatomy closed = dissect(directory + "/topics/" + journal_name + "/0");
        if (!closed.is_whole()) {
            return "after close: " + (closed.problem.empty() ? "not everything was mended" : closed.problem);
        }
        journal again{platform, directory, maintenance::manual};
        if (again.committed() != committed || again.read_all().size() != count || !again.poll().empty()) {
            return "second open: not as it was closed";
        }
        return {};
    }

    /// The topic beside it is whole, or it is gone and leaves nothing: no file, and to the next one of its name no record and no offset of a group.
    [[nodiscard]] std::string check_doomed(journal& reopened, const std::string& directory, outcome& result) const {
        const std::uint32_t acked = told_.topic_acked.load();
        const std::uint32_t begun = told_.topic_begun.load();
        std::optional<offset> committed;
        const auto count = reopened.survey_doomed(committed);
        const bool is_there = count.has_value();
        if (is_there != (acked % 2 == 1) && is_there != (begun % 2 == 1)) {
            return is_there ? "a topic is there that was deleted" : "a topic is gone that nobody deleted";
        }
        result.whole |= begun != acked && is_there == (begun % 2 == 1);
        result.absent |= begun != acked && is_there == (acked % 2 == 1);
        const bool is_first = acked == 1;  // which has had time to be filled
        if (is_there && (*count != (is_first ? doomed_count : 0) || (committed != (is_first ? std::optional<offset>{doomed_count} : std::nullopt)))) {
            return "the topic that is deleted has " + std::to_string(*count) + " records, and a group is at " + std::to_string(committed.value_or(-1));
        }
        if (begun > 0 && !is_there) {
            reopened.make_doomed();
            if (const auto anew = reopened.survey_doomed(committed); anew != 0 || committed) {
                return "a topic made again has " + std::to_string(anew.value_or(0)) + " records, and a group is at " + std::to_string(committed.value_or(-1));
            }
        }
        if (const std::string left = directory + "/topics/" + doomed_name + '~'; ::access(left.c_str(), F_OK) == 0) {
            return left + " is left";
        }
        return {};
    }

    /// The last commit that returned, or the one in flight.
    [[nodiscard]] std::string check_commit(std::optional<offset> committed) const {
        const offset acked = told_.commit_acked.load();
        const offset begun = told_.commit_begun.load();
        const offset now = committed.value_or(-1);
        if (now != acked && now != begun) {
            return "committed is " + std::to_string(now) + ", the last commit that returned was " + std::to_string(acked) +
                   ", the one in flight " + std::to_string(begun);
        }
        return {};
    }

    const progress& told_;
};

}  // namespace brook::test
