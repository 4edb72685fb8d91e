// What groups have committed, read from a log that somebody else has written. Input: records as fuzz/record_input.hpp has them, with the
// keys and values of __consumer_offsets.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/committed_offsets.hpp>
#include <brook/broker/topic_replay.hpp>
#include <brook/format/record.hpp>
#include <brook/storage/log.hpp>

#include "fuzz/memory_platform.hpp"
#include "fuzz/record_input.hpp"
#include "fuzz/target.hpp"

namespace brook::fuzz::offsets {

namespace {

using broker_room::committed_offsets;
using broker_room::committed_position;

const std::string directory = "o";

struct world {
    memory_platform machine;
    broker_room::topic_handle topic = std::make_shared<broker_room::topic_state>();

    world() {
        machine.make(directory);
        topic->shared = std::make_shared<broker_room::shared_state>(machine, callback<void(const failure&)>{});
        topic->name = std::string{broker_room::offsets_topic};
        failure why;
        auto log = storage::log::open({machine, directory, {topic->name, {}, 0}}, {.segment_bytes = 64 * kib}, topic->shared->readers, topic->shared->upkeep, why);
        demand(log != nullptr, "an empty directory opens");
        topic->partitions.push_back(std::move(log));
    }

    void append(const given_record& one) const {
        const format::record_sizes sizes{static_cast<std::uint32_t>(one.key.size()), one.value ? static_cast<std::uint32_t>(one.value->size()) : format::null_size, 0};
        const auto size = static_cast<std::uint32_t>(format::lone_frame_size(sizes));
        storage::claim taken;
        failure why;
        storage::log& log = topic->partition(0);
        if (!log.take(format::frame_length(size), 1, taken, why)) {
            return;  // larger than any commit
        }
        const auto layout = format::lay_out_lone(taken.data, sizes);
        copy_bytes(layout.key, one.key.data(), one.key.size());
        copy_bytes(layout.value, one.value.value_or(bytes{}).data(), one.value.value_or(bytes{}).size());
        format::frame_header header{};
        header.size = static_cast<std::int32_t>(size);
        header.attributes = format::lone_attributes(sizes);
        header.count = sizes.key;
        header.base_timestamp = 1'700'000'000'000'000'000;
        log.publish(taken, header);
    }
};

[[nodiscard]] std::string sum_of(const committed_offsets& all) {
    std::string text;
    for (const std::string& group : all.groups()) {
        text += group + '\n';
        for (const committed_position& one : all.positions_of(group)) {
            demand(one.next >= 0 && one.next <= largest_offset, "what is committed is an offset");
            const auto found = all.find(group, one.topic, one.partition);
            demand(found && found->next == one.next && found->metadata == one.metadata, "what is listed is found");
            text += std::to_string(one.partition) + ' ' + std::to_string(one.next) + ' ' + std::to_string(one.leader_epoch) + ' ' + one.metadata + '\n';
        }
    }
    return text;
}

void run(bytes input) {
    const exact_copy raw{input};
    const world around;
    for (const given_record& one : records_of(raw.view())) {
        around.append(one);
    }
    committed_offsets known;
    known.open(around.topic);
    const std::string before = sum_of(known);
    for (const auto& age : known.ages()) {
        use(static_cast<std::uint64_t>(age.last_commit.time_since_epoch().count()));
    }
    demand(!known.commit("group", {{{}, 3, 17, 1, "m"}}), "a commit is taken");
    const std::string after = sum_of(known);
    committed_offsets again;
    again.open(around.topic);
    demand(sum_of(again) == after, "whoever opens it next finds the same");
    demand(!again.forget("group") && again.positions_of("group").empty(), "a group that is forgotten has committed nothing");
}

void repair(std::vector<std::byte>& input) {
    std::vector<std::byte> made;
    for (const given_record& one : records_of(input)) {
        std::vector<std::byte> key(one.key.begin(), one.key.end());
        std::vector<std::byte> value(one.value.value_or(bytes{}).begin(), one.value.value_or(bytes{}).end());
        key.resize(key.size() < 20 ? 20 : key.size());
        value.resize(value.size() < 12 ? 12 : value.size());
        store(value.data(), load<std::int64_t>(value.data()) & (largest_offset - 1));
        put_record(made, key, one.value ? std::optional{bytes{value}} : std::nullopt);
    }
    input = std::move(made);
}

void seeds(std::vector<std::vector<std::byte>>& inputs) {
    const world around;
    committed_offsets known;
    known.open(around.topic);
    const format::topic_id id{std::byte{9}};
    demand(!known.commit("group", {{id, 0, 5, 1, "metadata"}, {id, 1, 7, -1, ""}}), "a commit is taken");
    demand(!known.commit("other", {{id, 0, 11, 2, ""}}), "a commit is taken");
    known.set_empty("other", timestamp{std::chrono::nanoseconds{5}});
    demand(!known.note_empty("other") && !known.forget_topic({}), "a note is taken");
    demand(!known.forget("group"), "a group is forgotten");
    std::vector<std::byte> input;
    const failure why = broker_room::replay_records(around.topic->partition(0), [&](const format::record_slice& record) {
        put_record(input, record.key(), record.has_value() ? std::optional{record.value()} : std::nullopt);
    });
    demand(!why, "what was written is read");
    inputs.push_back(input);
}

const target offsets{"offsets", run, repair, seeds};

}  // namespace

}  // namespace brook::fuzz::offsets
