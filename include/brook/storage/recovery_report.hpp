/// \file brook/storage/recovery_report.hpp
/// What an opening has found, and what it did about it.
/// Floor 2, storage.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <brook/core/config.hpp>
#include <brook/core/types.hpp>

namespace brook::inline BROOK_ABI {

/// Records that are on the disk's conscience: they were there, and what stands in their place is not them.
struct damage {
    std::string file;
    std::uint64_t begin = 0;  ///< bytes [begin, end) of the file
    std::uint64_t end = 0;
    offset first = 0;  ///< offsets [first, last) are lost
    offset last = 0;
};

/// What opening a partition found and did. Nothing that a caller was told is durable is ever dropped in silence: it is
/// here, under `damages`, and reading it gives an error.
struct recovery_report {
    std::uint64_t scanned_bytes = 0;        ///< what lay above the evidence and was verified
    std::uint64_t filled_gaps = 0;          ///< claims of a killed process with published records behind them
    std::uint64_t erased_bytes = 0;         ///< claims of a killed process at the very end
    std::uint64_t cut_bytes = 0;            ///< after a power loss: what was not durable and did not arrive whole
    std::uint64_t finished_rolls = 0;       ///< segments that were sealed and had no successor yet
    std::uint64_t moved_segments = 0;       ///< put into new files, since a sync of the old one had failed, or nobody knows how it ended
    bool power_may_have_gone = false;       ///< some segment was last written in another boot, or copied from elsewhere
    std::vector<std::string> quarantined;   ///< files that hold what was cut, kept for a person to look at
    std::vector<damage> damages;
};

}  // namespace brook::inline BROOK_ABI
