#!/bin/sh
# The compiler as libFuzzer needs it, on the stable toolchain: LLVM's coverage of edges and comparisons, for Stentor and
# the targets alone, so that dependencies are those of the ordinary build. Cargo calls it (RUSTC_WRAPPER) with the
# compiler's path first.
name=
for argument do
    [ "$previous" != --crate-name ] || name=$argument
    previous=$argument
done
case $name in
    stentor | smpp_stream | smpp_receipt | smpp_split | http_body | http_head | store_journal | store_segment | store_record | config)
        exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
            -Cllvm-args=-sanitizer-coverage-trace-compares
        ;;
    *) exec "$@" ;;
esac
