//! `fleetcast`: the one binary. What the commands are is in [`args`], what each does in a file of its own under [`command`].

mod args;
mod command;
mod connection;
mod failure;
mod fleet;
mod local_auth;
mod outgoing;
mod output;
mod plugin;
mod progress;
mod sealing;
mod select;
mod statuses;
mod submit;
mod workspace;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::plugin::Called;

/// Many small pieces come and go on all threads: with the system's allocator they cost agents a third of their time (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut words = std::env::args();
    let mut command = args::Args::command();
    match Called::by(&words.next().unwrap_or_default()) {
        Called::Fleetcast => {}
        Called::Plugin => {
            command = command
                .bin_name("kubectl fleetcast")
                .display_name("fleetcast")
        }
        Called::Completer => {
            command.build();
            let words: Vec<String> = words.collect();
            print!("{}", plugin::completions(&command, &words));
            return ExitCode::SUCCESS;
        }
    }
    let matches = command.get_matches();
    let args = args::Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    output::start_logging(&args);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(command::run(args)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
