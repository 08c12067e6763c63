//! The program. The commands are in `stentor::cli`.

use std::process::ExitCode;

/// TODO-measure
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    stentor::cli::run()
}
