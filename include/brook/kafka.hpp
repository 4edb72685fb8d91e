/// \file brook/kafka.hpp
/// The same program on a Kafka cluster. Needs librdkafka (Debian: librdkafka-dev); CMake's target brook::kafka brings it. Not part of
/// brook/brook.hpp, so that who needs no cluster needs no library for it.
///
///     brook::kafka::broker cluster{"host:9092"};                                              // the only line that differs
///     auto orders = cluster.create_topic<std::string, order>("orders", {.partitions = 4});
///     brook::producer producer{orders};
///     brook::consumer consumer{orders, {.group_id = "billing"}};
///
/// A function template over the broker's type runs on both engines. What differs:
///
/// Does not compile with a cluster
///   producer::claim, send_batch, last_sequence      records are copied, and numbered by librdkafka; `linger` makes batches
///   table, transaction::set_state                   they need memory of this process, and a state that a cluster does not keep
///   partition::sync, roll, durable_offset, ...      a kafka::partition has numbers, offsets and times, and no files
///
/// Is refused when it is asked for
///   producer_options::name, record::sequence        Kafka has nothing between an idempotent producer and a transaction
///   topic_options::reuse_segments, codecs of users
///
/// Means something else
///   records          Plain keys and values come as copies, not as references into a segment: `T const& t = record.value()` fits both.
///   timestamps       To the millisecond, from 1970 on.
///   options          What topic_options leave out the cluster says: retention is a week there mostly, and for ever here. Options that are checked
///                    when a topic is opened again are those that are given.
///   types            A cluster knows of none. Within one kafka::broker other types are a schema_mismatch; else what does not fit is a
///                    schema_read where it is looked at.
///   offsets          Have gaps where transactions ended.
///   acknowledged     acks::all is what min.insync.replicas brokers have in memory, mostly; enable_idempotence is always on with it, and keeps
///                    retries from appending twice. A delivery is acknowledged, has failed, or is unknown: then it is timed_out. With acks::none
///                    nobody says where it is: its offset is -1.
///   on_delivery      On a thread of librdkafka's, one a producer; of what is refused at once, such as a record that is too large, on the sending one.
///                    What it throws is in health().
///   transactions     Records go to the cluster as they are sent. A commit may end as timed_out, and then it is not known yet whether it counts.
///   groups           A group takes seconds to settle; session_timeout and max_poll_interval are Kafka's own. A commit waits while members share
///                    out anew; auto-commit is not waited for.
///   topic_pattern    Topics that are made later are seen within topic.metadata.refresh.interval.ms, five minutes by default. Those of other types are
///                    read as well: a schema_read says so.
///   caught_up        Of a group's member: of what it was assigned. It asks the cluster, where it seems to be so.
///   seek             Counts at once, and is carried out by the next polls.
///   time             Whatever asks the cluster takes default_api_timeout at most. A poll without a time waits as long as there is no cluster.
///
/// Known limits of librdkafka, which brook does not mend: duplicates when a leader changes, in spite of idempotence (its issue 4953); numbers begin
/// anew when a topic is deleted and made again under a producer (3712): make a new producer.
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
