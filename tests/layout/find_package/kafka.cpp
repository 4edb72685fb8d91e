// Uses a cluster, as far as one can without one: what cannot be reached is told in bounded time.
#include <brook/kafka.hpp>

#include <chrono>
#include <cstdint>

int main() {
    brook::kafka::broker cluster{"127.0.0.1:1", {.default_api_timeout = std::chrono::milliseconds{200}}};
    try {
        static_cast<void>(cluster.topic<std::uint64_t, std::uint64_t>("numbers"));
    } catch (brook::error const& why) {
        return why.code() == brook::errc::network_exception || why.code() == brook::errc::timed_out ? 0 : 1;
    }
    return 1;
}
