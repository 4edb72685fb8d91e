// The file in which a broker's replicas keep what they have promised. Input: the file.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <brook/broker/ballot_file.hpp>

#include "fuzz/memory_platform.hpp"
#include "fuzz/target.hpp"

namespace brook::fuzz::ballots {

namespace {

using broker_room::ballot_file;
using broker_room::partition_id;

const std::string directory = "d";
constexpr std::size_t entry_front = 16;

[[nodiscard]] partition_id id(std::int32_t number) {
    partition_id made;
    made.topic[0] = std::byte{1};
    made.number = number;
    return made;
}

void look(const ballot_file& file) {
    for (std::int32_t number = 0; number < 3; ++number) {
        if (const auto* const kept = file.find(id(number))) {
            demand(kept->ballot.epoch <= replication::message::largest_epoch, "no epoch is believed that everybody would have to follow");
            for (const auto& set : kept->ballot.voters) {
                demand(set.is_possible(), "who votes is somebody who can");
            }
        }
    }
}

void run(bytes input) {
    memory_platform machine;
    machine.make(directory);
    machine.put(directory + "/ballots", input);
    answer([&] {
        ballot_file file{machine, directory};
        file.open();
        look(file);
        replication::ballot promised;
        promised.epoch = 7;
        promised.voters.push_back({-1, 0, {1, 2, 3}});
        file.put(id(1), promised);
        demand(!file.sync(), "memory can be synced");

        ballot_file again{machine, directory};
        again.open();
        demand(again.session() > file.session() || file.session() > ballot_file::largest_session, "each life has a larger number");
        demand(!again.damage(), "what was rotten has been written anew");
        const auto* const kept = again.find(id(1));
        demand(kept != nullptr && kept->ballot == promised, "what was promised is remembered");
        const auto* const other = file.find(id(0));
        const auto* const other_again = again.find(id(0));
        demand(other == nullptr || other->ballot.voters.empty() || (other_again != nullptr && other_again->ballot == other->ballot), "and so is what had been promised before");
    });
}

/// Entries one behind the other, each with its checksum.
void repair(std::vector<std::byte>& input) {
    for (std::size_t at = 0; at + entry_front <= input.size();) {
        const std::size_t room = input.size() - at - entry_front;
        auto size = load<std::uint32_t>(input.data() + at + 8);
        size = size > room ? static_cast<std::uint32_t>(room) : size;
        store(input.data() + at + 8, size);
        store(input.data() + at + 12, 1 + (load<std::uint32_t>(input.data() + at + 12) - 1) % 4);
        store(input.data() + at, format::hash(bytes{input}.subspan(at + 8, size + 8)));
        at += entry_front + size;
    }
}

void seeds(std::vector<std::vector<std::byte>>& inputs) {
    memory_platform machine;
    machine.make(directory);
    ballot_file file{machine, directory};
    file.open();
    for (std::int32_t number = 0; number < 3; ++number) {
        replication::ballot promised;
        promised.epoch = 4;
        promised.voted_for = number;
        promised.is_suspect = number == 2;
        promised.voters = {{-1, 0, {1, 2, 3}}, {17, 3, {1, 2, 3, 4}}};
        file.put(id(number), promised);
        file.put_whole(id(number), 20 + number);
    }
    file.forget(id(1));
    demand(!file.sync(), "memory can be synced");
    machine.for_each_file([&](const std::string&, bytes content) { inputs.emplace_back(content.begin(), content.end()); });
}

const target ballots{"ballots", run, repair, seeds};

}  // namespace

}  // namespace brook::fuzz::ballots
