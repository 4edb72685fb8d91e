// The whole library once more, beside a program that includes it, too, so that a function that is neither inline nor a template, in a header
// or in its bodies, fails to link.
#include <brook/brook.hpp>
#include <brook/lz4.hpp>
#include <brook/replication.hpp>
#include <brook/verify.hpp>
#include <brook/zstd.hpp>

#include <cstdint>
#include <string>

std::int64_t odr(brook::broker& broker);

std::int64_t odr(brook::broker& broker) {
    auto topic = broker.create_topic<std::string, std::uint64_t>("odr");
    brook::producer producer{topic};
    return producer.send("first", 1).get().offset;
}
