// A cluster for examples that were given none: librdkafka's mock cluster, in this process, which can also be down for a while.
#pragma once

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <cstdint>
#include <string>

class stand_in {
public:
    stand_in() {
        char why[256];
        rd_kafka_conf_t* const quiet = rd_kafka_conf_new();
        rd_kafka_conf_set_log_cb(quiet, nullptr);
        handle_ = rd_kafka_new(RD_KAFKA_PRODUCER, quiet, why, sizeof why);
        cluster_ = rd_kafka_mock_cluster_new(handle_, 1);
    }
    stand_in(stand_in const&) = delete;
    stand_in& operator=(stand_in const&) = delete;
    ~stand_in() {
        rd_kafka_mock_cluster_destroy(cluster_);
        rd_kafka_destroy(handle_);
    }

    std::string address() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
    void has_topic(char const* name, int partitions) { rd_kafka_mock_topic_create(cluster_, name, partitions, 1); }  // it makes none by itself
    void go_down() { rd_kafka_mock_broker_set_down(cluster_, 1); }
    void come_up() { rd_kafka_mock_broker_set_up(cluster_, 1); }

private:
    rd_kafka_t* handle_ = nullptr;
    rd_kafka_mock_cluster_t* cluster_ = nullptr;
};
