/// \file peers/nats.hpp
/// NATS JetStream: a server of its own on the loopback interface, a stream in files.
#pragma once

#include <nats/nats.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "peers/peer.hpp"
#include "peers/server.hpp"

namespace brook::bench {

class nats_peer final : public peer {
public:
    nats_peer() {
        if (!has_command("nats-server")) {
            fail("NATS", "nats-server is not installed");
        }
        version_ = version_of_command("nats-server --version", "v");
    }

    [[nodiscard]] std::string name() const override { return "NATS JetStream"; }
    [[nodiscard]] std::string version() const override { return version_; }
    [[nodiscard]] std::string how() const override {
        return "a stream in files over TCP on the loopback interface, a connection for each writer; lone records wait for their acknowledgement, "
               "batches are published asynchronously, 4,096 on their way, and acknowledged before the clock stops; read by an ordered push consumer; synced: sync_interval always (2.10 "
               "or later). Its server is a process of its own, and checksums";
    }

    [[nodiscard]] std::string why_not(const workload& what) const override {
        int major = 0;
        int minor = 0;
        const bool is_known = std::sscanf(version_.c_str(), "%d.%d", &major, &minor) == 2;
        const bool is_able = !is_known || major != 2 || minor >= 10;
        return what.level == durability::synced && !is_able ? "it cannot sync each record before 2.10, and this is " + version_ : "";
    }

    void open(const std::string& directory, const workload& what) override {
        start(directory, what);
        const client first{port_, what};
        jsStreamConfig stream;
        check(jsStreamConfig_Init(&stream), "stream");
        const char* subject = "log";
        stream.Name = "L";
        stream.Subjects = &subject;
        stream.SubjectsLen = 1;
        stream.Storage = js_FileStorage;
        jsErrCode why{};
        check(js_AddStream(nullptr, first.stream, &stream, nullptr, &why), "js_AddStream");
        for (unsigned i = 0; i < what.writers; ++i) {
            writers_.push_back(std::make_unique<client>(port_, what));
        }
    }

    bool reopen(const std::string& directory, const workload& what) override {
        start(directory, what);
        return true;
    }

    void write(unsigned number, const workload& what, share& mine) override {
        client& to = *writers_[number];
        const auto size = static_cast<int>(what.value_bytes);
        if (what.batch == 1) {
            write_share(what, mine, [&](std::uint64_t first, std::uint32_t) { to.publish(what.value(first, 0), size); });
            return;
        }
        write_share(what, mine, [&](std::uint64_t first, std::uint32_t count) {
            for (std::uint32_t i = 0; i < count; ++i) {
                check(js_PublishAsync(to.stream, "log", what.value(first, i), size, nullptr), "js_PublishAsync");
            }
            if (what.level == durability::synced) {
                to.await_all();
            }
        });
        to.await_all();
    }

    found read() override {
        const client from{port_, workload{}};
        jsStreamInfo* info = nullptr;
        jsErrCode why{};
        check(js_GetStreamInfo(&info, from.stream, "L", nullptr, &why), "js_GetStreamInfo");
        const std::uint64_t most = info->State.Msgs;
        jsStreamInfo_Destroy(info);
        return timed_read([&](found& all) {
            const subscription to{from};
            while (all.records < most) {
                to.next(10'000, [&](const void* value) { all.sum += first_byte(value); });
                ++all.records;
            }
        });
    }

    [[nodiscard]] double handover_rate() const override { return 2'000; }

    std::vector<std::uint64_t> hand_over(const workload& what, std::uint64_t records, double rate) override {
        const client from{port_, what};
        const subscription to{from};
        std::vector<std::byte> value(what.value_bytes);
        return pace(
            records, rate,
            [&](std::uint64_t due) {
                std::memcpy(value.data(), &due, sizeof due);
                writers_.front()->publish(value.data(), static_cast<int>(value.size()));
            },
            [&](const auto& look) { to.next(100, look); });
    }

    void close() override {
        writers_.clear();
        server_.reset();
    }

private:
    static void check(natsStatus status, const char* what) {
        if (status != NATS_OK) {
            fail(std::string{"NATS "} + what, natsStatus_GetText(status));
        }
    }

    struct client {
        client(std::uint16_t port, const workload& what) {
            check(natsConnection_ConnectTo(&connection, ("nats://127.0.0.1:" + std::to_string(port)).c_str()), "connect");
            jsOptions options;
            check(jsOptions_Init(&options), "options");
            options.PublishAsync.MaxPending = static_cast<std::int64_t>(std::min<std::uint64_t>(4'096, (std::uint64_t{64} << 20) / what.value_bytes));
            check(natsConnection_JetStream(&stream, connection, &options), "JetStream");
        }
        client(const client&) = delete;
        client& operator=(const client&) = delete;
        ~client() {
            jsCtx_Destroy(stream);
            natsConnection_Destroy(connection);
        }

        void publish(const void* value, int size) const {
            jsErrCode why{};
            check(js_Publish(nullptr, stream, "log", value, size, nullptr, &why), "js_Publish");
        }
        void await_all() const {
            jsPubOptions options;
            check(jsPubOptions_Init(&options), "options");
            options.MaxWait = 30'000;
            check(js_PublishAsyncComplete(stream, &options), "js_PublishAsyncComplete");
        }

        natsConnection* connection = nullptr;
        jsCtx* stream = nullptr;
    };

    struct subscription {
        explicit subscription(const client& from) {
            jsSubOptions options;
            check(jsSubOptions_Init(&options), "options");
            options.Ordered = true;
            jsErrCode why{};
            check(js_SubscribeSync(&held, from.stream, "log", nullptr, &options, &why), "js_SubscribeSync");
            check(natsSubscription_SetPendingLimits(held, -1, -1), "pending limits");
        }
        subscription(const subscription&) = delete;
        subscription& operator=(const subscription&) = delete;
        ~subscription() {
            static_cast<void>(natsSubscription_Unsubscribe(held));
            natsSubscription_Destroy(held);
        }

        /// Waits for one record. For short waits none is no error.
        template <class Look>
        void next(std::int64_t milliseconds, const Look& look) const {
            natsMsg* heard = nullptr;
            const natsStatus status = natsSubscription_NextMsg(&heard, held, milliseconds);
            if (status == NATS_TIMEOUT && milliseconds < 1'000) {
                return;
            }
            check(status, "next record");
            look(natsMsg_GetData(heard));
            natsMsg_Destroy(heard);
        }

        natsSubscription* held = nullptr;
    };

    void start(const std::string& directory, const workload& what) {
        port_ = free_port();
        const std::string configuration = directory + "/nats.conf";
        std::ofstream{configuration} << "listen: \"127.0.0.1:" << port_ << "\"\njetstream {\n  store_dir: \"" << directory << "/nats\"\n  "
                                                            "max_file_store: 8GB\n"
                                     << (what.level == durability::synced ? "  sync_interval: always\n" : "") << "}\n";
        server_.emplace(std::vector<std::string>{"nats-server", "-c", configuration}, directory + "/nats.log");
        server_->await([&] {
            natsConnection* tried = nullptr;
            jsCtx* stream = nullptr;
            jsAccountInfo* account = nullptr;
            jsErrCode why{};
            const bool is_up = natsConnection_ConnectTo(&tried, ("nats://127.0.0.1:" + std::to_string(port_)).c_str()) == NATS_OK &&
                               natsConnection_JetStream(&stream, tried, nullptr) == NATS_OK && js_GetAccountInfo(&account, stream, nullptr, &why) == NATS_OK;
            jsAccountInfo_Destroy(account);
            jsCtx_Destroy(stream);
            natsConnection_Destroy(tried);
            return is_up;
        });
    }

    std::string version_;
    std::uint16_t port_ = 0;
    std::optional<server_process> server_;
    std::vector<std::unique_ptr<client>> writers_;
};

}  // namespace brook::bench
