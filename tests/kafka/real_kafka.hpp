/// \file kafka/real_kafka.hpp
/// Apache Kafka itself, one node in KRaft mode on loopback, started, killed and started again by a test.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <brook/kafka.hpp>

#include "kafka/tcp_proxy.hpp"
#include "kafka/worlds.hpp"
#include "support/await_end.hpp"
#include "support/temp_directory.hpp"

namespace brook::test {

/// Its jars: "folder/*", as java -cp takes them. with_kafka.sh sees to it.
[[nodiscard]] inline std::string kafka_classpath() {
    const char* const given = std::getenv("BROOK_KAFKA_CLASSPATH");
    if (given == nullptr) {
        throw std::runtime_error{"BROOK_KAFKA_CLASSPATH is not set: run this by tests/kafka/with_kafka.sh"};
    }
    return given;
}

/// Runs a program; standard output goes to a file where one is named, standard input comes from one.
[[nodiscard]] inline pid_t run_program(const std::vector<std::string>& words, const std::string& output = "/dev/null", const std::string& input = "/dev/null") {
    const pid_t child = ::fork();
    if (child < 0) {
        throw std::system_error{errno, std::system_category(), "fork"};
    }
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int from = ::open(input.c_str(), O_RDONLY);
        const int to = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
        ::dup2(from, 0);
        ::dup2(to, 1);
        ::dup2(to, 2);
        std::vector<char*> arguments;
        for (const auto& one : words) {
            arguments.push_back(const_cast<char*>(one.c_str()));
        }
        arguments.push_back(nullptr);
        ::execvp(arguments[0], arguments.data());
        ::_exit(127);
    }
    return child;
}

/// Waits for it. Returns   what it wrote. Errors    it did not exit with 0.
inline std::string run_to_end(const std::vector<std::string>& words, const std::string& output, const std::string& input = "/dev/null") {
    const int status = await_end(run_program(words, output, input));
    std::ifstream file{output};
    std::stringstream text;
    text << file.rdbuf();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        throw std::runtime_error{words[0] + " failed: " + text.str().substr(0, 2'000)};
    }
    return text.str();
}

class kafka_server {
public:
    kafka_server() : port_{free_port()}, sasl_port_{free_port()}, controller_port_{free_port()}, proxied_port_{free_port()}, proxy_{proxied_port_} {
        std::ofstream file{settings()};
        const auto at = [](int port) { return "127.0.0.1:" + std::to_string(port); };
        file << "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@" << at(controller_port_) << "\nlisteners=PLAINTEXT://" << at(port_) << ",SASL_PLAINTEXT://"
             << at(sasl_port_) << ",CONTROLLER://" << at(controller_port_) << ",PROXIED://" << at(proxied_port_) << "\nadvertised.listeners=PLAINTEXT://" << at(port_)
             << ",SASL_PLAINTEXT://" << at(sasl_port_) << ",PROXIED://" << proxy_.address()
             << "\ncontroller.listener.names=CONTROLLER\nlistener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT\n"
                "sasl.enabled.mechanisms=PLAIN\nlistener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
                "user_tester=\"secret\";\nlog.dirs="
             << directory_ / "data"
             << "\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\ntransaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"
                "transaction.state.log.num.partitions=4\ngroup.initial.rebalance.delay.ms=0\ngroup.min.session.timeout.ms=1000\nmessage.max.bytes=2000000\n"
                "log.retention.ms=-1\n";  // records of these tests have old times, by which Kafka would forget them
        file.close();
        static_cast<void>(run_to_end(java("kafka.tools.StorageTool", {"format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", settings()}), directory_ / "format.log"));
        start();
    }
    kafka_server(const kafka_server&) = delete;
    kafka_server& operator=(const kafka_server&) = delete;
    ~kafka_server() { kill(); }

    [[nodiscard]] std::string bootstrap_servers() const { return "127.0.0.1:" + std::to_string(port_); }
    [[nodiscard]] std::string sasl_servers() const { return "127.0.0.1:" + std::to_string(sasl_port_); }
    [[nodiscard]] tcp_proxy& proxy() noexcept { return proxy_; }  ///< a way to it that can be cut
    [[nodiscard]] std::string path(const std::string& name) const { return directory_ / name; }

    [[nodiscard]] static std::vector<std::string> java(const std::string& program, const std::vector<std::string>& arguments) {
        std::vector<std::string> words{"java", "-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", kafka_classpath(), program};
        words.insert(words.end(), arguments.begin(), arguments.end());
        return words;
    }

    /// Returns when it answers.
    void start() {
        child_ = run_program(java("kafka.Kafka", {settings()}), directory_ / "server.log");
        brook::kafka::broker asked{bootstrap_servers(), {.default_api_timeout = std::chrono::seconds{120}}};
        static_cast<void>(asked.topics());
    }

    /// At once: what is only in its memory is gone.
    void kill() { end(SIGKILL); }
    void stop() { end(SIGTERM); }

    /// Stopped, but not closed: the network is there, and nobody answers.
    void freeze() { ::kill(child_, SIGSTOP); }
    void thaw() { ::kill(child_, SIGCONT); }

private:
    [[nodiscard]] std::string settings() const { return directory_ / "server.properties"; }

    void end(int signal) {
        if (child_ > 0) {
            ::kill(child_, signal);
            static_cast<void>(await_end(child_));
            child_ = -1;
        }
    }

    [[nodiscard]] static int free_port() {
        const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        if (socket < 0 || ::bind(socket, reinterpret_cast<sockaddr*>(&at), size) != 0 || ::getsockname(socket, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
            throw std::system_error{errno, std::system_category(), "a free port"};
        }
        ::close(socket);
        return ::ntohs(at.sin_port);
    }

    temp_directory directory_;
    int port_;
    int sasl_port_;
    int controller_port_;
    int proxied_port_;
    tcp_proxy proxy_;
    pid_t child_ = -1;
};

/// One for all tests of a program: it takes seconds to start.
[[nodiscard]] inline kafka_server& the_kafka() {
    static kafka_server server;
    return server;
}

/// Each test names topics of its own, since the server is used by all.
class real_world {
public:
    static constexpr bool stamps_deliveries = false;
    using broker_type = brook::kafka::broker;

    [[nodiscard]] brook::kafka::broker& broker() noexcept { return broker_; }

    template <class Key, class Value>
    [[nodiscard]] auto topic(const std::string& name, std::int32_t partitions = 1) {
        return broker_.create_topic<Key, Value>(name, {.partitions = partitions});
    }

private:
    brook::kafka::broker broker_{the_kafka().bootstrap_servers()};
};

}  // namespace brook::test
