//! Simulates many fleets by seed and says how fast; `cargo xtask simulate --help` has the options.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fleetcast_world::plant::Plant;
use fleetcast_world::step::Step;
use fleetcast_world::{Options, Outcome, STEPS, run, shrink};

/// What `cargo test` runs again: each line a seed and what it showed.
const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/seeds.txt");
/// What `cargo test` runs again: each a fleet, what it showed, and its steps.
const STORIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/world/stories.txt");

struct Arguments {
    seeds: u64,
    first: u64,
    keeps: bool,
    fleet: Options,
}

fn read() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seeds: 1_000,
        first: 0,
        keeps: false,
        fleet: Options::of_seed(0),
    };
    let fleet = &mut arguments.fleet;
    let mut words = std::env::args().skip(1);
    let mut seeds = None;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |value: String| {
            value
                .parse::<u64>()
                .map_err(|_| format!("{word} needs a number, not {value:?}"))
        };
        match word.as_str() {
            "--seeds" => seeds = Some(number(value()?)?),
            "--seed" => (arguments.first, arguments.seeds) = (number(value()?)?, 1),
            "--steps" => {
                let steps = number(value()?)?;
                fleet.steps = usize::try_from(steps).map_err(|error| error.to_string())?;
            }
            "--plant" => fleet.plant = Some(plant(&value()?)?),
            "--restore" => fleet.restore = true,
            "--beyond" => fleet.beyond = true,
            "--trace" => fleet.told = true,
            "--keep" => arguments.keeps = true,
            other => return Err(format!("{other:?} is not understood")),
        }
    }
    arguments.seeds = seeds.unwrap_or(arguments.seeds);
    Ok(arguments)
}

fn plant(name: &str) -> Result<Plant, String> {
    let found = Plant::ALL.into_iter().find(|plant| plant.name() == name);
    found.ok_or_else(|| {
        let names = Plant::ALL.map(Plant::name).join(", ");
        format!("--plant {name:?} is none of {names}")
    })
}

fn main() -> ExitCode {
    match read() {
        Ok(arguments) if simulate(&arguments) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("simulate: {message}");
            ExitCode::from(2)
        }
    }
}

/// Simulates them one after another; whether every rule held in each. What fails is reported at once; the first that fails is shrunk at the
/// end, and the first that finds a planted fault is the last.
fn simulate(arguments: &Arguments) -> bool {
    let Arguments {
        seeds,
        first,
        keeps,
        fleet,
    } = arguments;
    let mut clock = Clock::start();
    let mut failed: Vec<(Options, Outcome)> = Vec::new();
    let (mut changes, mut decisions, mut writes) = (0, 0, 0);
    for (count, seed) in (1..).zip(*first..first.saturating_add(*seeds)) {
        let options = Options { seed, ..*fleet };
        let outcome = run(options);
        if fleet.told {
            print_story(&outcome);
        }
        changes += outcome.counts.changes;
        decisions += outcome.counts.decisions;
        writes += outcome.counts.writes;
        clock.show(count, *seeds, failed.len());
        if !outcome.failures.is_empty() {
            println!("seed {seed} fails after {} steps:", outcome.steps.len());
            for failure in &outcome.failures {
                println!("  {failure}");
            }
            failed.push((options, outcome));
            if fleet.plant.is_some() {
                break;
            }
        }
    }
    clock.end();
    let rate = clock.rate(*seeds);
    if let Some((options, outcome)) = failed.first() {
        let shortest = print_shortest(*options, outcome);
        if *keeps && fleet.plant.is_none() {
            keep(*options, outcome, &shortest.steps);
        }
        println!("{} of {seeds} fleets fail; {rate}", failed.len());
    } else {
        println!(
            "{seeds} fleets, {rate}; {changes} changes, {decisions} decisions, {writes} writes to clusters; every rule held"
        );
    }
    failed.is_empty()
}

/// How long it takes, on a terminal also on the way.
struct Clock {
    begin: Instant,
    shown: Instant,
    is_terminal: bool,
}

impl Clock {
    fn start() -> Self {
        Self {
            begin: Instant::now(),
            shown: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, count: u64, of: u64, failed: usize) {
        if self.is_terminal && self.shown.elapsed() > Duration::from_millis(200) {
            self.shown = Instant::now();
            let failed = match failed {
                0 => String::new(),
                failed => format!(", {failed} failed"),
            };
            let rate = per_second(count, self.begin.elapsed());
            eprint!("\r{count} of {of} fleets, {rate:.0} a second{failed} ");
            std::io::stderr().flush().ok();
        }
    }

    fn end(&self) {
        if self.is_terminal {
            eprintln!();
        }
    }

    /// By the clock on the wall, and by the time of the processor, which other processes do not slow down (as far as caches go).
    fn rate(&self, count: u64) -> String {
        let wall = per_second(count, self.begin.elapsed());
        match processor_time() {
            Some(time) => format!(
                "{wall:.0} a second, {:.0} a second of processor time",
                per_second(count, time)
            ),
            None => format!("{wall:.0} a second"),
        }
    }
}

fn per_second(count: u64, time: Duration) -> f64 {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    f64::from(count) / time.as_secs_f64().max(1e-9)
}

/// What this process used so far, where Linux says so: the first number of `/proc/self/schedstat`, nanoseconds of its first thread, which is
/// the only one.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    let ns = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(ns))
}

fn print_story(outcome: &Outcome) {
    for (index, line) in outcome.story.iter().enumerate() {
        println!("{index:>4}  {line}");
    }
}

fn print_shortest(options: Options, outcome: &Outcome) -> Outcome {
    let shortest = shrink(options, outcome);
    println!(
        "\nseed {}: the shortest story found, {} steps:",
        options.seed,
        shortest.steps.len()
    );
    print_story(&shortest);
    println!();
    for failure in &shortest.failures {
        println!("  {failure}");
    }
    let plant = options
        .plant
        .map(Plant::name)
        .map(|name| format!(" --plant {name}"));
    let steps = match options.steps {
        STEPS => String::new(),
        steps => format!(" --steps {steps}"),
    };
    println!(
        "\nagain: cargo xtask simulate --seed {}{steps}{}{}{}",
        options.seed,
        plant.unwrap_or_default(),
        if options.restore { " --restore" } else { "" },
        if options.beyond { " --beyond" } else { "" },
    );
    shortest
}

/// Adds what failed to what every test run tries.
fn keep(options: Options, outcome: &Outcome, steps: &[Step]) {
    let first = outcome.failures.first().map_or("", String::as_str);
    let showed: String = first.replace('\n', " ").chars().take(160).collect();
    let (before, behind) = match options.restore {
        true => ("restore ", " restored"),
        false => ("", ""),
    };
    let seed = format!("{before}{} {showed}\n", options.seed);
    let mut story = format!("fleet {}{behind}: {showed}\n", options.seed);
    story.extend(steps.iter().map(|step| format!("{step}\n")));
    for (path, text) in [(SEEDS, seed), (STORIES, story)] {
        let file = std::fs::OpenOptions::new().append(true).open(path);
        match file.and_then(|mut file| file.write_all(text.as_bytes())) {
            Ok(()) => println!("kept in {path}"),
            Err(error) => eprintln!("simulate: {path}: {error}"),
        }
    }
}
