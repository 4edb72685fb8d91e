/// \file client/world.hpp
/// A broker in a directory of its own, for a test.
#pragma once

#include <optional>
#include <utility>

#include <brook/broker/options.hpp>
#include <brook/client/broker.hpp>

#include "support/faulty_platform.hpp"
#include "support/temp_directory.hpp"

namespace brook::test {

/// Nobody looks after the broker but the test, if that is not said, and its platform fails when the test says so.
struct world {
    temp_directory directory;
    faulty_platform platform;
    broker_options settings;
    std::optional<brook::broker> broker;

    explicit world(brook::maintenance maintenance = brook::maintenance::manual) { open(maintenance); }
    explicit world(broker_options with) : settings{std::move(with)} { open(); }

    /// Closes it first, if it is open.
    void open(brook::maintenance maintenance = brook::maintenance::manual) {
        broker.reset();
        settings.maintenance = maintenance;
        settings.platform = &platform;
        broker.emplace(directory.path(), settings);
    }
};

}  // namespace brook::test
