// The files that a person can read: topic.meta and broker.meta. Input: the file's text.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <brook/broker/small_file.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/format/properties.hpp>

#include "fuzz/target.hpp"

namespace brook::fuzz::metas {

namespace {

using broker_room::topic_meta;

void run(bytes input) {
    const exact_copy raw{input};
    const std::string_view text = as_text(raw.view());
    answer([&] {
        const topic_meta meta = topic_meta::decode(text, "topic.meta");
        demand(meta.partitions >= 1 && meta.partitions <= topic_meta::most_partitions, "a topic has a number of partitions that it can have");
        demand(meta.replicas.empty() || meta.replicas.size() == static_cast<std::size_t>(meta.partitions), "replicas are named for each partition");
        const std::string written = meta.encode();
        demand(topic_meta::decode(written, "topic.meta").encode() == written, "what was read is written, and read again, as it was");
    });
    answer([&] {
        const auto meta = format::properties::decode(text, broker_room::broker_meta_kind, broker_room::broker_meta_version, "broker.meta");
        use(static_cast<std::uint64_t>(meta.find_number("node_id").value_or(-1)));
        use(topic_meta::hex_of(topic_meta::id_of(meta.find("directory_id").value_or(""), "broker.meta", "directory_id")));
    });
}

/// A checksum, whatever stands in front of it; and a first line, as the file's kind has it.
void repair(std::vector<std::byte>& input) {
    std::string text{as_text(input)};
    text.erase(text.rfind("checksum ") == text.npos ? text.size() : text.rfind("checksum "));
    if (!text.empty() && text.back() != '\n') {
        text += '\n';
    }
    if (!text.starts_with("brook-")) {
        text.insert(0, std::string{topic_meta::kind} + " 1\n");
    }
    text += "checksum " + format::properties::hex(format::hash(as_bytes(text))) + '\n';
    const bytes whole = as_bytes(text);
    input.assign(whole.begin(), whole.end());
}

void seeds(std::vector<std::vector<std::byte>>& inputs) {
    const auto add = [&](const std::string& text) { inputs.emplace_back(as_bytes(text).begin(), as_bytes(text).end()); };
    topic_meta meta;
    meta.key = {"brook.string", 17};
    meta.value = {"market.tick/1", 0xfedc'ba98'7654'3210u};
    meta.partitions = 3;
    add(meta.encode());
    meta.policy = cleanup_policy::compact;
    meta.log.compaction.is_on = true;
    meta.compression_type = compression::zstd;
    meta.log.retention.age = std::chrono::hours{1};
    meta.replicas = {{1, 2, 3}, {2, 3, 1}, {3, 1, 2}};
    meta.directories = {{1, {}}, {2, {}}, {3, {}}};
    meta.log.is_replicated = true;
    add(meta.encode());
    format::properties broker{std::string{broker_room::broker_meta_kind}, broker_room::broker_meta_version};
    broker.set("node_id", 2);
    broker.set("directory_id", topic_meta::hex_of({}));
    add(broker.encode());
}

const target metas{"metas", run, repair, seeds};

}  // namespace

}  // namespace brook::fuzz::metas
