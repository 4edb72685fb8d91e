/// \file client/cluster_world.hpp
/// Some brokers of a cluster in one process, on a network that loses what the test says.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <brook/broker/options.hpp>
#include <brook/client/broker.hpp>
#include <brook/client/consumer.hpp>
#include <brook/client/producer.hpp>
#include <brook/replication.hpp>

#include "client/reading.hpp"
#include "support/catch.hpp"
#include "support/patience.hpp"
#include "support/temp_directory.hpp"

namespace brook::test {

using numbers_topic = brook::topic<no_key, std::uint64_t>;
using texts_topic = brook::topic<std::string, std::string>;

/// Brokers 1 to `count`, in directories of their own. They fail over in tenths of a second; whatever takes longer than `patience` has failed.
struct cluster_world {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || defined(BROOK_TESTS_SANITIZED)
    static constexpr std::chrono::milliseconds election_timeout{500};  // what takes 10 ms elsewhere takes ten times as long, and is no death
#else
    static constexpr std::chrono::milliseconds election_timeout{100};
#endif
    static inline const std::chrono::milliseconds patience = patience_of(std::chrono::seconds{40});

    temp_directory directory;
    memory_network network;
    broker_options settings;
    std::vector<std::unique_ptr<brook::broker>> brokers;

    explicit cluster_world(int count = 3, broker_options with = {}) : settings{std::move(with)} {
        settings.election_timeout = std::min(settings.election_timeout, std::chrono::nanoseconds{election_timeout});
        for (int id = 1; id <= count; ++id) {
            settings.peers.push_back(id);
        }
        brokers.resize(static_cast<std::size_t>(count));
        for (int id = 1; id <= count; ++id) {
            start(id);
        }
        const bool are_trusted = eventually([&] { return !is_any_suspect(); });  // from here on any majority will do
        INFO(states());
        REQUIRE(are_trusted);
    }

    /// What each broker thinks of each partition, for whoever looks for a fault.
    [[nodiscard]] std::string states() {
        std::string all;
        for (const int id : running()) {
            const auto core = brook::detail::access::core((*this)[id]);
            for (const auto& one : core->replicated_topics()) {
                for (std::int32_t number = 0; number < one->partition_count(); ++number) {
                    if (const auto seen = core->cluster()->state_of({one->meta.id, number})) {
                        all += std::to_string(id) + ": " + one->name + ' ' + std::to_string(number) + ": leader " + std::to_string(seen->leader) + ", epoch " +
                               std::to_string(seen->leader_epoch) + (seen->is_suspect ? ", suspect" : "") + ", high watermark " + std::to_string(seen->high_watermark) +
                               ", end " + std::to_string(seen->log_end_offset) + '\n';
                    }
                }
            }
            for (const auto& why : (*this)[id].health().errors) {
                all += "   " + why.text + '\n';
            }
        }
        return all;
    }

    /// A new directory may be one whose disk was lost, as far as a broker knows: until it has caught up it has no say.
    [[nodiscard]] bool is_any_suspect() {
        for (const int id : running()) {
            const auto seen = brook::detail::access::core((*this)[id])->cluster()->state_of({broker_room::metadata_topic_id, 0});
            if (!seen || seen->is_suspect) {
                return true;
            }
        }
        return false;
    }

    [[nodiscard]] std::string path(int id) const { return directory / std::to_string(id); }

    [[nodiscard]] broker_options options(int id) {
        broker_options own = settings;
        own.node_id = id;
        own.transport = network.join(id);
        return own;
    }

    void start(int id) { brokers[static_cast<std::size_t>(id - 1)] = std::make_unique<brook::broker>(path(id), options(id)); }
    void stop(int id) { brokers[static_cast<std::size_t>(id - 1)].reset(); }

    /// It goes without a word to the others.
    void kill(int id) {
        network.isolate(id);
        stop(id);
        network.heal(id);
    }

    /// Its disk is gone with it.
    void lose(int id) {
        kill(id);
        std::filesystem::remove_all(path(id));
    }

    [[nodiscard]] brook::broker& operator[](int id) { return *brokers[static_cast<std::size_t>(id - 1)]; }
    [[nodiscard]] bool runs(int id) const { return brokers[static_cast<std::size_t>(id - 1)] != nullptr; }
    [[nodiscard]] std::vector<int> running() const {
        std::vector<int> all;
        for (int id = 1; id <= static_cast<int>(brokers.size()); ++id) {
            if (runs(id)) {
                all.push_back(id);
            }
        }
        return all;
    }
    /// One that runs and is none of these.
    [[nodiscard]] int other_than(int one, int another = 0) const {
        for (const int id : running()) {
            if (id != one && id != another) {
                return id;
            }
        }
        return 0;
    }

    template <class Holds>
    [[nodiscard]] static bool eventually(const Holds& holds) {
        for (const auto end = std::chrono::steady_clock::now() + patience; std::chrono::steady_clock::now() < end;) {
            if (holds()) {
                return true;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
        return holds();
    }

    [[nodiscard]] bool has(int id, std::string_view name) {
        const std::vector<std::string> all = (*this)[id].topics();
        return std::find(all.begin(), all.end(), name) != all.end();
    }

    template <class Topic = numbers_topic>
    [[nodiscard]] Topic topic(int id, std::string_view name = "numbers") {
        if (!eventually([&] { return has(id, name); })) {  // thrown, since threads of a test come here, where Catch2 must not
            throw std::runtime_error{"broker " + std::to_string(id) + " does not come to know topic '" + std::string{name} + "'"};
        }
        return (*this)[id].topic<typename Topic::key_type, typename Topic::value_type>(name);
    }

    [[nodiscard]] numbers_topic numbers(topic_options options = {.replication_factor = 3}, int through = 1, std::string_view name = "numbers") {
        options.segment_bytes = options.segment_bytes.value_or(1 << 20);
        return (*this)[through].create_topic<no_key, std::uint64_t>(name, options);
    }

    /// Waits until all of these agree on a leader that is one of them.
    template <class Topic = numbers_topic>
    [[nodiscard]] int await_leader(const std::vector<int>& among, std::int32_t partition = 0, std::string_view name = "numbers") {
        int found = -1;
        const bool do_agree = eventually([&] {
            found = -1;
            std::uint32_t epoch = 0;
            for (const int id : among) {
                const replication_state seen = topic<Topic>(id, name).partition(partition).replication();
                if (seen.leader < 0 || (found >= 0 && (seen.leader != found || seen.leader_epoch != epoch))) {
                    return false;
                }
                found = seen.leader;
                epoch = seen.leader_epoch;
            }
            return std::find(among.begin(), among.end(), found) != among.end();
        });
        INFO(states());
        REQUIRE(do_agree);
        return found;
    }

    /// Waits until a broker shows all up to `end`.
    template <class Topic>
    [[nodiscard]] static bool reaches(const Topic& topic, offset end, std::int32_t partition = 0) {
        return eventually([&] { return topic.partition(partition).log_end_offset() >= end; });
    }

    /// Reads a broker's topic until there are so many records, or no more come.
    template <class Topic>
    [[nodiscard]] static std::vector<consumed_record> read(const Topic& topic, std::size_t count) {
        brook::consumer consumer{topic};
        std::vector<consumed_record> all;
        for (const auto end = std::chrono::steady_clock::now() + patience; all.size() < count && std::chrono::steady_clock::now() < end;) {
            copy_records(consumer.poll(std::chrono::milliseconds{20}), all);
        }
        return all;
    }

    [[nodiscard]] static std::vector<std::uint64_t> read_numbers(const numbers_topic& topic, std::size_t count) {
        brook::consumer consumer{topic};
        std::vector<std::uint64_t> all;
        for (const auto end = std::chrono::steady_clock::now() + patience; all.size() < count && std::chrono::steady_clock::now() < end;) {
            for (const auto& record : consumer.poll(std::chrono::milliseconds{20})) {
                all.push_back(record.value());
            }
        }
        return all;
    }
};

/// Sends numbers one by one, each once the one before is acknowledged.
inline void send_numbers(const numbers_topic& topic, std::uint64_t from, std::uint64_t to) {
    brook::producer producer{topic};
    for (std::uint64_t i = from; i < to; ++i) {
        static_cast<void>(producer.send({.value = i}).get());
    }
}

[[nodiscard]] inline std::vector<std::uint64_t> numbers_to(std::uint64_t end) {
    std::vector<std::uint64_t> all(end);
    for (std::uint64_t i = 0; i < end; ++i) {
        all[i] = i;
    }
    return all;
}

}  // namespace brook::test
