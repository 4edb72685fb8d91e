/// \file fault/broker_oracle.hpp
/// The same promises one floor up: a broker, one topic, a producer, and a group that commits how far it has come.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <brook/brook.hpp>

#include "fault/crash_oracle.hpp"
#include "support/disguised_record.hpp"
#include "support/log_anatomy.hpp"

namespace brook::test {

inline constexpr const char* journal_name = "journal";
inline constexpr const char* journal_group = "auditors";

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
        std::vector<delivery> deliveries;
        for (const auto& record : records) {
            deliveries.push_back(gathering_.send(record.word(), value_of(record)));
        }
        gathering_.flush();
        std::vector<offset> offsets;
        for (auto& one : deliveries) {
            offsets.push_back(one.get().offset);
        }
        return offsets;
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
            if (std::string problem = told_.compare(found, crash::kill, end, result); !problem.empty()) {
                return problem;
            }
            committed = reopened.committed();
            if (std::string problem = check_commit(committed); !problem.empty()) {
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
