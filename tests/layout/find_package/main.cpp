// usage: uses_brook DATA_DIR
#include <brook/brook.hpp>

#include <chrono>
#include <cstdint>
#include <string>

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    brook::broker broker{argv[1]};
    auto numbers = broker.create_topic<std::string, std::uint64_t>("numbers");
    brook::producer producer{numbers};
    for (std::uint64_t i = 1; i <= 100; ++i) producer.send("key", i);
    producer.flush();

    std::uint64_t sum = 0;
    brook::consumer consumer{numbers};
    do {
        for (auto const& record : consumer.poll(std::chrono::milliseconds{100})) sum += record.value();
    } while (!consumer.caught_up());
    return sum == 5050 ? 0 : 1;
}
