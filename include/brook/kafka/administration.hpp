/// \file brook/kafka/administration.hpp
/// What is asked of a cluster beside records: topics, offsets, groups.
/// Edge of floor 6, kafka.
#pragma once

#include <librdkafka/rdkafka.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/group_service.hpp>
#include <brook/broker/options.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/kafka/connection.hpp>
#include <brook/kafka/options.hpp>
#include <brook/kafka/refusal.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// What a cluster says of a topic.
struct topic_description {
    std::int32_t partitions = 0;
    std::int32_t replication_factor = 0;
    bool has_leaders = true;  ///< of all partitions
};

/// Answers come in default_api_timeout, or what is asked throws: timed_out; authentication_failed at once.
///
/// Threads   shared.
/// Cost      a handle of librdkafka's at the first use, another one for last stable offsets; then a round trip or two a call.
class administration {
public:
    explicit administration(std::shared_ptr<cluster> of) : cluster_{std::move(of)} {}

    [[nodiscard]] const std::shared_ptr<cluster>& of() const noexcept { return cluster_; }

    // ---- topics ----

    /// nullopt: there is none of that name. Asking makes none. `gives_up`: from when it is true nothing is waited for any more; null: never.
    [[nodiscard]] std::optional<topic_description> describe(const std::string& name, const std::atomic<bool>* gives_up = nullptr) {
        const deadline end = patience();
        client& asked = any();
        const owned_topic topic = asked.topic(name);
        std::optional<topic_description> found;
        ask_again(end, asked, "topic '" + name + '\'', [&](int timeout) {
            const struct rd_kafka_metadata* raw = nullptr;
            const rd_kafka_resp_err_t code = rd_kafka_metadata(asked.get(), 0, topic.get(), &raw, timeout);
            if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                return gives_up != nullptr && gives_up->load() ? RD_KAFKA_RESP_ERR__DESTROY : code;
            }
            const std::unique_ptr<const struct rd_kafka_metadata, destroyer<rd_kafka_metadata_destroy>> metadata{raw};
            const auto& one = metadata->topics[0];
            if (metadata->topic_cnt != 1 || one.err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
                return RD_KAFKA_RESP_ERR_NO_ERROR;
            }
            if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
                return one.err;
            }
            found = topic_description{one.partition_cnt, one.partition_cnt > 0 ? one.partitions[0].replica_cnt : 0, true};
            for (int i = 0; i < one.partition_cnt; ++i) {
                found->has_leaders = found->has_leaders && one.partitions[i].leader >= 0;
            }
            return RD_KAFKA_RESP_ERR_NO_ERROR;
        });
        return found;
    }

    /// Makes it, or finds one that agrees.
    [[nodiscard]] topic_description create(const std::string& name, const topic_options& options) {
        broker_room::require_valid_topic_name(name);
        const auto configuration = configuration_of(name, options);
        const deadline end = patience();
        auto found = describe(name);
        if (!found) {
            const failure why = create_new(name, options, configuration);
            if (why && why.code != errc::topic_already_exists) {  // else somebody else was faster
                why.raise();
            }
            while (!found || !found->has_leaders) {  // brokers hear of it one by one
                if (end.is_over()) {
                    throw_error(errc::timed_out, "topic '" + name + "': it was made, and has no leaders yet");
                }
                pause(std::chrono::milliseconds{20});
                found = describe(name);
            }
            if (!why) {
                return *found;
            }
        }
        require_agreement(name, options, configuration, *found);
        return *found;
    }

    /// Errors    unknown_topic_or_partition; topic_already_exists when it is there with other options.
    [[nodiscard]] topic_description find(const std::string& name, const topic_options& options, const std::atomic<bool>* gives_up = nullptr) {
        broker_room::require_valid_topic_name(name);
        const auto found = describe(name, gives_up);
        if (!found) {
            throw_error(errc::unknown_topic_or_partition, "topic '" + name + "': there is none in the cluster '" + cluster_->bootstrap_servers + "'; create_topic makes one");
        }
        require_agreement(name, options, configuration_of(name, options), *found);
        return *found;
    }

    void remove(const std::string& name) {
        broker_room::require_valid_topic_name(name);
        using owned = std::unique_ptr<rd_kafka_DeleteTopic_t, destroyer<rd_kafka_DeleteTopic_destroy>>;
        const owned gone{rd_kafka_DeleteTopic_new(name.c_str())};
        const owned_event answer = ask("topic '" + name + "': it cannot be deleted", RD_KAFKA_ADMIN_OP_DELETETOPICS, [&](rd_kafka_t* by, rd_kafka_AdminOptions_t* how, rd_kafka_queue_t* to) {
            rd_kafka_DeleteTopic_t* one = gone.get();
            rd_kafka_DeleteTopics(by, &one, 1, how, to);
        });
        std::size_t count = 0;
        const auto* const* results = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(answer.get()), &count);
        raise_first(results, count, "topic '" + name + '\'');
        cluster_->forget_types(name);
    }

    [[nodiscard]] std::vector<std::string> names() {
        client& asked = any();
        std::vector<std::string> all;
        ask_again(patience(), asked, "the list of topics", [&](int timeout) {
            const struct rd_kafka_metadata* raw = nullptr;
            if (const auto code = rd_kafka_metadata(asked.get(), 1, nullptr, &raw, timeout); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                return code;
            }
            const std::unique_ptr<const struct rd_kafka_metadata, destroyer<rd_kafka_metadata_destroy>> metadata{raw};
            for (int i = 0; i < metadata->topic_cnt; ++i) {
                if (!broker_room::is_internal_topic(metadata->topics[i].topic)) {
                    all.emplace_back(metadata->topics[i].topic);
                }
            }
            return RD_KAFKA_RESP_ERR_NO_ERROR;
        });
        sort(all);
        return all;
    }

    // ---- offsets ----

    static constexpr std::int64_t at_beginning = RD_KAFKA_OFFSET_BEGINNING;
    static constexpr std::int64_t at_end = RD_KAFKA_OFFSET_END;

    /// Of each of these partitions the first offset at or after a time in milliseconds, or `at_beginning`, `at_end`; -1: there is none.
    /// `is_stable`: the end is the last stable offset, not the high watermark.
    [[nodiscard]] std::vector<offset> offsets(const std::string& topic, const std::vector<std::int32_t>& numbers, std::int64_t at, bool is_stable) {
        client& asked = is_stable ? committed() : any();
        std::vector<offset> found;
        ask_again(patience(), asked, "offsets of topic '" + topic + '\'', [&](int timeout) { return offsets_once(asked.get(), topic, numbers, at, timeout, found); });
        return found;
    }

    /// The same by a handle of one's own, once.
    [[nodiscard]] static rd_kafka_resp_err_t offsets_once(rd_kafka_t* by, const std::string& topic, const std::vector<std::int32_t>& numbers, std::int64_t at,
                                                          int timeout, std::vector<offset>& found) {
        const owned_list wanted = make_list();
        for (const std::int32_t number : numbers) {
            rd_kafka_topic_partition_list_add(wanted.get(), topic.c_str(), number)->offset = at;
        }
        if (const auto code = rd_kafka_offsets_for_times(by, wanted.get(), timeout); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            return code;
        }
        found.assign(numbers.size(), -1);
        for (int i = 0; i < wanted->cnt; ++i) {
            const auto& one = wanted->elems[i];
            if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
                return one.err;
            }
            for (std::size_t k = 0; k < numbers.size(); ++k) {
                found[k] = numbers[k] == one.partition ? (one.offset < 0 ? -1 : one.offset) : found[k];
            }
        }
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }

    // ---- groups ----

    [[nodiscard]] std::vector<std::string> groups() {
        const owned_event answer = ask("the list of groups", RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, [](rd_kafka_t* by, rd_kafka_AdminOptions_t* how, rd_kafka_queue_t* to) {
            rd_kafka_ListConsumerGroups(by, how, to);
        });
        std::size_t count = 0;
        const auto* const result = rd_kafka_event_ListConsumerGroups_result(answer.get());
        if (const auto* const* errors = rd_kafka_ListConsumerGroups_result_errors(result, &count); count != 0) {  // some brokers did not answer: a part is no list
            raise(any(), rd_kafka_error_code(errors[0]), "the list of groups", rd_kafka_error_string(errors[0]));
        }
        const auto* const* all = rd_kafka_ListConsumerGroups_result_valid(result, &count);
        std::vector<std::string> names;
        for (std::size_t i = 0; i < count; ++i) {
            names.emplace_back(rd_kafka_ConsumerGroupListing_group_id(all[i]));
        }
        sort(names);
        return names;
    }

    /// Errors    group_id_not_found.
    [[nodiscard]] group_description group(const std::string& id) {
        group_description described;
        described.group_id = id;
        const bool has_members = describe_members(id, described);
        describe_offsets(id, described);
        if (!has_members && described.partitions.empty()) {
            throw_error(errc::group_id_not_found, "group '" + id + "': it has no members, and has committed nothing");
        }
        return described;
    }

    void remove_group(const std::string& id) {
        using owned = std::unique_ptr<rd_kafka_DeleteGroup_t, destroyer<rd_kafka_DeleteGroup_destroy>>;
        const owned gone{rd_kafka_DeleteGroup_new(id.c_str())};
        const owned_event answer = ask("group '" + id + '\'', RD_KAFKA_ADMIN_OP_DELETEGROUPS, [&](rd_kafka_t* by, rd_kafka_AdminOptions_t* how, rd_kafka_queue_t* to) {
            rd_kafka_DeleteGroup_t* one = gone.get();
            rd_kafka_DeleteGroups(by, &one, 1, how, to);
        });
        std::size_t count = 0;
        const auto* const* results = rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(answer.get()), &count);
        for (std::size_t i = 0; i < count; ++i) {
            if (const auto* const error = rd_kafka_group_result_error(results[i])) {
                raise(any(), rd_kafka_error_code(error), "group '" + id + '\'', rd_kafka_error_string(error));
            }
        }
    }

    /// Errors    non_empty_group.
    void reset_group(const std::string& id, const std::string& topic, const std::vector<offset>& next) {
        using owned = std::unique_ptr<rd_kafka_AlterConsumerGroupOffsets_t, destroyer<rd_kafka_AlterConsumerGroupOffsets_destroy>>;
        const owned_list wanted = make_list();
        for (std::size_t i = 0; i < next.size(); ++i) {
            rd_kafka_topic_partition_list_add(wanted.get(), topic.c_str(), static_cast<std::int32_t>(i))->offset = next[i];
        }
        const std::string what = "group '" + id + "': its offsets cannot be set";
        const owned change{rd_kafka_AlterConsumerGroupOffsets_new(id.c_str(), wanted.get())};
        const owned_event answer = ask(what, RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS, [&](rd_kafka_t* by, rd_kafka_AdminOptions_t* how, rd_kafka_queue_t* to) {
            rd_kafka_AlterConsumerGroupOffsets_t* one = change.get();
            rd_kafka_AlterConsumerGroupOffsets(by, &one, 1, how, to);
        });
        std::size_t count = 0;
        const auto* const* results = rd_kafka_AlterConsumerGroupOffsets_result_groups(rd_kafka_event_AlterConsumerGroupOffsets_result(answer.get()), &count);
        for (std::size_t i = 0; i < count; ++i) {
            raise_group(results[i], what);
        }
    }

    /// Calls `once(timeout)` until it gives success, or something that trying again does not help against, or the time is over.
    template <class Once>
    static void ask_again(const deadline& end, client& asked, const std::string& what, const Once& once) {
        for (;;) {
            const auto left = end.left();
            const int slice = milliseconds_of(left < std::chrono::nanoseconds{std::chrono::milliseconds{500}} ? left : std::chrono::milliseconds{500});
            const rd_kafka_resp_err_t code = once(slice > 0 ? slice : 1);
            if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
                asked.forget_reason();
                return;
            }
            if (asked.owner() == nullptr) {  // what was reported meanwhile; a reader's handle has its polls: here its records would be lost
                static_cast<void>(rd_kafka_poll(asked.get(), 0));
            }
            if (const failure refused = asked.take_refused()) {
                throw_error(refused.code, what + ": " + refused.text);
            }
            if (!is_worth_a_retry(code) || end.is_over()) {
                raise(asked, code, what);
            }
            pause(std::chrono::milliseconds{10});
        }
    }

    /// What the cluster said, or that nobody did.
    [[noreturn]] static void raise(const client& asked, rd_kafka_resp_err_t code, const std::string& what, const char* detail = nullptr) {
        if (is_silence(code)) {
            const failure silence = asked.unanswered(what, asked.of().options.default_api_timeout);
            throw_error(silence.code, silence.text);
        }
        const failure why = refusal(code, what + ": the cluster '" + asked.of().bootstrap_servers + '\'', detail);
        throw_error(why.code, why.text);
    }

    /// Nobody was reached, or nobody answered: it depends on the moment which of them librdkafka says.
    [[nodiscard]] static bool is_silence(rd_kafka_resp_err_t code) noexcept {
        return code_of(code) == errc::network_exception || (code_of(code) == errc::timed_out && code != RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
    }

    [[nodiscard]] static bool is_worth_a_retry(rd_kafka_resp_err_t code) noexcept {
        switch (code_of(code)) {
            case errc::timed_out:
            case errc::network_exception:
            case errc::not_leader_or_follower:
            case errc::coordinator_not_available: return true;
            default: return code == RD_KAFKA_RESP_ERR__WAIT_CACHE || code == RD_KAFKA_RESP_ERR__IN_PROGRESS;
        }
    }

    [[nodiscard]] deadline patience() const { return deadline{cluster_->options.default_api_timeout}; }

    static void pause(std::chrono::nanoseconds time) noexcept {
        std::atomic<std::uint32_t> nobody_wakes{0};
        os::posix().wait(nobody_wakes, 0, time);
    }

private:
    using topic_settings = std::vector<std::pair<std::string, std::string>>;

    /// For metadata and offsets: it makes no topics, and sees the ends of logs.
    [[nodiscard]] client& any() { return made(any_, "read_uncommitted"); }
    [[nodiscard]] client& committed() { return made(committed_, "read_committed"); }

    [[nodiscard]] client& made(std::unique_ptr<client>& kept, const char* isolation) {
        cluster_->require_open("cluster '" + cluster_->bootstrap_servers + '\'');
        const std::scoped_lock guard{mutex_};
        if (!kept) {
            settings with{*cluster_};
            with.set("allow.auto.create.topics", "false");
            with.set("isolation.level", isolation);
            with.set("enable.auto.commit", "false");
            with.set(cluster_->options.properties);
            kept = std::make_unique<client>(cluster_, RD_KAFKA_CONSUMER, std::move(with));
        }
        return *kept;
    }

    template <class Send>
    [[nodiscard]] owned_event ask(const std::string& what, rd_kafka_admin_op_t kind, const Send& send) {
        client& asked = any();
        const deadline end = patience();
        const std::unique_ptr<rd_kafka_AdminOptions_t, destroyer<rd_kafka_AdminOptions_destroy>> how{rd_kafka_AdminOptions_new(asked.get(), kind)};
        std::array<char, 512> text{};
        const int timeout = milliseconds_of(cluster_->options.default_api_timeout);
        if (const auto code = rd_kafka_AdminOptions_set_request_timeout(how.get(), timeout > 3'600'000 ? 3'600'000 : timeout, text.data(), text.size());
            code != RD_KAFKA_RESP_ERR_NO_ERROR) {
            refusal(code, what, text.data()).raise();
        }
        const owned_queue to{rd_kafka_queue_new(asked.get())};
        send(asked.get(), how.get(), to.get());
        for (;;) {
            owned_event answer{rd_kafka_queue_poll(to.get(), 100)};
            static_cast<void>(rd_kafka_poll(asked.get(), 0));
            if (answer) {
                if (const auto code = rd_kafka_event_error(answer.get()); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                    raise(asked, code, what, rd_kafka_event_error_string(answer.get()));
                }
                return answer;
            }
            if (const failure refused = asked.take_refused()) {
                throw_error(refused.code, what + ": " + refused.text);
            }
            if (end.is_over()) {
                raise(asked, RD_KAFKA_RESP_ERR__TIMED_OUT, what);
            }
        }
    }

    template <class Results>
    static void raise_first(const Results& results, std::size_t count, const std::string& what) {
        for (std::size_t i = 0; i < count; ++i) {
            if (const auto code = rd_kafka_topic_result_error(results[i]); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                refusal(code, what, rd_kafka_topic_result_error_string(results[i])).raise();
            }
        }
    }

    void raise_group(const rd_kafka_group_result_t* result, const std::string& what) {
        if (const auto* const error = rd_kafka_group_result_error(result)) {
            raise(any(), rd_kafka_error_code(error), what, rd_kafka_error_string(error));
        }
        const auto* const each = rd_kafka_group_result_partitions(result);
        for (int i = 0; each != nullptr && i < each->cnt; ++i) {
            if (each->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR) {
                refusal(each->elems[i].err, what).raise();
            }
        }
    }

    // ---- topics made ----

    /// brook's options as the cluster has them. What is not given is the cluster's to say.
    [[nodiscard]] static topic_settings configuration_of(const std::string& name, const topic_options& options) {
        topic_settings all;
        const auto add = [&all](const char* key, const auto& value) {
            if (value) {
                all.emplace_back(key, std::to_string(*value));
            }
        };
        const auto add_time = [&all](const char* key, const std::optional<std::chrono::nanoseconds>& value) {
            if (value) {
                all.emplace_back(key, std::to_string(std::chrono::ceil<std::chrono::milliseconds>(*value).count()));
            }
        };
        if (options.reuse_segments.value_or(false)) {
            throw_error(errc::invalid_config, "topic '" + name + "': a Kafka cluster has no reuse_segments; leave it out");
        }
        add("min.insync.replicas", options.min_insync_replicas);
        add("segment.bytes", options.segment_bytes);
        add_time("retention.ms", options.retention);
        add("retention.bytes", options.retention_bytes);
        if (options.cleanup_policy) {
            all.emplace_back("cleanup.policy", to_string(*options.cleanup_policy));
        }
        add_time("delete.retention.ms", options.delete_retention);
        add("min.cleanable.dirty.ratio", options.min_cleanable_dirty_ratio);
        add_time("min.compaction.lag.ms", options.min_compaction_lag);
        add_time("max.compaction.lag.ms", options.max_compaction_lag);
        add("flush.messages", options.flush_messages);
        add_time("flush.ms", options.flush_interval);
        if (options.message_timestamp_type) {
            all.emplace_back("message.timestamp.type", *options.message_timestamp_type == timestamp_type::append_time ? "LogAppendTime" : "CreateTime");
        }
        if (options.compression_type) {
            if (*options.compression_type == compression::user6 || *options.compression_type == compression::user7) {
                throw_error(errc::unsupported_compression_type, "topic '" + name + "': a Kafka cluster has no codecs of its users'; it has lz4 and zstd");
            }
            all.emplace_back("compression.type", *options.compression_type == compression::none ? "uncompressed" : std::string{to_string(*options.compression_type)});
        }
        return all;
    }

    [[nodiscard]] failure create_new(const std::string& name, const topic_options& options, const topic_settings& with) {
        std::array<char, 512> text{};
        using owned = std::unique_ptr<rd_kafka_NewTopic_t, destroyer<rd_kafka_NewTopic_destroy>>;
        const owned wanted{rd_kafka_NewTopic_new(name.c_str(), options.partitions.value_or(1), options.replication_factor.value_or(-1), text.data(), text.size())};
        const std::string what = "topic '" + name + '\'';
        if (!wanted) {
            return {errc::invalid_config, what + ": " + text.data()};
        }
        for (const auto& [key, value] : with) {
            if (const auto code = rd_kafka_NewTopic_set_config(wanted.get(), key.c_str(), value.c_str()); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                return refusal(code, what);
            }
        }
        const owned_event answer = ask(what + ": it cannot be made", RD_KAFKA_ADMIN_OP_CREATETOPICS, [&](rd_kafka_t* by, rd_kafka_AdminOptions_t* how, rd_kafka_queue_t* to) {
            rd_kafka_NewTopic_t* one = wanted.get();
            rd_kafka_CreateTopics(by, &one, 1, how, to);
        });
        std::size_t count = 0;
        const auto* const* results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(answer.get()), &count);
        for (std::size_t i = 0; i < count; ++i) {
            if (const auto code = rd_kafka_topic_result_error(results[i]); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                return refusal(code, what, rd_kafka_topic_result_error_string(results[i]));
            }
        }
        return {};
    }

    /// Errors    topic_already_exists, in the embedded broker's words.
    void require_agreement(const std::string& name, const topic_options& options, const topic_settings& with, const topic_description& found) {
        const auto require = [&name](const std::string& option, const std::string& has, const std::string& given) {
            if (has != given) {
                throw_error(errc::topic_already_exists, "topic '" + name + "': it was made with " + option + " = " + has + ", not " + given + "; leave the option out to open it as it is");
            }
        };
        if (options.partitions) {
            require("partitions", std::to_string(found.partitions), std::to_string(*options.partitions));
        }
        if (options.replication_factor) {
            require("replication_factor", std::to_string(found.replication_factor), std::to_string(*options.replication_factor));
        }
        if (with.empty()) {
            return;
        }
        using owned = std::unique_ptr<rd_kafka_ConfigResource_t, destroyer<rd_kafka_ConfigResource_destroy>>;
        const owned wanted{rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name.c_str())};
        const std::string what = "topic '" + name + "': its options cannot be compared";
        const owned_event answer = ask(what, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, [&](rd_kafka_t* by, rd_kafka_AdminOptions_t* how, rd_kafka_queue_t* to) {
            rd_kafka_ConfigResource_t* one = wanted.get();
            rd_kafka_DescribeConfigs(by, &one, 1, how, to);
        });
        std::size_t count = 0;
        const auto* const* resources = rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(answer.get()), &count);
        for (std::size_t i = 0; i < count; ++i) {
            if (const auto code = rd_kafka_ConfigResource_error(resources[i]); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
                refusal(code, what, rd_kafka_ConfigResource_error_string(resources[i])).raise();
            }
            std::size_t entries = 0;
            const auto* const* each = rd_kafka_ConfigResource_configs(resources[i], &entries);
            for (std::size_t k = 0; k < entries; ++k) {
                for (const auto& [key, value] : with) {
                    const char* const has = rd_kafka_ConfigEntry_value(each[k]);
                    if (key == rd_kafka_ConfigEntry_name(each[k]) && has != nullptr) {
                        require_same(key, has, value, require);
                    }
                }
            }
        }
    }

    template <class Require>
    static void require_same(const std::string& key, const std::string& has, const std::string& given, const Require& require) {
        if (key == "min.cleanable.dirty.ratio" && std::stod(has) == std::stod(given)) {
            return;  // 0.5 and 0.500000
        }
        require(key, has, given);
    }

    // ---- groups described ----

    bool describe_members(const std::string& id, group_description& into) {
        const char* name = id.c_str();
        const std::string what = "group '" + id + '\'';
        const owned_event answer = ask(what, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, [&](rd_kafka_t* by, rd_kafka_AdminOptions_t* how, rd_kafka_queue_t* to) {
            rd_kafka_DescribeConsumerGroups(by, &name, 1, how, to);
        });
        std::size_t count = 0;
        const auto* const* groups = rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(answer.get()), &count);
        if (count != 1) {
            return false;
        }
        if (const auto* const error = rd_kafka_ConsumerGroupDescription_error(groups[0])) {
            raise(any(), rd_kafka_error_code(error), what, rd_kafka_error_string(error));
        }
        switch (rd_kafka_ConsumerGroupDescription_state(groups[0])) {
            case RD_KAFKA_CONSUMER_GROUP_STATE_STABLE: into.state = group_state::stable; break;
            case RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE:
            case RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE: into.state = group_state::reconciling; break;
            default: into.state = group_state::empty;
        }
        into.generation = -1;  // the answer does not have it
        if (const char* const assignor = rd_kafka_ConsumerGroupDescription_partition_assignor(groups[0])) {
            into.assignor = assignor;
        }
        const std::size_t members = rd_kafka_ConsumerGroupDescription_member_count(groups[0]);
        for (std::size_t i = 0; i < members; ++i) {
            const auto* const one = rd_kafka_ConsumerGroupDescription_member(groups[0], i);
            group_description::member member;
            member.id = rd_kafka_MemberDescription_consumer_id(one);
            if (const char* const instance = rd_kafka_MemberDescription_group_instance_id(one)) {
                member.group_instance_id = instance;
            }
            const auto* const assignment = rd_kafka_MemberAssignment_partitions(rd_kafka_MemberDescription_assignment(one));
            for (int k = 0; assignment != nullptr && k < assignment->cnt; ++k) {
                member.assignment.emplace_back(assignment->elems[k].topic, assignment->elems[k].partition);
            }
            into.members.push_back(std::move(member));
        }
        return members != 0;
    }

    void describe_offsets(const std::string& id, group_description& into) {
        using owned = std::unique_ptr<rd_kafka_ListConsumerGroupOffsets_t, destroyer<rd_kafka_ListConsumerGroupOffsets_destroy>>;
        const owned wanted{rd_kafka_ListConsumerGroupOffsets_new(id.c_str(), nullptr)};
        const std::string what = "committed offsets of group '" + id + '\'';
        const owned_event answer = ask(what, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, [&](rd_kafka_t* by, rd_kafka_AdminOptions_t* how, rd_kafka_queue_t* to) {
            rd_kafka_ListConsumerGroupOffsets_t* one = wanted.get();
            rd_kafka_ListConsumerGroupOffsets(by, &one, 1, how, to);
        });
        std::size_t count = 0;
        const auto* const* groups = rd_kafka_ListConsumerGroupOffsets_result_groups(rd_kafka_event_ListConsumerGroupOffsets_result(answer.get()), &count);
        for (std::size_t i = 0; i < count; ++i) {
            raise_group(groups[i], what);
            const auto* const each = rd_kafka_group_result_partitions(groups[i]);
            for (int k = 0; each != nullptr && k < each->cnt; ++k) {
                const auto& one = each->elems[k];
                group_description::partition described;
                described.topic = one.topic;
                described.number = one.partition;
                if (one.offset >= 0) {
                    described.committed = one.offset;
                }
                if (one.metadata != nullptr) {
                    described.metadata.assign(static_cast<const char*>(one.metadata), one.metadata_size);
                }
                into.partitions.push_back(std::move(described));
            }
        }
        for (const auto& member : into.members) {
            for (const auto& [topic, number] : member.assignment) {
                bool is_known = false;
                for (const auto& one : into.partitions) {
                    is_known = is_known || (one.topic == topic && one.number == number);
                }
                if (!is_known) {
                    group_description::partition described;
                    described.topic = topic;
                    described.number = number;
                    into.partitions.push_back(std::move(described));
                }
            }
        }
        for (auto& one : into.partitions) {
            one.log_end_offset = offsets(one.topic, {one.number}, at_end, false)[0];
            const offset from = one.committed ? *one.committed : offsets(one.topic, {one.number}, at_beginning, false)[0];
            one.lag = one.log_end_offset > from ? one.log_end_offset - from : 0;
        }
    }

    static void sort(std::vector<std::string>& names) {
        std::vector<std::string> sorted;
        for (auto& name : names) {
            insert_at(sorted, count_before(sorted.size(), [&](std::size_t i) { return sorted[i] < name; }), std::move(name));
        }
        names.swap(sorted);
    }

    std::shared_ptr<cluster> cluster_;
    std::mutex mutex_;  // guards what follows while it is made
    std::unique_ptr<client> any_;
    std::unique_ptr<client> committed_;
};

}  // namespace brook::inline BROOK_ABI::kafka
