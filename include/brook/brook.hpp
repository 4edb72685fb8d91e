/// \file brook/brook.hpp
/// Everything that a program with an embedded broker writes. Start here: client/broker.hpp.
///
///     brook::broker broker{"data"};
///     auto orders = broker.create_topic<std::string, order>("orders", {.partitions = 4});
///     brook::producer producer{orders};
///     producer.send("berlin", order{...});
///     brook::consumer consumer{orders, {.group_id = "billing"}};
///     for (auto const& record : consumer.poll(1s)) bill(record.key(), record.value());
#pragma once

#include <brook/client/broker.hpp>
#include <brook/client/consumer.hpp>
#include <brook/client/delivery.hpp>
#include <brook/client/partitioner.hpp>
#include <brook/client/producer.hpp>
#include <brook/client/record.hpp>
#include <brook/client/records.hpp>
#include <brook/client/serde.hpp>
#include <brook/client/slot.hpp>
#include <brook/client/table.hpp>
#include <brook/client/topic.hpp>
#include <brook/client/topic_pattern.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/types.hpp>
