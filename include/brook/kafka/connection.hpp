/// \file brook/kafka/connection.hpp
/// The way to a cluster: librdkafka's handles, made from options, and what they report.
/// Edge of floor 6, kafka.
#pragma once

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <brook/broker/core.hpp>
#include <brook/broker/topic_meta.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/core/ordered.hpp>
#include <brook/core/types.hpp>
#include <brook/kafka/join_watch.hpp>
#include <brook/kafka/options.hpp>
#include <brook/kafka/refusal.hpp>
#include <brook/os/posix.hpp>

namespace brook::inline BROOK_ABI::kafka {

/// librdkafka counts timeouts in milliseconds, in an int: never less than asked for.
[[nodiscard]] inline int milliseconds_of(std::chrono::nanoseconds time) noexcept {
    constexpr auto most = std::chrono::milliseconds{std::chrono::hours{24 * 24}};
    const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(time);
    return static_cast<int>(time.count() <= 0 ? 0 : (rounded < most ? rounded : most).count());
}

/// Kafka's timestamps are milliseconds; what brook has beyond them is cut.
[[nodiscard]] inline std::int64_t milliseconds_of(timestamp time) noexcept {
    return std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
}
[[nodiscard]] inline timestamp time_of(std::int64_t milliseconds) noexcept {
    constexpr std::int64_t most = std::chrono::nanoseconds::max().count() / 1'000'000;
    return timestamp{std::chrono::nanoseconds{std::chrono::milliseconds{milliseconds > most ? most : milliseconds < -most ? -most : milliseconds}}};
}

/// A moment to be through by.
class deadline {
public:
    explicit deadline(std::chrono::nanoseconds longest) : end_{moment_after(os::posix().monotonic(), longest)} {}

    [[nodiscard]] std::chrono::nanoseconds left() const {
        const auto left = end_ - os::posix().monotonic();
        return left.count() > 0 ? left : std::chrono::nanoseconds{};
    }
    [[nodiscard]] bool is_over() const { return left().count() == 0; }

private:
    std::chrono::nanoseconds end_;
};

/// What all handles of one kafka::broker share: where the cluster is, what was told, what went wrong.
///
/// Threads   shared.
class cluster {
public:
    /// Errors    invalid_config: no address in it.
    cluster(std::string bootstrap, broker_options given) : options{std::move(given)}, bootstrap_servers{std::move(bootstrap)} {
        if (!has_address(bootstrap_servers)) {
            throw_error(errc::invalid_config, "kafka cluster '" + bootstrap_servers + "': it has no address; give one such as host:9092, or several with commas");
        }
    }

    const broker_options options;
    const std::string bootstrap_servers;
    std::atomic<bool> is_closed{false};

    void require_open(const std::string& what) const {
        if (is_closed.load(std::memory_order_relaxed)) {
            throw_error(errc::closed, what + ": its broker is closed");
        }
    }

    /// Notes what no caller is told of.
    void report(const failure& why) noexcept {
        try {
            {
                const std::scoped_lock guard{mutex_};
                if (errors_.size() == most_errors) {
                    erase_at(errors_, 0);
                }
                errors_.push_back(why);
            }
            if (options.on_error) {
                options.on_error(why);
            }
        } catch (...) {  // no memory to note it, or the user's function threw: there is nobody else to tell
        }
    }

    /// The same of what a catch clause has caught, whatever it is: a user's function was called by librdkafka, which is C.
    void report_caught() noexcept {
        try {
            try {
                throw;
            } catch (const std::exception& thrown) {
                report(failure_of(thrown));
            } catch (...) {
                report({errc::illegal_state, "what a function of the user's threw is no std::exception"});
            }
        } catch (const std::exception&) {  // no memory for a text
        }
    }

    [[nodiscard]] broker_health health() const {
        const std::scoped_lock guard{mutex_};
        return {errors_};
    }

    /// Kafka keeps no types: who opens a topic here under others than before is told so, as the embedded broker would.
    /// Errors    schema_mismatch.
    void require_types(const std::string& topic, const broker_room::schema& key, const broker_room::schema& value) {
        const std::scoped_lock guard{mutex_};
        for (const auto& known : types_) {
            if (known.topic == topic) {
                broker_room::topic_meta meta;
                meta.key = known.key;
                meta.value = known.value;
                if (const failure why = meta.refuse_types(topic, key, value)) {
                    why.raise();
                }
                return;
            }
        }
        types_.push_back({topic, key, value});
    }

    void forget_types(std::string_view topic) {
        const std::scoped_lock guard{mutex_};
        for (std::size_t i = types_.size(); i-- > 0;) {
            if (types_[i].topic == topic) {
                erase_at(types_, i);
            }
        }
    }

private:
    [[nodiscard]] static bool has_address(std::string_view servers) noexcept {
        while (!servers.empty()) {
            const std::size_t end = servers.find(',');
            const std::string_view one = servers.substr(0, end);
            const std::size_t first = one.find_first_not_of(" \t");
            if (first != std::string_view::npos && one[first] != ':') {
                return true;
            }
            servers.remove_prefix(end == std::string_view::npos ? servers.size() : end + 1);
        }
        return false;
    }

    static constexpr std::size_t most_errors = 64;
    struct types_of {
        std::string topic;
        broker_room::schema key;
        broker_room::schema value;
    };

    mutable std::mutex mutex_;  // guards what follows
    std::vector<failure> errors_;
    std::vector<types_of> types_;
};

/// librdkafka's settings on their way into a handle.
class settings {
public:
    explicit settings(const cluster& of) : conf_{rd_kafka_conf_new()} {
        set("bootstrap.servers", of.bootstrap_servers);
        set("client.id", of.options.client_id);
        set("reconnect.backoff.max.ms", 1'000);  // Kafka's; librdkafka's 10 s is how late it sees what has timed out while nobody is connected
    }

    /// Errors    invalid_config, in librdkafka's own words.
    void set(const std::string& name, const std::string& value) {
        std::array<char, 512> text{};
        if (rd_kafka_conf_set(conf_.get(), name.c_str(), value.c_str(), text.data(), text.size()) != RD_KAFKA_CONF_OK) {
            throw_error(errc::invalid_config, "kafka setting '" + name + "': " + text.data());
        }
    }
    void set(const std::string& name, std::int64_t value) { set(name, std::to_string(value)); }

    /// What the user said, last.
    void set(const properties& given) {
        for (const auto& [name, value] : given) {
            for (const std::string_view ours : {"enable.auto.commit", "enable.auto.offset.store", "enable.partition.eof", "allow.auto.create.topics", "group.id",
                                                "transactional.id", "bootstrap.servers", "metadata.broker.list"}) {
                if (name == ours) {
                    throw_error(errc::invalid_config, "kafka setting '" + name + "': brook sets this one itself; see its options");
                }
            }
            set(name, value);
        }
        const auto said = [&](std::string_view name) { return std::any_of(given.begin(), given.end(), [&](const auto& one) { return one.first == name; }); };
        if (said("reconnect.backoff.ms") && !said("reconnect.backoff.max.ms") && value_of("reconnect.backoff.ms") > value_of("reconnect.backoff.max.ms")) {
            set("reconnect.backoff.max.ms", value_of("reconnect.backoff.ms"));  // ours is less, and librdkafka would refuse the two
        }
    }

    [[nodiscard]] rd_kafka_conf_t* get() const noexcept { return conf_.get(); }
    [[nodiscard]] rd_kafka_conf_t* release() noexcept { return conf_.release(); }

private:
    [[nodiscard]] std::int64_t value_of(const char* name) const {
        std::array<char, 32> text{};
        std::size_t size = text.size();
        return rd_kafka_conf_get(conf_.get(), name, text.data(), &size) == RD_KAFKA_CONF_OK ? std::strtoll(text.data(), nullptr, 10) : 0;
    }

    owned_conf conf_;
};

/// One of librdkafka's handles, and what it reports.
///
/// Lifetime  whatever comes from it (messages, topics) goes first.
/// Threads   shared.
class client {
public:
    /// `settings` may have callbacks; their opaque is this client, its `owner` whatever is given here.
    /// Errors    invalid_config: settings that contradict each other.
    client(std::shared_ptr<cluster> of, rd_kafka_type_t type, settings from, void* owner = nullptr) : cluster_{std::move(of)}, owner_{owner} {
        rd_kafka_conf_set_opaque(from.get(), this);
        rd_kafka_conf_set_log_cb(from.get(), log);
        if (type == RD_KAFKA_CONSUMER) {
            joins_.watch(from.get());
            rd_kafka_conf_set_error_cb(from.get(), [](rd_kafka_t* handle, int code, const char* reason, void* self) {
                static_cast<client*>(self)->note(handle, static_cast<rd_kafka_resp_err_t>(code), reason);
            });
        }
        std::array<char, 512> text{};
        rd_kafka_t* const made = rd_kafka_new(type, from.get(), text.data(), text.size());
        if (made == nullptr) {
            throw_error(errc::invalid_config, "kafka client of '" + cluster_->bootstrap_servers + "': " + text.data());
        }
        static_cast<void>(from.release());  // it is the handle's now
        handle_ = made;
        if (const owned_queue background{rd_kafka_queue_get_background(made)}) {  // it has one if an event callback was set: events go there by themselves
            const owned_queue main{rd_kafka_queue_get_main(made)};
            rd_kafka_queue_forward(main.get(), background.get());
        }
    }
    client(const client&) = delete;
    client& operator=(const client&) = delete;
    ~client() { rd_kafka_destroy(handle_); }

    /// One that must not be destroyed: its threads stay, silent, as long as the process.
    static void keep_for_ever(const std::shared_ptr<client>& which) noexcept {
        rd_kafka_set_log_level(which->get(), 0);  // whom on_log speaks to may be gone
        alignas(std::shared_ptr<client>) std::array<std::byte, sizeof(std::shared_ptr<client>)> owner;
        static_cast<void>(::new (owner.data()) std::shared_ptr<client>{which});  // an owner that nobody ends
    }

    [[nodiscard]] rd_kafka_t* get() const noexcept { return handle_; }
    [[nodiscard]] cluster& of() const noexcept { return *cluster_; }
    [[nodiscard]] const std::shared_ptr<cluster>& shared() const noexcept { return cluster_; }
    [[nodiscard]] void* owner() const noexcept { return owner_; }

    /// Of its group, where it is a member of one.
    [[nodiscard]] join_watch& joins() noexcept { return joins_; }

    /// A new object, named, that librdkafka keeps as long as it is used.
    [[nodiscard]] owned_topic topic(const std::string& name) const {
        owned_topic made{rd_kafka_topic_new(handle_, name.c_str(), nullptr)};
        if (!made) {
            refusal(rd_kafka_last_error(), "topic '" + name + '\'').raise();
        }
        return made;
    }

    /// Something went wrong beside all calls. What is about who we are is kept for them: no retry helps.
    void note(rd_kafka_t* handle, rd_kafka_resp_err_t code, const char* reason) {
        std::array<char, 512> text{};
        if (code == RD_KAFKA_RESP_ERR__FATAL) {
            code = rd_kafka_fatal_error(handle, text.data(), text.size());
            reason = text.data();
        }
        const failure why = refusal(code, "kafka cluster '" + cluster_->bootstrap_servers + '\'', reason);
        if (is_about_identity(code)) {
            const std::scoped_lock guard{mutex_};
            refused_ = why;
        }
        if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {  // which comes after the reason
            remember(reason);
        }
        cluster_->report(why);
    }

    /// The cluster does not believe who we are; success when there is no such thing. Told once.
    [[nodiscard]] failure take_refused() {
        const std::scoped_lock guard{mutex_};
        return std::exchange(refused_, {});
    }

    /// Nobody has answered a call in `time`: timed_out, whatever the reason, which is told as far as librdkafka has one.
    [[nodiscard]] failure unanswered(const std::string& what, std::chrono::nanoseconds time) const {
        const int ms = milliseconds_of(time);
        std::string text = what + ": nobody answered at '" + cluster_->bootstrap_servers + "' for " + (ms % 1'000 == 0 ? std::to_string(ms / 1'000) + " s" : std::to_string(ms) + " ms");
        const std::scoped_lock guard{mutex_};
        if (!reason_.empty()) {
            text += "; the last reason: " + reason_;
        }
        return {errc::timed_out, std::move(text)};
    }

    /// Somebody has: what was wrong before is no reason any more.
    void forget_reason() noexcept {
        const std::scoped_lock guard{mutex_};
        reason_.clear();
    }

private:
    static void log(const rd_kafka_t* handle, int level, const char* facility, const char* text) {
        auto* const self = static_cast<client*>(rd_kafka_opaque(handle));
        if (self == nullptr) {
            return;
        }
        try {
            if (std::string_view{facility} == "FAIL") {  // of a connection; told here before anybody polls the handle
                const std::string_view all{text};
                const std::size_t thread = all.starts_with("[thrd:") ? all.find("]: ") : std::string_view::npos;
                self->remember(thread == std::string_view::npos ? all : all.substr(thread + 3));
            }
            if (self->cluster_->options.on_log) {
                self->cluster_->options.on_log(level, facility, text);
            }
        } catch (...) {  // it must not pass through C
            self->cluster_->report_caught();
        }
    }

    void remember(std::string_view reason) {
        const std::scoped_lock guard{mutex_};
        reason_ = reason;
    }

    std::shared_ptr<cluster> cluster_;
    void* owner_;
    join_watch joins_;
    rd_kafka_t* handle_ = nullptr;
    mutable std::mutex mutex_;  // guards what follows
    failure refused_;
    std::string reason_;  // why nobody answers, as far as it was told
};

}  // namespace brook::inline BROOK_ABI::kafka
