#!/usr/bin/env bash
# Fuzzes the targets named, or all of them, STENTOR_FUZZ_SECONDS each (75 by default: over ten minutes for all). Needs the
# stable toolchain and a C++ compiler. What is learnt stays in target/fuzz/corpus, what is found in target/fuzz/findings;
# `target/debug/TARGET FILE` plays a finding again. Exits with 1 if there is one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
house=$(cd "$here/../.." && pwd)
kept=$house/target/fuzz
all=(smpp_stream smpp_receipt smpp_split http_body http_head store_journal store_segment store_record config)
targets=("$@")
((${#targets[@]})) || targets=("${all[@]}")

RUSTC_WRAPPER=$here/rustc-coverage.sh cargo build --locked --manifest-path "$here/Cargo.toml" --target-dir "$house/target"

found=0
printf '%-14s %12s %8s %9s\n' target executions edges findings
for target in "${targets[@]}"; do
    mkdir -p "$kept/corpus/$target" "$kept/findings/$target"
    seeds=("$here/seeds/$target")
    [[ $target != config ]] || seeds=("$house/config")
    [[ -d ${seeds[0]} ]] || seeds=()
    log=$kept/$target.log
    code=0
    "$house/target/debug/$target" "$kept/corpus/$target" "${seeds[@]}" -max_total_time="${STENTOR_FUZZ_SECONDS:-75}" \
        -timeout=10 -max_len=8192 -print_final_stats=1 -artifact_prefix="$kept/findings/$target/" >"$log" 2>&1 || code=$?
    findings=$(find "$kept/findings/$target" -type f | wc -l)
    printf '%-14s %12s %8s %9s\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(grep -o 'cov: [0-9]*' "$log" | tail -1 | cut -d' ' -f2)" "$findings"
    if ((code || findings)); then
        found=1
        grep -m1 -A2 -E 'panicked at|memory allocation|ERROR: libFuzzer' "$log" || tail -3 "$log"
    fi
done
exit "$found"
