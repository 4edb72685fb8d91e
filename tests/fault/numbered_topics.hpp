/// \file fault/numbered_topics.hpp
/// A broker whose records say where they belong: on a real disk they tell by themselves what is gone, and what never was.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <brook/brook.hpp>

namespace brook::test {

struct violation {
    std::string text;
};
inline void require(bool condition, const std::string& text) {
    if (!condition) {
        throw violation{text};
    }
}

/// What the users of the topics were told, in memory that outlives a process. Counts are offsets: that many records there are.
struct told_offsets {
    static constexpr std::size_t topics = 2;
    std::array<std::atomic<offset>, topics> begun{};    ///< that many may be there
    std::array<std::atomic<offset>, topics> durable{};  ///< that many must be
    std::array<std::atomic<offset>, topics> found{};    ///< that many there were when somebody looked
    std::atomic<offset> committing{-1};
    std::atomic<bool> was_refused{false};
    std::atomic<std::uint64_t> moved{0};     ///< segments that went on in new files
    std::atomic<bool> is_damaged{false};  ///< what was not durable was told to be damaged
    std::array<char, 600> problem{};
};

/// Two topics, the first synced before each acknowledgement, the second when somebody asks; segments of 16 KiB, so that they roll.
///
/// Threads   confined.
/// Errors    thrown: the broker's own, and `violation` where a promise is broken.
class numbered_topics {
public:
    static constexpr std::array names{"safe", "loose"};

    numbered_topics(const std::string& directory, told_offsets& told, os::platform* platform = nullptr)
        : told_{told}, broker_{directory, {.maintenance = maintenance::manual, .platform = platform}} {
        for (std::size_t i = 0; i < names.size(); ++i) {
            topics_[i] = broker_.create_topic<no_key, std::string>(names[i], {.segment_bytes = 16 << 10, .flush_messages = i == 0 ? std::optional<std::int64_t>{1} : std::nullopt});
            writers_[i].emplace(*topics_[i]);
        }
    }

    /// The value of the record at an offset, 20 to 900 bytes.
    [[nodiscard]] static std::string value_of(std::size_t topic, offset at) {
        std::string value = std::string{names[topic]} + ' ' + std::to_string(at) + ':';
        value.resize(20 + static_cast<std::uint64_t>(at) * 2'654'435'761u % 880, static_cast<char>('a' + at % 26));
        return value;
    }

    [[nodiscard]] brook::partition partition(std::size_t topic) { return topics_[topic]->partition(0); }
    [[nodiscard]] brook::broker& broker() noexcept { return broker_; }

    void append(std::size_t topic) {
        const offset due = partition(topic).log_end_offset();
        told_.begun[topic].store(due + 1);
        const offset at = writers_[topic]->send({.value = value_of(topic, due)}).get().offset;
        require(at == due, "appended at " + std::to_string(at) + ", due was " + std::to_string(due));
        if (topic == 0) {
            told_.durable[topic].store(at + 1);
        }
    }
    void sync(std::size_t topic) {
        partition(topic).sync();
        told_.durable[topic].store(partition(topic).durable_offset());
    }
    void commit() {
        if (!readers_) {
            readers_.emplace(*topics_[0], consumer_options{.group_id = "readers"});
        }
        static_cast<void>(readers_->poll(std::chrono::milliseconds{0}));
        told_.committing.store(readers_->position(partition(0)));
        readers_->commit(partition(0), told_.committing.load());
    }

    /// Everything that there is, is what was sent, without a gap; and what was said to be durable is there. With `damage_allowed` what was not may
    /// be told to be damaged.
    void check(bool damage_allowed = false) {
        if (!damage_allowed && !broker_.health().is_ok()) {
            broker_.health().errors.front().raise();
        }
        for (std::size_t i = 0; i < names.size(); ++i) {
            const std::string name = std::string{names[i]} + ": ";
            told_.moved.fetch_add(partition(i).recovery().moved_segments);
            for (const auto& one : partition(i).recovery().damages) {
                require(damage_allowed && one.first >= told_.durable[i].load(), name + "recovery finds damage at offset " + std::to_string(one.first));
                told_.is_damaged.store(true);
            }
            brook::consumer<no_key, std::string> reader{*topics_[i], {.auto_offset_reset = offset_reset::none}};
            reader.assign({partition(i)});
            reader.seek(partition(i), 0);
            offset due = 0;
            const auto read = [&] {
                for (;;) {
                    const auto records = reader.poll(std::chrono::milliseconds{0});
                    for (const auto& record : records) {
                        require(record.offset() == due, name + "offset " + std::to_string(record.offset()) + " where " + std::to_string(due) + " was due");
                        require(record.value() == value_of(i, due), name + "offset " + std::to_string(due) + " is not what was sent");
                        ++due;
                    }
                    if (records.empty()) {
                        return;
                    }
                }
            };
            try {
                read();
            } catch (const error& why) {
                if (!damage_allowed || why.code() != errc::corrupt_record || due < told_.durable[i].load()) {
                    throw;
                }
                told_.is_damaged.store(true);
            }
            require(told_.is_damaged.load() || due == partition(i).log_end_offset(), name + "reading ends at " + std::to_string(due) + ", the log at " + std::to_string(partition(i).log_end_offset()));
            require(due >= told_.durable[i].load(), name + "ends at " + std::to_string(due) + ", and " + std::to_string(told_.durable[i].load()) + " were durable");
            require(due <= told_.begun[i].load(), name + "ends at " + std::to_string(due) + ", and " + std::to_string(told_.begun[i].load()) + " were sent");
            told_.found[i].store(due);
        }
        brook::consumer<no_key, std::string> readers{*topics_[0], {.group_id = "readers"}};
        const offset committed = readers.committed(partition(0)).value_or(0);
        require(committed <= std::max<offset>(told_.committing.load(), 0), "committed is " + std::to_string(committed) + ", which nobody has committed");
        require(committed <= told_.found[0].load(), "committed is " + std::to_string(committed) + ", and the log ends at " + std::to_string(told_.found[0].load()));
    }

    /// What is appended now is there for good; and so is all that was found.
    void go_on() {
        for (std::size_t i = 0; i < names.size(); ++i) {
            append(i);
            sync(i);
        }
    }

private:
    told_offsets& told_;
    brook::broker broker_;
    std::array<std::optional<topic<no_key, std::string>>, 2> topics_;
    std::array<std::optional<producer<no_key, std::string>>, 2> writers_;
    std::optional<consumer<no_key, std::string>> readers_;
};

}  // namespace brook::test
