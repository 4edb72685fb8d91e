/// \file client/world.hpp
/// A broker in a directory of its own, for a test.
#pragma once

#include <optional>

#include <brook/client/broker.hpp>

#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace brook::test {

/// Nobody looks after the broker but the test, if that is not said, and its platform fails when the test says so.
struct world {
    temp_directory directory;
    faulty_platform platform;
    std::optional<brook::broker> broker;

    explicit world(brook::maintenance maintenance = brook::maintenance::manual) { open(maintenance); }

    /// Closes it first, if it is open.
    void open(brook::maintenance maintenance = brook::maintenance::manual) {
        broker.reset();
        broker.emplace(directory.path(), brook::broker_options{.maintenance = maintenance, .platform = &platform});
    }
};

}  // namespace brook::test
