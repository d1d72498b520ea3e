//! A whole fleet in one deterministic process, driven by a seed: broken in every way that the bus, the clusters and the machines allow,
//! healed, and held against the rules that always hold (DESIGN, section 3).
//!
//! The core machines are the real ones; what stands around them is simulated and mirrors what the services do at their edges.
//!
//! | what | file |
//! |---|---|
//! | what may happen next, drawn from the seed | [`step`] |
//! | what each step does, and how a fleet heals | `fleet` |
//! | the log, the work streams, acknowledgements, the lease | `bus` |
//! | an ingest process; an agent with its cluster; an aggregator | `hub`, `member`, `aggregator` |
//! | an API server, and what the agent decides about it; what watches show | `server`, `watches` |
//! | publishers and their documents | `publisher` |
//! | the rules | `check` |
//! | fewest steps that still fail | `shrink` |
//! | faults that are planted, to see them found | [`plant`] |
//!
//! A new way to break a fleet is a variant of [`step::Act`] with its weight and its arm in `fleet`; a new rule is a function in `check`.

mod aggregator;
mod bus;
mod chance;
mod check;
mod fleet;
mod holds;
mod hub;
mod limit;
mod member;
pub mod plant;
mod publisher;
mod server;
mod shrink;
pub mod step;
mod watches;

use fleet::World;
use plant::Plant;
use step::{Act, Step, Steps};

pub use shrink::shrink;

/// How many steps a fleet takes before it heals.
pub const STEPS: usize = 200;
/// How often a step is drawn anew where it could not do anything.
const DRAWS: usize = 24;

/// Which fleet.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The seed: which steps, which faults, which clocks.
    pub seed: u64,
    /// How many steps before it heals.
    pub steps: usize,
    /// The fault that is planted.
    pub plant: Option<Plant>,
    /// Whether the hub is lost once and restored from an older backup.
    pub restore: bool,
    /// Whether faults happen, too, that are known not to be survived (docs/testing.md).
    pub beyond: bool,
    /// Whether the story is told.
    pub told: bool,
}

impl Options {
    /// A fleet as it is simulated a thousand times.
    pub fn of_seed(seed: u64) -> Self {
        Self {
            seed,
            steps: STEPS,
            plant: None,
            restore: false,
            beyond: false,
            told: false,
        }
    }
}

/// What became of a fleet.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The steps that did something.
    pub steps: Vec<Step>,
    /// The rules that did not hold, and for what.
    pub failures: Vec<String>,
    /// The story, where it was to be told.
    pub story: Vec<String>,
    /// A digest of everything that happened: the same seed, the same digest.
    pub hash: u64,
    /// What was counted.
    pub counts: Counts,
}

/// What was counted in a fleet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Changes in the log.
    pub changes: u64,
    /// Decisions in the log.
    pub decisions: u64,
    /// Writes to clusters.
    pub writes: u64,
    /// Batches of acknowledgements.
    pub batches: u64,
    /// Copies that a lost history's later decision had written and that are still there when the fleet comes to rest.
    pub ahead: u64,
    /// Copies among them that are in nobody's work.
    pub strays: u64,
}

/// Simulates the fleet of a seed.
pub fn run(options: Options) -> Outcome {
    let mut steps = Steps::new(options.seed);
    let mut world = World::new(options);
    let mut taken = Vec::with_capacity(options.steps);
    for index in 0..options.steps {
        if options.restore && index == options.steps * 2 / 3 {
            let step = Step {
                act: Act::Restore,
                salt: u32::try_from(options.seed & 0xffff_ffff).expect("32 bits"),
            };
            world.take(step);
            taken.push(step);
        }
        for _ in 0..DRAWS {
            let step = steps.draw();
            if world.take(step) {
                taken.push(step);
                break;
            }
        }
    }
    end(world, taken)
}

/// Simulates the fleet of a seed, but with these steps.
pub fn replay(options: Options, steps: &[Step]) -> Outcome {
    let mut world = World::new(options);
    let taken = steps
        .iter()
        .copied()
        .filter(|step| world.take(*step))
        .collect();
    end(world, taken)
}

fn end(mut world: World, steps: Vec<Step>) -> Outcome {
    world.heal();
    check::rules(&mut world);
    let (ahead, strays) = check::lost_copies(&world);
    let counts = Counts {
        ahead,
        strays,
        ..world.counts()
    };
    Outcome {
        steps,
        counts,
        hash: world.hash,
        failures: world.failures,
        story: world.story.unwrap_or_default(),
    }
}
