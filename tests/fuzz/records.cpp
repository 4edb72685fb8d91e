// Records of brook's own topics, whoever wrote them: what a transaction was decided by, what a cluster knows, what is remembered of
// producers. Input: a byte that says which, then records: 2 bytes with the key's size, 2 bytes with the value's (0xffff: null), key, value.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <brook/broker/cluster_metadata.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/broker/transaction_record.hpp>
#include <brook/storage/producer_table.hpp>

#include "fuzz/memory_platform.hpp"
#include "fuzz/record_input.hpp"
#include "fuzz/target.hpp"

namespace brook::fuzz::records {

namespace {

using broker_room::cluster_metadata;
using broker_room::transaction_record;

enum class reader : std::uint8_t { transactions, metadata, producers };

void read_transaction(const given_record& one) {
    std::string_view id;
    const auto read = transaction_record::decode(one.key, one.value.value_or(bytes{}), id);
    if (!read) {
        return;
    }
    std::vector<std::byte> key(read->key_size(id));
    std::vector<std::byte> value(read->value_size());
    read->write_key(key.data(), id);
    read->write_value(value.data());
    std::string_view id_again;
    const auto again = transaction_record::decode(key, value, id_again);
    demand(again && id_again == id && again->epoch == read->epoch && again->aborted == read->aborted && again->ends.size() == read->ends.size() && again->state == read->state &&
               again->is_judgement == read->is_judgement,
           "what was read is written, and read again, as it was");
}

void read_metadata(const std::vector<given_record>& all) {
    cluster_metadata known;
    for (const given_record& one : all) {
        const auto frame = cluster_metadata::make_record(as_text(one.key), one.value, 1);
        const exact_copy copy{frame};
        format::frame_header header = format::load_header(copy.data());
        format::record_walk walk{header, copy.data()};
        format::record_slice record;
        demand(walk.next(record), "a record that was made is there");
        known.apply(record);
    }
    std::string_view before;
    for (const auto& topic : known.topics()) {
        demand(broker_room::is_valid_topic_name(topic.name) && topic.name > before, "topics are named by Kafka's rule, each once");
        before = topic.name;
        answer([&] { use(static_cast<std::uint64_t>(broker_room::topic_meta::decode(topic.meta, topic.name).partitions)); });
    }
    for (const auto& [node, directory] : known.brokers()) {
        demand(node >= 0 && known.directory_of(node).has_value(), "a broker has a number");
    }
}

void read_producers(bytes raw) {
    memory_platform machine;
    storage::producer_table table{machine};
    table.decode(raw);
    const auto written = table.encode();
    storage::producer_table again{machine};
    again.decode(written);
    demand(as_text(again.encode()) == as_text(written), "what is remembered of producers is read as it was written");
    table.expire(std::chrono::hours{48}, std::chrono::hours{24});
    use(table.encode());
}

void run(bytes input) {
    input_reader from{input};
    const auto which = static_cast<reader>(from.take<std::uint8_t>() % 3);
    if (which == reader::producers) {
        const exact_copy raw{from.rest()};
        return read_producers(raw.view());
    }
    const exact_copy raw{from.rest()};
    const auto all = records_of(raw.view());
    if (which == reader::metadata) {
        return read_metadata(all);
    }
    for (const given_record& one : all) {
        read_transaction(one);
    }
}

void seeds(std::vector<std::vector<std::byte>>& inputs) {
    transaction_record decided;
    decided.producer_id = 77;
    decided.epoch = 3;
    decided.aborted = {1, 2};
    decided.ends = {{{}, 0, 1, 20, 0x1234}, {{}, 1, 1, 9, 0x5678}};
    decided.state = "state";
    std::vector<std::byte> key(decided.key_size("id"));
    std::vector<std::byte> value(decided.value_size());
    decided.write_key(key.data(), "id");
    decided.write_value(value.data());
    std::vector<std::byte> transactions;
    put(transactions, reader::transactions);
    put_record(transactions, key, bytes{value});
    inputs.push_back(transactions);

    std::vector<std::byte> metadata;
    put(metadata, reader::metadata);
    const format::topic_id id{std::byte{5}};
    put_record(metadata, as_bytes("c"), bytes{id});
    put_record(metadata, as_bytes("b3"), bytes{id});
    broker_room::topic_meta meta;
    meta.replicas = {{1, 2}};
    meta.directories = {{1, id}, {2, id}};
    const std::string text = meta.encode();
    put_record(metadata, as_bytes("tname"), as_bytes(text));
    put_record(metadata, as_bytes("tother"), as_bytes(text));
    put_record(metadata, as_bytes("tother"), std::nullopt);
    inputs.push_back(metadata);

    std::vector<std::byte> producers;
    put(producers, reader::producers);
    for (std::int64_t i = 0; i < 3; ++i) {
        put(producers, std::int64_t{1000} + i);
        put(producers, std::uint64_t{2});
        put(producers, i * 10);
        put(producers, i * 10 + 5);
        put(producers, offset{100} + i);
    }
    inputs.push_back(producers);
}

const target records{"records", run, nullptr, seeds};

}  // namespace

}  // namespace brook::fuzz::records
