// What do brook's types cost on the way to a Kafka cluster? Records of 100 B, produced and consumed through them beside the same through
// librdkafka's C interface, with the same settings, in the same run.
//
// $BROOK_BENCHMARK_KAFKA names a cluster (host:port). Without it librdkafka's mock cluster is used, which runs in this process, and keeps 5 MB of a
// partition: good for seeing that everything works, and for little else.
#include <brook/brook.hpp>
#include <brook/kafka.hpp>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/bench.hpp"

using namespace brook::bench;

namespace {

struct value_type {
    std::array<char, 8> number;
    std::array<char, 92> rest;
};
static_assert(sizeof(value_type) == 100);

[[nodiscard]] std::uint64_t number_of(const value_type& value) {
    std::uint64_t number = 0;
    std::memcpy(&number, value.number.data(), sizeof number);
    return number;
}

constexpr std::int64_t batch_size = 128 * 1'024;
constexpr std::int32_t records_a_poll = 500;

/// For a consumer: ends the program where nothing has come for a minute.
class patience {
public:
    void note(bool has_come) {
        if (has_come) {
            empty_since_ = 0;
        } else if (const double now = seconds_now(); empty_since_ == 0) {
            empty_since_ = now;
        } else if (now - empty_since_ > 60) {
            throw std::runtime_error{"nothing to consume for a minute"};
        }
    }

private:
    double empty_since_ = 0;
};

/// Where records go: a cluster that was named, or one made here.
class target {
public:
    target() {
        if (const char* const given = std::getenv("BROOK_BENCHMARK_KAFKA")) {
            servers_ = given;
            return;
        }
        std::array<char, 256> why{};
        rd_kafka_conf_t* const quiet = rd_kafka_conf_new();
        rd_kafka_conf_set_log_cb(quiet, nullptr);
        handle_ = rd_kafka_new(RD_KAFKA_PRODUCER, quiet, why.data(), why.size());
        cluster_ = rd_kafka_mock_cluster_new(handle_, 1);
        servers_ = rd_kafka_mock_cluster_bootstraps(cluster_);
    }
    target(const target&) = delete;
    target& operator=(const target&) = delete;
    ~target() {
        if (handle_ != nullptr) {
            rd_kafka_mock_cluster_destroy(cluster_);
            rd_kafka_destroy(handle_);
        }
    }

    [[nodiscard]] const std::string& servers() const noexcept { return servers_; }
    [[nodiscard]] bool is_mock() const noexcept { return handle_ != nullptr; }

    /// A topic that nobody has used.
    [[nodiscard]] std::string fresh_topic(brook::kafka::broker& by) {
        static int number = 0;
        const auto born = std::chrono::system_clock::now().time_since_epoch().count();
        const std::string name = "bench-" + std::to_string(born) + '-' + std::to_string(number++);
        if (is_mock()) {
            rd_kafka_mock_topic_create(cluster_, name.c_str(), 1, 1);
        }
        static_cast<void>(by.create_topic<brook::no_key, value_type>(name, {.partitions = 1}));
        return name;
    }

private:
    std::string servers_;
    rd_kafka_t* handle_ = nullptr;
    rd_kafka_mock_cluster_t* cluster_ = nullptr;
};

[[nodiscard]] rd_kafka_t* make(const target& to, rd_kafka_type_t type, const std::vector<std::pair<const char*, std::string>>& settings, std::atomic<std::uint64_t>* told) {
    std::array<char, 256> why{};
    rd_kafka_conf_t* const conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, nullptr);
    bool is_legal = rd_kafka_conf_set(conf, "bootstrap.servers", to.servers().c_str(), why.data(), why.size()) == RD_KAFKA_CONF_OK;
    for (const auto& [name, value] : settings) {
        is_legal = is_legal && rd_kafka_conf_set(conf, name, value.c_str(), why.data(), why.size()) == RD_KAFKA_CONF_OK;
    }
    if (told != nullptr) {
        rd_kafka_conf_set_opaque(conf, told);
        rd_kafka_conf_set_dr_msg_cb(conf, [](rd_kafka_t*, const rd_kafka_message_t* message, void* count) {
            static_cast<std::atomic<std::uint64_t>*>(count)->fetch_add(message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? 1 : 0, std::memory_order_relaxed);
        });
    }
    rd_kafka_t* const made = is_legal ? rd_kafka_new(type, conf, why.data(), why.size()) : nullptr;
    if (made == nullptr) {
        throw std::runtime_error{why.data()};
    }
    return made;
}

[[nodiscard]] value_type numbered(std::uint64_t number) {
    value_type value{};
    std::memcpy(value.number.data(), &number, sizeof number);
    value.rest.fill(static_cast<char>('a' + number % 26));
    return value;
}

outcome produce_by_c(run& bench, target& to, brook::kafka::broker& cluster, std::uint64_t count) {
    const std::string name = to.fresh_topic(cluster);
    std::atomic<std::uint64_t> told{0};
    rd_kafka_t* const by = make(to, RD_KAFKA_PRODUCER, {{"acks", "all"}, {"enable.idempotence", "true"}, {"linger.ms", "5"}, {"batch.size", std::to_string(batch_size)}}, &told);
    rd_kafka_topic_t* const topic = rd_kafka_topic_new(by, name.c_str(), nullptr);
    const auto send = [&](std::uint64_t number) {
        value_type value = numbered(number);
        while (rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, &value, sizeof value, nullptr, 0, nullptr) != 0) {
            rd_kafka_poll(by, 10);  // its queue is full
        }
        if (number % 64 == 0) {
            rd_kafka_poll(by, 0);
        }
    };
    send(0);
    rd_kafka_flush(by, 60'000);  // connected
    outcome done;
    const double begin = seconds_now();
    for (std::uint64_t i = 1; i < count; ++i) {
        send(i);
    }
    rd_kafka_flush(by, 60'000);
    done.seconds = seconds_now() - begin;
    done.count = told.load();
    bench.expect_equal(done.count, count, "acknowledged records");
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(by);
    return done;
}

outcome produce_by_brook(run& bench, target& to, brook::kafka::broker& cluster, std::uint64_t count, bool asks) {
    const auto topic = cluster.topic<brook::no_key, value_type>(to.fresh_topic(cluster));
    std::atomic<std::uint64_t> told{0};
    brook::producer_options options{.batch_size = batch_size, .linger = std::chrono::milliseconds{5}};
    if (asks) {
        options.on_delivery = [&told](const brook::record_metadata&, std::error_code why) { told.fetch_add(why ? 0 : 1, std::memory_order_relaxed); };
    }
    brook::producer producer{topic, options};
    producer.send(numbered(0));
    producer.flush();
    outcome done;
    const double begin = seconds_now();
    for (std::uint64_t i = 1; i < count; ++i) {
        producer.send(numbered(i));
    }
    producer.flush();  // throws if one of them has failed
    done.seconds = seconds_now() - begin;
    done.count = count;
    if (asks) {
        bench.expect_equal(told.load(), count, "acknowledged records");
    }
    return done;
}

outcome consume_by_c(run& bench, target& to, const std::string& name, std::uint64_t count) {
    rd_kafka_t* const by = make(to, RD_KAFKA_CONSUMER, {{"group.id", "bench"}, {"enable.auto.commit", "false"}, {"enable.auto.offset.store", "false"}, {"isolation.level", "read_committed"},
                                                         {"check.crcs", "true"}, {"enable.partition.eof", "true"}}, nullptr);
    rd_kafka_poll_set_consumer(by);
    rd_kafka_queue_t* const queue = rd_kafka_queue_get_consumer(by);
    rd_kafka_topic_partition_list_t* const all = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(all, name.c_str(), 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(by, all);
    std::array<rd_kafka_message_t*, records_a_poll> messages{};
    outcome done;
    done.has_hash = true;
    double begin = 0;
    patience left;
    while (done.count < count) {
        ssize_t got = rd_kafka_consume_batch_queue(queue, 1'000, messages.data(), 1);
        if (got == 1) {
            got += rd_kafka_consume_batch_queue(queue, 0, messages.data() + 1, messages.size() - 1);
        }
        left.note(got > 0);
        begin = begin == 0 ? seconds_now() : begin;
        for (ssize_t i = 0; i < got; ++i) {
            rd_kafka_message_t* const message = messages[static_cast<std::size_t>(i)];
            if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
                value_type value;
                std::memcpy(&value, message->payload, sizeof value);
                done.hash += number_of(value) * 31 + static_cast<unsigned char>(value.rest[9]);
                ++done.count;
            }
            rd_kafka_message_destroy(message);
        }
    }
    done.seconds = seconds_now() - begin;
    bench.expect_equal(done.count, count, "consumed records");
    rd_kafka_topic_partition_list_destroy(all);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(by);
    rd_kafka_destroy(by);
    return done;
}

outcome consume_by_brook(run& bench, brook::kafka::broker& cluster, const std::string& name, std::uint64_t count) {
    const auto topic = cluster.topic<brook::no_key, value_type>(name);
    brook::consumer consumer{topic, {.max_poll_records = records_a_poll}};
    outcome done;
    done.has_hash = true;
    double begin = 0;
    patience left;
    while (done.count < count) {
        auto records = consumer.poll(std::chrono::seconds{1});
        left.note(!records.empty());
        begin = begin == 0 ? seconds_now() : begin;
        for (const auto& record : records) {
            const value_type& value = record.value();
            done.hash += number_of(value) * 31 + static_cast<unsigned char>(value.rest[9]);
            ++done.count;
        }
    }
    done.seconds = seconds_now() - begin;
    bench.expect_equal(done.count, count, "consumed records");
    return done;
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "kafka: records of 100 B through brook's types, and through librdkafka's C interface", [](run& bench) {
        target to;
        const std::uint64_t count = bench.parameter("records", 5'000, to.is_mock() ? 30'000 : 1'000'000);
        const std::uint64_t rounds = bench.parameter("rounds", 1, 9);
        bench.print_baselines();
        bench.peer(to.is_mock() ? "librdkafka's C interface, its mock cluster" : "librdkafka's C interface, a cluster", rd_kafka_version_str(),
                   to.is_mock() ? "the same settings; the cluster is in this process, and keeps 5 MB of a partition in memory" : "the same settings");
        brook::kafka::broker cluster{to.servers()};

        contest produce{bench, "produce, acks all, idempotent, linger 5 ms"};
        const auto by_c = produce.add("C, counted", [&] { return produce_by_c(bench, to, cluster, count); });
        const auto plain = produce.add("brook", [&] { return produce_by_brook(bench, to, cluster, count, false); });
        const auto counted = produce.add("brook, counted", [&] { return produce_by_brook(bench, to, cluster, count, true); });
        produce.go(rounds);
        produce.at_least(plain, by_c, 0.9);
        produce.at_least(counted, by_c, 0.9);

        const std::string name = to.fresh_topic(cluster);
        {
            const auto topic = cluster.topic<brook::no_key, value_type>(name);
            brook::producer producer{topic, {.batch_size = batch_size, .linger = std::chrono::milliseconds{5}}};
            for (std::uint64_t i = 0; i < count; ++i) {
                producer.send(numbered(i));
            }
            producer.flush();
        }
        contest consume{bench, "consume, 500 a poll, checksums verified"};
        const auto c = consume.add("C", [&] { return consume_by_c(bench, to, name, count); });
        const auto brook_types = consume.add("brook", [&] { return consume_by_brook(bench, cluster, name, count); });
        consume.go(rounds);
        consume.at_least(brook_types, c, 0.9);
    });
}
