#include <brook/kafka.hpp>

#include <tuple>

#include "kafka/agreement.hpp"
#include "kafka/worlds.hpp"

namespace kafka_agreement_test {

using worlds = std::tuple<brook::test::embedded_world, brook::test::mock_world>;

BROOK_AGREEMENTS(worlds, "")

using embedded = std::tuple<brook::test::embedded_world>;  // the real cluster's is in real_cluster.cpp
BROOK_AGREEMENT(transactions_count_whole_or_not_at_all, embedded, "")

}  // namespace kafka_agreement_test
