// What does a cluster cost? Three brokers in three processes over TCP on this machine, beside the same bytes through bare sockets.
//
//   acks::all, batches      one producer on the leader, until a majority has everything. The bound writes each batch into its own
//                           mapped file and to two sockets; at their other ends two processes read into mapped files and hash.
//   one record, then wait   `send(…).get()`. The bound is a datagram of that size to another process and back, by the same
//                           transport: what a quorum takes at least.
//   catch-up                a broker comes back to a partition that has grown meanwhile: from its opening until it has everything.
//                           The bound reads the same bytes from a socket into a mapping that is ready.
//
// Two cores and three processes: what is measured is the work of all three together.
#include <brook/brook.hpp>
#include <brook/replication.hpp>
#include <brook/tcp.hpp>

#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/bare.hpp"
#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/processes.hpp"
#include "support/topics.hpp"

using namespace brook::bench;
using namespace std::chrono_literals;
using asio::ip::tcp;

namespace {

constexpr std::size_t value_bytes = 100;
constexpr std::size_t batch_records = 100;
using value_type = payload<value_bytes>;
using topic_type = brook::topic<brook::no_key, value_type>;

/// Bytes that a batch of those takes in a segment, brook's or the bound's.
constexpr std::size_t batch_bytes = brook::format::frame_header_size + batch_records * (8 + (value_bytes + 7) / 8 * 8);

/// Free just now, on the loopback interface.
std::uint16_t free_port() {
    asio::io_context context;
    return tcp::acceptor{context, {asio::ip::address_v4::loopback(), 0}}.local_endpoint().port();
}

using port_list = std::array<std::uint16_t, 3>;

std::shared_ptr<brook::transport> connect(int node, const port_list& ports) {
    brook::tcp_options options;
    options.node_id = node;
    for (std::size_t i = 0; i < ports.size(); ++i) {
        options.peers.push_back({static_cast<int>(i) + 1, "127.0.0.1:" + std::to_string(ports[i])});
    }
    options.listen = options.peers[static_cast<std::size_t>(node) - 1].address;
    return std::make_shared<brook::tcp_transport>(options);
}

void wait_until(const char* what, const auto& is_so) {
    for (const double end = seconds_now() + 60; !is_so();) {
        if (seconds_now() > end) {
            throw std::runtime_error{std::string{"not within a minute: "} + what};
        }
        std::this_thread::sleep_for(1ms);
    }
}

// ---- brook: this process has broker 1, others have 2 and 3 ----

class node {
public:
    enum order : std::uint32_t { open, close };

    node(int id, std::string directory, const port_list& ports) : id_{id}, directory_{std::move(directory)}, ports_{ports} {}

    std::uint64_t operator()(const helper_process::request& asked) {
        if (asked.what == open) {
            broker_.emplace(directory_, brook::broker_options{.node_id = id_, .peers = {1, 2, 3}, .transport = connect(id_, ports_)});
        } else {
            broker_.reset();
        }
        return 0;
    }

    [[nodiscard]] brook::broker& broker() { return *broker_; }

private:
    int id_;
    std::string directory_;
    port_list ports_;
    std::optional<brook::broker> broker_{};
};

class cluster {
public:
    explicit cluster(const run& bench)
        : directory_{bench.directory()},
          ports_{free_port(), free_port(), free_port()},
          second_{[end = std::make_shared<node>(2, directory_ / "2", ports_)](const auto& asked) { return (*end)(asked); }},
          third_{[end = std::make_shared<node>(3, directory_ / "3", ports_)](const auto& asked) { return (*end)(asked); }} {}

    /// The other processes are there by now: threads may be, too.
    void start() {
        second_.ask(node::open);
        third_.ask(node::open);
        own_.emplace(1, directory_ / "1", ports_);
        (*own_)({node::open, 0});
        second_.await();
        third_.await();
    }

    void open_third() { third_.ask(node::open); }
    void close_third() { third_.call(node::close); }
    void await_third() { third_.await(); }

    /// One that this process's broker leads, as those that have it first among their replicas, and both others follow; the one before is deleted.
    topic_type make_topic() {
        for (;;) {
            if (!name_.empty()) {
                own_->broker().delete_topic(name_);
            }
            name_ = "round" + std::to_string(++rounds_);
            auto made = own_->broker().create_topic<brook::no_key, value_type>(name_, {.replication_factor = 3, .min_insync_replicas = 2});
            const auto partition = made.partition(0);
            if (partition.replication().replicas.front() == 1) {
                wait_until("this process leads a new topic, and two follow", [&] {
                    const auto state = partition.replication();
                    return state.is_leader && state.in_sync.size() == 3 && state.high_watermark == state.log_end_offset;
                });
                return made;
            }
        }
    }

private:
    scratch_directory directory_;
    port_list ports_;
    helper_process second_;
    helper_process third_;
    std::optional<node> own_{};
    std::string name_{};
    std::uint64_t rounds_ = 0;
};

// ---- the bound: sockets and mapped files ----

/// The other end: reads frames from its socket into a mapped file, hashes each, and tells how many it has when it has all.
class bare_follower {
public:
    enum order : std::uint32_t { append, copy };

    explicit bare_follower(std::string path) : path_{std::move(path)}, acceptor_{context_, {asio::ip::address_v4::loopback(), 0}} {}

    [[nodiscard]] tcp::endpoint where() const { return acceptor_.local_endpoint(); }

    std::uint64_t operator()(const helper_process::request& asked) {
        const std::size_t size = asked.number;
        const bare_file file{path_, size, std::size_t{2} << 20};
        const bare_mapping memory{file, bare_mapping::pages::populated};
        tcp::socket from{context_};
        acceptor_.accept(from);
        from.set_option(tcp::no_delay{true});
        const char ready = 'r';
        asio::write(from, asio::buffer(&ready, 1));
        const std::uint64_t sum = asked.what == copy ? asio::read(from, asio::buffer(memory.data(), size)) : append_all(from, memory.data(), size);
        asio::write(from, asio::buffer(&sum, sizeof sum));
        return sum;
    }

private:
    static std::uint64_t append_all(tcp::socket& from, std::byte* data, std::size_t size) {
        std::size_t have = 0;
        std::size_t done = 0;
        while (done < size) {
            have += from.read_some(asio::buffer(data + have, size - have));
            for (; done + sizeof(bare_header) <= have; done += batch_bytes) {
                const auto header = brook::load<bare_header>(data + done);
                if (done + padded(header.size) > have) {
                    break;
                }
                if (brook::format::hash(data + done + sizeof(bare_header), header.size - sizeof(bare_header)) != header.checksum) {
                    throw std::runtime_error{"what came is not what was sent"};
                }
            }
        }
        return done;
    }

    std::string path_;
    asio::io_context context_{};
    tcp::acceptor acceptor_;
};

class bare_fan_out {
public:
    explicit bare_fan_out(const run& bench)
        : directory_{bench.directory()},
          ends_{std::make_shared<bare_follower>(directory_ / "second"), std::make_shared<bare_follower>(directory_ / "third")},
          second_{[end = ends_[0]](const auto& asked) { return (*end)(asked); }},
          third_{[end = ends_[1]](const auto& asked) { return (*end)(asked); }} {}

    /// Each batch into the own file and to both others.
    outcome append(std::uint64_t batches, const std::vector<value_type>& values) {
        const std::size_t size = batches * batch_bytes;
        const bare_file file{directory_ / "first", size, std::size_t{2} << 20};
        const bare_mapping memory{file, bare_mapping::pages::populated};
        second_.ask(bare_follower::append, size);
        third_.ask(bare_follower::append, size);
        tcp::socket to_second = dial(0);
        tcp::socket to_third = dial(1);
        bare_log log{memory.data()};
        const double begin = seconds_now();
        const auto* const bytes = reinterpret_cast<const std::byte*>(values.data());
        for (std::uint64_t i = 0; i < batches; ++i) {
            log.append_batch(bytes + (i % (values.size() / batch_records)) * batch_records * value_bytes, value_bytes, batch_records, stamp());
            const auto sent = asio::buffer(memory.data() + i * batch_bytes, batch_bytes);
            asio::write(to_second, sent);
            asio::write(to_third, sent);
        }
        expect_all(to_second, size);  // two of three would do; the third is as far
        outcome done;
        done.seconds = seconds_now() - begin;
        done.count = batches * batch_records;
        expect_all(to_third, size);
        second_.await();
        third_.await();
        return done;
    }

    outcome copy(std::uint64_t size) {
        const bare_file file{directory_ / "first", size, std::size_t{2} << 20};
        const bare_mapping memory{file, bare_mapping::pages::populated};
        second_.ask(bare_follower::copy, size);
        tcp::socket to_second = dial(0);
        const double begin = seconds_now();
        asio::write(to_second, asio::buffer(memory.data(), size));
        expect_all(to_second, size);
        outcome done;
        done.seconds = seconds_now() - begin;
        done.count = size;
        second_.await();
        return done;
    }

private:
    tcp::socket dial(std::size_t end) {
        tcp::socket made{context_};
        made.connect(ends_[end]->where());
        made.set_option(tcp::no_delay{true});
        char ready = 0;
        asio::read(made, asio::buffer(&ready, 1));  // its file is made
        return made;
    }

    static void expect_all(tcp::socket& from, std::uint64_t size) {
        std::uint64_t have = 0;
        asio::read(from, asio::buffer(&have, sizeof have));
        if (have != size) {
            throw std::runtime_error{"the other end has " + std::to_string(have) + " bytes of " + std::to_string(size)};
        }
    }

    scratch_directory directory_;
    std::array<std::shared_ptr<bare_follower>, 2> ends_;
    helper_process second_;
    helper_process third_;
    asio::io_context context_{};
};

/// A datagram there and back, by brook's transport over TCP.
class bare_quorum {
public:
    bare_quorum() : ports_{free_port(), free_port(), free_port()}, other_{[end = std::make_shared<side>(), ports = ports_](const auto&) { return end->answer(ports); }} {}

    void start() {
        other_.call(0);
        own_ = std::make_unique<side>();
        own_->begin(1, ports_);
        const std::array<std::byte, value_bytes> bytes{};
        wait_until("a datagram comes back", [&] {
            own_->network->send(2, bytes);
            return own_->come.load() > 0;
        });
        std::this_thread::sleep_for(100ms);  // those that were sent meanwhile are back
    }

    outcome trips(std::uint64_t count) {
        const std::array<std::byte, value_bytes> bytes{};
        std::vector<std::uint64_t> times;
        for (std::uint64_t i = 0; i < count; ++i) {
            const std::uint64_t begin = nanoseconds_now();
            const std::uint32_t before = own_->come.load(std::memory_order_acquire);
            own_->network->send(2, bytes);
            own_->come.wait(before, std::memory_order_acquire);
            times.push_back(nanoseconds_now() - begin);
        }
        return timed(std::move(times));
    }

    static outcome timed(std::vector<std::uint64_t> times) {
        outcome done;
        for (const std::uint64_t time : times) {
            done.seconds += static_cast<double>(time) / 1e9;
        }
        done.count = times.size();
        done.latency = percentiles_of(std::move(times));
        return done;
    }

private:
    struct side final : brook::transport::receiver {
        virtual ~side() = default;

        void begin(int id, const port_list& ports) {
            own = id;
            network = connect(id, ports);
            network->start(*this);
        }
        std::uint64_t answer(const port_list& ports) {
            begin(2, ports);
            return 0;
        }
        void receive(int from, brook::bytes datagram) noexcept override {
            if (own == 2) {
                network->send(from, datagram);
            } else {
                come.fetch_add(1, std::memory_order_release);
                come.notify_one();
            }
        }

        int own = 0;
        std::atomic<std::uint32_t> come{0};
        std::shared_ptr<brook::transport> network{};
    };

    port_list ports_;
    helper_process other_;
    std::unique_ptr<side> own_{};
};

// ---- contenders ----

void send_batches(const topic_type& to, std::uint64_t batches, const std::vector<value_type>& values) {
    brook::producer sender{to};
    std::vector<std::vector<value_type>> prepared;
    for (std::size_t i = 0; i + batch_records <= values.size(); i += batch_records) {
        prepared.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(i), values.begin() + static_cast<std::ptrdiff_t>(i + batch_records));
    }
    for (std::uint64_t i = 0; i < batches; ++i) {
        sender.send_batch(0, prepared[i % prepared.size()]);
    }
    sender.flush();
}

outcome append(run& bench, cluster& all, std::uint64_t batches, const std::vector<value_type>& values) {
    const auto topic = all.make_topic();
    const brook::offset first = topic.partition(0).log_end_offset();  // each beginning of a leader takes one
    const double begin = seconds_now();
    send_batches(topic, batches, values);
    outcome done;
    done.seconds = seconds_now() - begin;
    done.count = batches * batch_records;
    bench.expect_equal(topic.partition(0).replication().high_watermark - first, done.count, "records committed");
    return done;
}

outcome send_and_wait(run& bench, cluster& all, std::uint64_t count, const std::vector<value_type>& values) {
    const auto topic = all.make_topic();
    brook::producer sender{topic};
    const brook::offset first = topic.partition(0).log_end_offset();
    brook::offset last = first - 1;
    std::vector<std::uint64_t> times;
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t begin = nanoseconds_now();
        last = sender.send(values[i % values.size()]).get().offset;
        times.push_back(nanoseconds_now() - begin);
    }
    bench.expect_equal(last - first + 1, count, "offsets given");
    return bare_quorum::timed(std::move(times));
}

outcome catch_up(run& bench, cluster& all, std::uint64_t batches, const std::vector<value_type>& values) {
    const auto topic = all.make_topic();
    const auto partition = topic.partition(0);
    all.close_third();
    send_batches(topic, batches, values);
    const brook::offset end = partition.replication().log_end_offset;
    const double begin = seconds_now();
    all.open_third();
    wait_until("the third broker has everything", [&] {
        const auto followers = partition.replication().followers;
        return std::any_of(followers.begin(), followers.end(), [&](const auto& one) { return one.node_id == 3 && one.log_end_offset >= end; });
    });
    outcome done;
    done.seconds = seconds_now() - begin;
    done.count = batches * batch_bytes;
    all.await_third();
    bench.expect_equal(partition.log_end_offset(), end, "records there");
    return done;
}

}  // namespace

int main(int argc, char** argv) {
    return run_main(argc, argv, "replication/cluster: three processes over TCP", [](run& bench) {
        const std::uint64_t batches = bench.parameter("batches", 200, 10'000);
        const std::uint64_t trips = bench.parameter("trips", 200, 10'000);
        const std::uint64_t catch_up_mib = bench.parameter("catch_up_mib", 8, 1'024);
        const std::uint64_t rounds = bench.parameter("rounds", 1, 7);
        const std::uint64_t behind = (catch_up_mib << 20) / batch_bytes;
        const auto values = payloads<value_bytes>(64 * batch_records);
        cluster all{bench};
        bare_fan_out sockets{bench};
        bare_quorum quorum;
        bench.print_baselines();
        quorum.start();
        all.start();

        contest batched{bench, "acks::all, batches of 100 x 100 B, until all is acknowledged"};
        const auto written = batched.add("two sockets and three mapped files", [&] { return sockets.append(batches, values); });
        const auto replicated = batched.add("brook send_batch, flush", [&] { return append(bench, all, batches, values); });
        batched.go(rounds);
        batched.at_least(replicated, written, 0.5);

        contest single{bench, "one record of 100 B, acknowledged by a quorum"};
        const auto returned = single.add("a datagram there and back", [&] { return quorum.trips(trips); });
        const auto acknowledged = single.add("brook send, get", [&] { return send_and_wait(bench, all, trips, values); });
        single.go(rounds);
        single.latency_at_most(acknowledged, returned, 3);

        contest far{bench, "catch-up of a follower, bytes"};
        const auto copied = far.add("one socket into a mapping", [&] { return sockets.copy(behind * batch_bytes); });
        const auto followed = far.add("brook, from opening to having all", [&] { return catch_up(bench, all, behind, values); });
        far.go(std::min<std::uint64_t>(rounds, 3));
        far.at_least(followed, copied, 0.6);
    });
}
