//! What once failed holds: seeds, and stories that stay the same when steps or weights change.
//!
//! | file | holds |
//! |---|---|
//! | `seeds.txt` | each line a seed, with `restore` before it where the hub is restored, and what it showed |
//! | `stories.txt` | `fleet SEED: what it showed`, or `fleet SEED restored: …`, then its steps, one a line, shrunk |
//!
//! `cargo xtask simulate --keep` adds to both.

use fleetcast_world::step::Step;
use fleetcast_world::{Options, replay};

use super::holds;

fn options(seed: &str, restore: bool) -> Options {
    let seed = seed.parse();
    Options {
        restore,
        ..Options::of_seed(seed.expect("a seed is a number"))
    }
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn seeds_that_once_failed_hold() {
    for line in lines(include_str!("seeds.txt")) {
        let restored = line.strip_prefix("restore ");
        let (seed, _) = restored
            .unwrap_or(line)
            .split_once(' ')
            .expect("a seed and what it showed");
        holds(options(seed, restored.is_some()));
    }
}

#[test]
fn stories_that_once_failed_hold() {
    let mut stories: Vec<(&str, Options, Vec<Step>)> = Vec::new();
    for line in lines(include_str!("stories.txt")) {
        match line.strip_prefix("fleet ") {
            Some(head) => {
                let (fleet, _) = head.split_once(':').expect("what it showed");
                let restored = fleet.strip_suffix(" restored");
                let options = options(restored.unwrap_or(fleet), restored.is_some());
                stories.push((head, options, Vec::new()));
            }
            None => {
                let (_, _, steps) = stories.last_mut().expect("a story begins with its fleet");
                steps.push(line.parse().expect("a step"));
            }
        }
    }
    assert!(!stories.is_empty());
    for (head, options, steps) in stories {
        let outcome = replay(options, &steps);
        assert!(
            outcome.failures.is_empty(),
            "{head}: {:?}",
            outcome.failures
        );
    }
}
