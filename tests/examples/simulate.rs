//! Simulates many fleets by seed and says how fast: `simulate --seeds N [--seed S] [--steps N] [--restore] [--beyond] [--trace]`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fleetcast_tests::world::{self, Options, Outcome};

struct Arguments {
    seeds: u64,
    first: u64,
    steps: usize,
    restore: bool,
    beyond: bool,
    trace: bool,
}

fn read() -> Result<Arguments> {
    let mut arguments = Arguments {
        seeds: 1_000,
        first: 0,
        steps: world::STEPS,
        restore: false,
        beyond: false,
        trace: false,
    };
    let mut seeds = None;
    let mut one = false;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64> {
            let value = words.next();
            let value = value.with_context(|| format!("{word} needs a number"))?;
            value
                .parse()
                .with_context(|| format!("{word} needs a number, not {value:?}"))
        };
        match word.as_str() {
            "--seeds" => seeds = Some(number()?),
            "--seed" => (arguments.first, one) = (number()?, true),
            "--steps" => arguments.steps = usize::try_from(number()?)?,
            "--restore" => arguments.restore = true,
            "--beyond" => arguments.beyond = true,
            "--trace" => arguments.trace = true,
            other => {
                bail!(
                    "{other:?} is not understood: --seeds N --seed S --steps N --restore --beyond --trace"
                )
            }
        }
    }
    arguments.seeds = seeds.unwrap_or(if one { 1 } else { arguments.seeds });
    Ok(arguments)
}

fn main() -> Result<ExitCode> {
    let Arguments {
        seeds,
        first,
        steps,
        restore,
        beyond,
        trace,
    } = read()?;
    let begin = Instant::now();
    let mut shown = Instant::now();
    let is_terminal = std::io::stderr().is_terminal();
    let (mut changes, mut decisions, mut writes) = (0, 0, 0);
    for (count, seed) in (1..).zip(first..first.saturating_add(seeds)) {
        let options = Options {
            steps,
            restore,
            beyond,
            told: trace,
            ..Options::of_seed(seed)
        };
        let outcome = world::run(options);
        if trace {
            print_story(&outcome);
        }
        if !outcome.failures.is_empty() {
            report(options, &outcome);
            return Ok(ExitCode::FAILURE);
        }
        changes += outcome.counts.changes;
        decisions += outcome.counts.decisions;
        writes += outcome.counts.writes;
        if is_terminal && shown.elapsed() > Duration::from_millis(200) {
            shown = Instant::now();
            eprint!(
                "\r{count} of {seeds} fleets, {:.0} a second ",
                rate(count, begin)
            );
            std::io::stderr().flush().ok();
        }
    }
    if is_terminal {
        eprintln!();
    }
    println!(
        "{seeds} fleets, {:.0} a second; {changes} changes, {decisions} decisions, {writes} writes to clusters; every rule held",
        rate(seeds, begin)
    );
    Ok(ExitCode::SUCCESS)
}

fn rate(count: u64, begin: Instant) -> f64 {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    f64::from(count) / begin.elapsed().as_secs_f64().max(1e-9)
}

fn print_story(outcome: &Outcome) {
    for (index, line) in outcome.story.iter().enumerate() {
        println!("{index:>4}  {line}");
    }
}

fn report(options: Options, outcome: &Outcome) {
    println!(
        "seed {} fails after {} steps:",
        options.seed,
        outcome.steps.len()
    );
    for failure in &outcome.failures {
        println!("  {failure}");
    }
    let shortest = world::shrink(options, outcome);
    println!(
        "\nthe shortest story found, {} steps:",
        shortest.steps.len()
    );
    print_story(&shortest);
    println!();
    for failure in &shortest.failures {
        println!("  {failure}");
    }
    println!(
        "\nagain: cargo xtask simulate --seed {}{}",
        options.seed,
        if options.restore { " --restore" } else { "" }
    );
}
