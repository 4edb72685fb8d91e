/// \file brook/kafka.hpp
/// The same program on a Kafka cluster. Needs librdkafka (Debian: librdkafka-dev); CMake's target brook::kafka brings it. Not part of
/// brook/brook.hpp, so that who needs no cluster needs no library for it.
///
///     brook::kafka::broker cluster{"host:9092"};                                              // the only line that differs
///     auto orders = cluster.create_topic<std::string, order>("orders", {.partitions = 4});
///     brook::producer producer{orders};
///     brook::consumer consumer{orders, {.group_id = "billing"}};
#pragma once

#include <brook/brook.hpp>
#include <brook/kafka/broker.hpp>
#include <brook/kafka/consumer.hpp>
#include <brook/kafka/mirror.hpp>
#include <brook/kafka/options.hpp>
#include <brook/kafka/producer.hpp>
#include <brook/kafka/records.hpp>
#include <brook/kafka/topic.hpp>
#include <brook/kafka/transaction.hpp>
