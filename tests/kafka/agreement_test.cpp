#include <brook/kafka.hpp>

#include <tuple>

#include "kafka/agreement.hpp"
#include "kafka/worlds.hpp"

namespace kafka_agreement_test {

using worlds = std::tuple<brook::test::embedded_world, brook::test::mock_world>;

BROOK_AGREEMENTS(worlds, "")

}  // namespace kafka_agreement_test
