/// \file peers/kafka.hpp
/// Kafka through librdkafka: a broker of its own (KRaft, one node), or librdkafka's mock of one where there are no jars.
#pragma once

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "peers/peer.hpp"
#include "peers/server.hpp"
#include "support/bench.hpp"

namespace brook::bench {

/// The broker is started when a store is first opened, and sleeps (SIGSTOP) while others are measured. Each store is a new topic.
class kafka_peer final : public peer {
public:
    /// Without jars: the mock broker of librdkafka, in this process, which keeps the last few megabytes in memory.
    kafka_peer(std::string jars, std::string version) : jars_{std::move(jars)}, version_{std::move(version)} {
        if (!is_mock() && !has_command("java")) {
            fail("Kafka", "java is not installed");
        }
    }
    ~kafka_peer() override { close(); }

    [[nodiscard]] std::string name() const override { return is_mock() ? "Kafka, librdkafka's mock broker" : "Kafka"; }
    [[nodiscard]] std::string version() const override {
        return (is_mock() ? std::string{} : version_ + ", ") + "librdkafka " + rd_kafka_version_str();
    }
    [[nodiscard]] std::string how() const override {
        const std::string common = "librdkafka over TCP on the loopback interface, one producer for all writers, values not copied; lone records "
                                   "wait for their delivery report (linger.ms 0), batches are "
                                   "produced 100 at a time and not waited for (linger.ms 5, up to 10,000 in a message set, acks=1) until the "
                                   "clock stops";
        return common + (is_mock() ? ". MEMORY ONLY: a mock broker in this process, which keeps the last megabytes: what was acknowledged is "
                                     "counted, not read back"
                                   : "; synced: acks=all, flush.messages=1, a batch is one message set and waited for. The broker is a "
                                     "process of its own, one node with KRaft, checksums, "
                                     "and is not restarted when a store is opened again");
    }

    [[nodiscard]] std::string why_not(const workload& what) const override {
        return is_mock() && what.level == durability::synced ? "the mock broker keeps nothing on a disk" : "";
    }
    [[nodiscard]] bool keeps_everything() const override { return !is_mock(); }

    void open(const std::string& directory, const workload& what) override {
        start(directory);
        const bool gathers = what.batch > 1;  // synced: what is full goes at once, so that a batch is one message set, and has one sync
        configuration options{{{"acks", what.level == durability::synced ? "all" : "1"},
                               {"linger.ms", gathers ? "5" : "0"},
                               {"batch.num.messages", gathers && what.level == durability::synced ? std::to_string(what.batch) : "10000"},
                               {"queue.buffering.max.messages", "1000000"},
                               {"queue.buffering.max.kbytes", "1048576"},
                               {"socket.nagle.disable", "true"},
                               {"log_level", "2"}}};
        options.set(is_mock() ? "test.mock.num.brokers" : "bootstrap.servers", is_mock() ? "1" : address_);
        rd_kafka_conf_set_dr_msg_cb(options.get(), &delivered);
        producer_ = handle{options, RD_KAFKA_PRODUCER};
        if (is_mock()) {
            address_ = rd_kafka_mock_cluster_bootstraps(rd_kafka_handle_mock_cluster(producer_.get()));
        }
        topic_name_ = "log-" + std::to_string(++stores_);
        if (!is_mock()) {
            create_topic(what);
        }
        topic_.reset(rd_kafka_topic_new(producer_.get(), topic_name_.c_str(), nullptr));
        poller_ = std::thread{[this] {
            while (!is_over_.load(std::memory_order_relaxed)) {
                rd_kafka_poll(producer_.get(), 10);
            }
        }};
        lane first;  // so that the connection is there, and the topic known
        produce(first, what.values, what.value_bytes);
        first.await();
    }

    bool reopen(const std::string&, const workload&) override {
        server_->wake();
        return true;
    }

    void write(unsigned, const workload& what, share& mine) override {
        lane reports;
        const bool waits = what.batch == 1 || what.level == durability::synced;
        write_share(what, mine, [&](std::uint64_t first, std::uint32_t count) {
            for (std::uint32_t i = 0; i < count; ++i) {
                produce(reports, what.value(first, i), what.value_bytes);
            }
            if (waits) {
                reports.await();
            }
        });
        reports.await();
    }

    found read() override {
        reader from{*this};
        const std::int64_t end = from.end();
        found all = timed_read([&](found& now) {
            from.start();
            for (std::int64_t next = 0; next < end;) {
                from.some(10'000, [&](const rd_kafka_message_t& one) {
                    now.sum += next++ > 0 ? first_byte(one.payload) : 0;  // the first was a greeting
                });
            }
            now.records = static_cast<std::uint64_t>(end) - 1;
        });
        return all;
    }

    [[nodiscard]] double handover_rate() const override { return 2'000; }

    std::vector<std::uint64_t> hand_over(const workload& what, std::uint64_t records, double rate) override {
        reader from{*this};
        from.start();
        bool is_greeted = false;
        std::vector<std::uint64_t> dues(records * (what.value_bytes / sizeof(std::uint64_t) + 1));  // not copied, so each stays
        const std::size_t step = what.value_bytes / sizeof(std::uint64_t) + 1;
        lane reports;
        std::size_t at = 0;
        auto seen = pace(
            records, rate,
            [&](std::uint64_t due) {
                dues[at] = due;
                produce(reports, reinterpret_cast<const std::byte*>(&dues[at]), what.value_bytes);
                at += step;
            },
            [&](const auto& look) {
                from.some(100, [&](const rd_kafka_message_t& one) {
                    if (std::exchange(is_greeted, true)) {
                        look(one.payload);
                    }
                });
            });
        reports.await();
        return seen;
    }

    void close() override {
        if (poller_.joinable()) {
            is_over_ = true;
            poller_.join();
            is_over_ = false;
        }
        topic_.reset();
        producer_ = {};
        if (server_) {
            server_->sleep();
        }
    }

private:
    /// What is on its way of one writer.
    struct alignas(128) lane {
        std::atomic<std::uint64_t> delivered{0};
        std::atomic<bool> has_failed{false};
        std::uint64_t sent = 0;

        void await() const {
            for (std::uint64_t now = 0; (now = delivered.load(std::memory_order_acquire)) < sent;) {
                delivered.wait(now);
            }
            if (has_failed) {
                fail("Kafka", "a record was not delivered");
            }
        }
    };

    static void delivered(rd_kafka_t*, const rd_kafka_message_t* what, void*) {
        auto* const to = static_cast<lane*>(what->_private);
        if (what->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            to->has_failed = true;
        }
        to->delivered.fetch_add(1, std::memory_order_release);
        to->delivered.notify_one();
    }

    class configuration {
    public:
        configuration(std::initializer_list<std::pair<const char*, std::string>> options) : held_{rd_kafka_conf_new()} {
            for (const auto& [name, value] : options) {
                set(name, value);
            }
        }
        configuration(const configuration&) = delete;
        configuration& operator=(const configuration&) = delete;
        ~configuration() {
            if (held_ != nullptr) {
                rd_kafka_conf_destroy(held_);
            }
        }
        void set(const char* name, const std::string& value) {
            char why[256];
            if (rd_kafka_conf_set(held_, name, value.c_str(), why, sizeof why) != RD_KAFKA_CONF_OK) {
                fail("Kafka", why);
            }
        }
        [[nodiscard]] rd_kafka_conf_t* get() const noexcept { return held_; }
        void let_go() noexcept { held_ = nullptr; }

    private:
        rd_kafka_conf_t* held_;
    };

    struct destroy {
        void operator()(rd_kafka_t* one) const noexcept { rd_kafka_destroy(one); }
        void operator()(rd_kafka_topic_t* one) const noexcept { rd_kafka_topic_destroy(one); }
        void operator()(rd_kafka_queue_t* one) const noexcept { rd_kafka_queue_destroy(one); }
        void operator()(rd_kafka_event_t* one) const noexcept { rd_kafka_event_destroy(one); }
        void operator()(rd_kafka_NewTopic_t* one) const noexcept { rd_kafka_NewTopic_destroy(one); }
    };
    template <class Held>
    using owned = std::unique_ptr<Held, destroy>;

    class handle {
    public:
        handle() = default;
        handle(configuration& options, rd_kafka_type_t what) {
            char why[256];
            held_.reset(rd_kafka_new(what, options.get(), why, sizeof why));
            if (held_ == nullptr) {
                fail("Kafka", why);
            }
            options.let_go();
        }
        [[nodiscard]] rd_kafka_t* get() const noexcept { return held_.get(); }

    private:
        owned<rd_kafka_t> held_;
    };

    /// Partition 0 from its beginning.
    class reader {
    public:
        explicit reader(const kafka_peer& of) : name_{of.topic_name_} {
            configuration options{{{"bootstrap.servers", of.address_},
                                   {"fetch.wait.max.ms", "100"},
                                   {"fetch.message.max.bytes", "8388608"},
                                   {"fetch.max.bytes", "67108864"},
                                   {"queued.min.messages", "1000000"},
                                   {"queued.max.messages.kbytes", "524288"},
                                   {"socket.nagle.disable", "true"},
                                   {"log_level", "2"}}};
            consumer_ = handle{options, RD_KAFKA_CONSUMER};
            topic_.reset(rd_kafka_topic_new(consumer_.get(), name_.c_str(), nullptr));
        }
        reader(const reader&) = delete;
        reader& operator=(const reader&) = delete;
        ~reader() {
            if (is_started_) {
                rd_kafka_consume_stop(topic_.get(), 0);
            }
        }

        [[nodiscard]] std::int64_t end() const {
            std::int64_t low = 0;
            std::int64_t high = 0;
            check(rd_kafka_query_watermark_offsets(consumer_.get(), name_.c_str(), 0, &low, &high, 10'000), "watermarks");
            return high;
        }

        void start() {
            if (rd_kafka_consume_start(topic_.get(), 0, 0) != 0) {
                check(rd_kafka_last_error(), "consume");
            }
            is_started_ = true;
        }

        /// Waits for records, and hands over those that have come. For short waits none is no error.
        template <class Look>
        void some(int milliseconds, const Look& look) {
            struct given {
                const Look& look;
                rd_kafka_resp_err_t status = RD_KAFKA_RESP_ERR_NO_ERROR;
            } to{look};
            const int count = rd_kafka_consume_callback(
                topic_.get(), 0, milliseconds,
                [](rd_kafka_message_t* one, void* opaque) {
                    auto& here = *static_cast<given*>(opaque);
                    if (one->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
                        here.look(*one);
                    } else {
                        here.status = one->err;
                    }
                },
                &to);
            check(to.status, "consume");
            if (count < 0 || (count == 0 && milliseconds >= 1'000)) {
                fail("Kafka", "nothing more can be read");
            }
        }

    private:
        std::string name_;
        handle consumer_;
        owned<rd_kafka_topic_t> topic_;
        bool is_started_ = false;
    };

    static void check(rd_kafka_resp_err_t status, const char* what) {
        if (status != RD_KAFKA_RESP_ERR_NO_ERROR) {
            fail(std::string{"Kafka "} + what, rd_kafka_err2str(status));
        }
    }

    [[nodiscard]] bool is_mock() const noexcept { return jars_.empty(); }

    void produce(lane& to, const std::byte* value, std::uint32_t size) {
        ++to.sent;
        while (rd_kafka_produce(topic_.get(), 0, RD_KAFKA_MSG_F_BLOCK, const_cast<std::byte*>(value), size, nullptr, 0, &to) != 0) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                check(rd_kafka_last_error(), "produce");
            }
            std::this_thread::yield();
        }
    }

    void create_topic(const workload& what) {
        char why[256];
        const owned<rd_kafka_NewTopic_t> made{rd_kafka_NewTopic_new(topic_name_.c_str(), 1, 1, why, sizeof why)};
        if (what.level == durability::synced) {
            check(rd_kafka_NewTopic_set_config(made.get(), "flush.messages", "1"), "flush.messages");
        }
        rd_kafka_NewTopic_t* all[] = {made.get()};
        const owned<rd_kafka_queue_t> answers{rd_kafka_queue_new(producer_.get())};
        rd_kafka_CreateTopics(producer_.get(), all, 1, nullptr, answers.get());
        const owned<rd_kafka_event_t> heard{rd_kafka_queue_poll(answers.get(), 30'000)};
        if (heard == nullptr) {
            fail("Kafka", "it does not create a topic");
        }
        check(rd_kafka_event_error(heard.get()), "create a topic");
        std::size_t count = 0;
        const auto* const results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(heard.get()), &count);
        for (std::size_t i = 0; i < count; ++i) {
            check(rd_kafka_topic_result_error(results[i]), "create a topic");
        }
    }

    void start(const std::string& directory) {
        if (is_mock()) {
            return;
        }
        if (server_) {
            server_->wake();
            return;
        }
        data_.emplace(std::filesystem::path{directory}.parent_path().string());
        const std::uint16_t port = free_port();
        const std::uint16_t controller = free_port();
        address_ = "127.0.0.1:" + std::to_string(port);
        const std::string file = *data_ / "server.properties";
        std::ofstream{file} << "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:" << controller << "\nlisteners=PLAINTEXT://" << address_
                            << ",CONTROLLER://127.0.0.1:" << controller << "\nadvertised.listeners=PLAINTEXT://" << address_
                            << "\ncontroller.listener.names=CONTROLLER\nlog.dirs=" << (*data_ / "logs")
                            << "\noffsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"
                               "auto.create.topics.enable=false\nbroker.session.timeout.ms=7200000\n";  // it sleeps while others are measured
        const std::string log = *data_ / "kafka.log";
        const auto java = [&](std::initializer_list<std::string> words) {
            std::vector<std::string> command{"java", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",  // as its scripts do
                                             "-XX:InitiatingHeapOccupancyPercent=35", "-cp", jars_ + "/*"};
            command.insert(command.end(), words);
            return command;
        };
        server_process format{java({"kafka.tools.StorageTool", "format", "-t", "YnJvb2tiZW5jaG1hcmsxMg", "-c", file}), log};
        if (format.wait() != 0) {
            fail("Kafka", "its directory could not be formatted");
        }
        server_.emplace(java({"kafka.Kafka", file}), log);
        configuration options{{{"bootstrap.servers", address_}, {"log_level", "0"}}};
        const handle asked{options, RD_KAFKA_PRODUCER};
        server_->await([&] {
            const rd_kafka_metadata_t* heard = nullptr;
            const bool is_up = rd_kafka_metadata(asked.get(), 0, nullptr, &heard, 500) == RD_KAFKA_RESP_ERR_NO_ERROR && heard->broker_cnt == 1;
            if (heard != nullptr) {
                rd_kafka_metadata_destroy(heard);
            }
            return is_up;
        }, std::chrono::seconds{90});
    }

    std::string jars_;
    std::string version_;
    std::optional<scratch_directory> data_;
    std::optional<server_process> server_;
    std::string address_;
    std::string topic_name_;
    unsigned stores_ = 0;
    handle producer_;
    owned<rd_kafka_topic_t> topic_;
    std::thread poller_;
    std::atomic<bool> is_over_{false};
};

}  // namespace brook::bench
