/// \file brook/verify.hpp
/// For who looks after a directory: `brook::verify(directory)` says what is in it, and what is wrong with it.
/// Not part of brook/brook.hpp, since few programs need it, and all would compile it.
///
///     const brook::verify_report report = brook::verify("data");
///     std::fputs(report.text().c_str(), stdout);
///     return report.is_ok() ? 0 : 1;
///
/// With <brook/lz4.hpp> and <brook/zstd.hpp> it looks into compressed batches; without, it verifies their checksums and notes
/// that it has seen no more of them.
#pragma once

#include <brook/broker/verify.hpp>
#include <brook/core/config.hpp>
#include <brook/core/error.hpp>
#include <brook/storage/verify_report.hpp>
