#!/usr/bin/env bash
# Feeds every reader with broken files: tools/fuzz.sh SECONDS [TARGET..]
#
# Inputs have at most 1 MB; a crash, 10 s for one input or 1 GB of memory stops the run with exit code 1 and leaves the input
# in fuzz/artifacts. What is found of interest is kept in fuzz/corpus. Needs a C++ compiler, and no nightly toolchain.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
seconds=${1:?usage: tools/fuzz.sh SECONDS [TARGET..]}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(onnx pth safetensors npz idx config subnet)

host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1"
# With a target, the flags are not used for build scripts and macros.
cargo build --release --target "$host"

for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" "artifacts/$target" "seeds/$target"
  echo "== $target, $seconds s"
  "target/$host/release/$target" "corpus/$target" "seeds/$target" -max_total_time="$seconds" -max_len=1000000 \
    -timeout=10 -rss_limit_mb=1024 -artifact_prefix="artifacts/$target/" -print_final_stats=1 2>&1 | tail -n 12
done
