/// \file peers/redis.hpp
/// Redis Streams: a server of its own on a Unix socket, XADD in pipelines.
#pragma once

#include <hiredis/hiredis.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "peers/peer.hpp"
#include "peers/server.hpp"
#include "support/bench.hpp"

namespace brook::bench {

class redis_peer final : public peer {
public:
    redis_peer() {
        if (!has_command("redis-server")) {
            fail("Redis", "redis-server is not installed");
        }
    }

    [[nodiscard]] std::string name() const override { return "Redis Streams"; }
    [[nodiscard]] std::string version() const override { return version_of_command("redis-server --version", "v="); }
    [[nodiscard]] std::string how() const override {
        return "XADD over a Unix socket, a connection for each writer; lone records wait for their answer, batches are pipelines of 100 with the "
               "next on its way; "
               "visible: memory only; synced: appendonly yes, appendfsync always, so that commands that wait share a sync. Its server is a "
               "process of its own";
    }

    void open(const std::string& directory, const workload& what) override {
        start(directory, what);
        for (std::uint32_t i = 0; i < workload::most_batch; ++i) {
            commands_.push_back(command_of(what.values + std::size_t{i} * what.value_bytes, what.value_bytes));
        }
        for (unsigned i = 0; i < what.writers; ++i) {
            writers_.push_back(connect());
        }
    }

    bool reopen(const std::string& directory, const workload& what) override {
        start(directory, what);
        return what.level == durability::synced;
    }

    void write(unsigned number, const workload& what, share& mine) override {
        redisContext* const to = writers_[number].get();
        const bool waits = what.batch == 1 || what.level == durability::synced;
        std::uint32_t unanswered = 0;
        const auto hear = [&](std::uint32_t count) {
            for (; count > 0; --count, --unanswered) {
                static_cast<void>(next_reply(to));
            }
        };
        write_share(what, mine, [&](std::uint64_t first, std::uint32_t count) {
            for (std::uint32_t i = 0; i < count; ++i) {
                const std::string& command = commands_[count == 1 ? first % workload::turns : i];
                check(redisAppendFormattedCommand(to, command.data(), command.size()) == REDIS_OK, to);
            }
            unanswered += count;
            if (waits) {
                hear(unanswered);
            } else {
                send_all(to);
                hear(unanswered - count);  // of the pipeline before
            }
        });
        hear(unanswered);
    }

    found read() override {
        const connection from = connect();
        return timed_read([&](found& all) {
            for (std::string last = "-";;) {
                const reply some{static_cast<redisReply*>(redisCommand(from.get(), "XRANGE log %s + COUNT 1000", last.c_str()))};
                check(some != nullptr && some->type == REDIS_REPLY_ARRAY, from.get());
                if (some->elements == 0) {
                    break;
                }
                for (std::size_t i = 0; i < some->elements; ++i) {
                    all.sum += first_byte(value_of(*some->element[i]));
                    ++all.records;
                }
                last = std::string{"("} + some->element[some->elements - 1]->element[0]->str;
            }
        });
    }

    [[nodiscard]] double handover_rate() const override { return 2'000; }

    std::vector<std::uint64_t> hand_over(const workload& what, std::uint64_t records, double rate) override {
        const connection from = connect();
        std::string last = "0";
        std::vector<std::byte> value(what.value_bytes);
        redisContext* const to = writers_.front().get();
        return pace(
            records, rate,
            [&](std::uint64_t due) {
                std::memcpy(value.data(), &due, sizeof due);
                const std::string command = command_of(value.data(), what.value_bytes);
                check(redisAppendFormattedCommand(to, command.data(), command.size()) == REDIS_OK, to);
                static_cast<void>(next_reply(to));
            },
            [&](const auto& look) {
                const reply some{static_cast<redisReply*>(redisCommand(from.get(), "XREAD COUNT 1000 BLOCK 100 STREAMS log %s", last.c_str()))};
                check(some != nullptr && some->type != REDIS_REPLY_ERROR, from.get());
                if (some->type != REDIS_REPLY_ARRAY || some->elements == 0) {
                    return;
                }
                const redisReply& entries = *some->element[0]->element[1];
                for (std::size_t i = 0; i < entries.elements; ++i) {
                    look(value_of(*entries.element[i]));
                }
                last = entries.element[entries.elements - 1]->element[0]->str;
            });
    }

    void close() override {
        writers_.clear();
        commands_.clear();
        server_.reset();
    }

private:
    struct free_context {
        void operator()(redisContext* one) const noexcept { redisFree(one); }
    };
    struct free_reply {
        void operator()(redisReply* one) const noexcept { freeReplyObject(one); }
    };
    using connection = std::unique_ptr<redisContext, free_context>;
    using reply = std::unique_ptr<redisReply, free_reply>;

    static void check(bool is_good, const redisContext* on) {
        if (!is_good) {
            fail("Redis", on != nullptr && on->err != 0 ? on->errstr : "an answer that is none");
        }
    }

    [[nodiscard]] static std::string command_of(const std::byte* value, std::uint32_t size) {
        std::array<const char*, 5> words{"XADD", "log", "*", "v", reinterpret_cast<const char*>(value)};
        const std::array<std::size_t, 5> sizes{4, 3, 1, 1, size};
        char* text = nullptr;
        const auto length = redisFormatCommandArgv(&text, 5, words.data(), sizes.data());
        check(length > 0, nullptr);
        std::string made(text, static_cast<std::size_t>(length));
        redisFreeCommand(text);
        return made;
    }

    /// An entry is its number and its fields: here "v", and the value.
    [[nodiscard]] static const void* value_of(const redisReply& entry) { return entry.element[1]->element[1]->str; }

    static reply next_reply(redisContext* from) {
        void* heard = nullptr;
        check(redisGetReply(from, &heard) == REDIS_OK, from);
        reply one{static_cast<redisReply*>(heard)};
        if (one->type == REDIS_REPLY_ERROR) {
            fail("Redis", one->str);
        }
        return one;
    }

    static void send_all(redisContext* to) {
        for (int is_done = 0; is_done == 0;) {
            check(redisBufferWrite(to, &is_done) == REDIS_OK, to);
        }
    }

    [[nodiscard]] connection connect() const {
        connection made{redisConnectUnix(socket_.c_str())};
        check(made != nullptr && made->err == 0, made.get());
        return made;
    }

    void start(const std::string& directory, const workload& what) {
        sockets_.emplace(std::filesystem::temp_directory_path().string());
        socket_ = *sockets_ / "redis";
        std::vector<std::string> command{"redis-server", "--port", "0", "--unixsocket", socket_, "--dir", directory, "--save", ""};
        if (what.level == durability::synced) {
            command.insert(command.end(), {"--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"});
        }
        server_.emplace(std::move(command), directory + "/redis.log");
        server_->await([&] {
            const connection tried{redisConnectUnix(socket_.c_str())};
            if (tried == nullptr || tried->err != 0) {
                return false;
            }
            const reply heard{static_cast<redisReply*>(redisCommand(tried.get(), "PING"))};
            return heard != nullptr && heard->type == REDIS_REPLY_STATUS;  // an error while it loads
        });
    }

    std::optional<scratch_directory> sockets_;  // not beside the data: the name of a socket has room for 107 bytes, and no more
    std::optional<server_process> server_;
    std::string socket_;
    std::vector<std::string> commands_;
    std::vector<connection> writers_;
};

}  // namespace brook::bench
