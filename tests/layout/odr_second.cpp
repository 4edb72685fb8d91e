// The whole library, for the second time; see odr_first.cpp.
#include <brook/brook.hpp>
#include <brook/lz4.hpp>
#include <brook/replication.hpp>
#include <brook/verify.hpp>
#include <brook/zstd.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

std::size_t odr_second(brook::broker& broker);

std::size_t odr_second(brook::broker& broker) {
    auto topic = broker.create_topic<std::string, std::uint64_t>("odr");
    brook::producer producer{topic};
    producer.send("second", 2);
    producer.flush();
    brook::consumer consumer{topic};
    return consumer.poll(std::chrono::seconds{1}).size();
}
