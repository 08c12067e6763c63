//! Load, carriers and faults for Stentor: a generator, an SMSC simulator and the scenarios that join them.

mod bench;
mod http;
mod images;
mod mark;
mod run;
mod send;
mod smsc;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(version, about)]
enum Command {
    /// Measure on this machine, or a daemon on another: figures as JSON, a report as HTML, two results compared
    Bench(Box<bench::Options>),
    /// Cut the power of a real store in thousands of places and open what is left
    Images(Box<images::Options>),
    /// Damage a directory that was stopped cleanly, in thousands of places, and read it
    Flips(images::FlipOptions),
    /// The process under `images`: a shard and its store, driven hard
    #[command(hide = true)]
    Drive(Box<images::DriveOptions>),
    /// Play a scenario with a real Stentor between generator and simulator
    #[command(subcommand)]
    Run(Box<run::Scenario>),
    /// Offer messages over HTTP, at a fixed rate or as fast as they are answered
    Send(Box<send::Options>),
    /// Play a carrier: an SMSC over TCP with receipts and faults
    Smsc(Box<smsc::Options>),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Bench(options) => return bench::run(&options),
        Command::Images(options) => images::run(&options),
        Command::Flips(options) => images::flips(&options),
        Command::Drive(options) => images::drive(&options),
        Command::Run(scenario) => run::run(&scenario),
        Command::Send(options) => send::run(&options),
        Command::Smsc(options) => smsc::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn command_line_is_sound() {
        super::Command::command().debug_assert();
    }
}
