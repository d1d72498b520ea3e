//! A thousand fleets by seed, the seeds that once failed, and planted faults that are seen to be found.

mod world {
    mod kept;
    mod plants;
    mod restored;

    use fleetcast_world::{Options, run, shrink};

    /// How many fleets the normal test run simulates; `cargo xtask simulate` takes as many as one likes.
    const SEEDS: u64 = 1_000;

    /// Runs one fleet and fails with the shortest story found.
    fn holds(options: Options) {
        let outcome = run(options);
        if outcome.failures.is_empty() {
            return;
        }
        let shortest = shrink(options, &outcome);
        panic!(
            "seed {} (cargo xtask simulate --seed {}):\n{}\n\n{} steps:\n{}",
            options.seed,
            options.seed,
            outcome.failures.join("\n"),
            shortest.steps.len(),
            shortest.story.join("\n")
        );
    }

    /// Every rule holds in a thousand fleets, each broken in its own way.
    #[test]
    fn every_rule_holds_after_every_kind_of_fault() {
        std::thread::scope(|scope| {
            for half in 0..2 {
                scope.spawn(move || {
                    for seed in (half..SEEDS).step_by(2) {
                        holds(Options::of_seed(seed));
                    }
                });
            }
        });
    }

    /// The same seed is the same fleet, to the last message.
    #[test]
    fn the_same_seed_is_the_same_fleet() {
        for seed in [1, 7, 42, 4_242] {
            let (one, other) = (run(Options::of_seed(seed)), run(Options::of_seed(seed)));
            assert_eq!(one.hash, other.hash, "seed {seed}");
            assert_eq!(one.counts, other.counts, "seed {seed}");
        }
        assert_ne!(
            run(Options::of_seed(1)).hash,
            run(Options::of_seed(2)).hash,
            "another seed, another fleet"
        );
    }

    /// A fleet does something: seeds that only idle would hold every rule.
    #[test]
    fn fleets_are_busy() {
        let mut changes = 0;
        let mut writes = 0;
        for seed in 0..20 {
            let counts = run(Options::of_seed(seed)).counts;
            changes += counts.changes;
            writes += counts.writes;
        }
        assert!(changes > 400, "{changes} changes in 20 fleets");
        assert!(writes > 600, "{writes} writes in 20 fleets");
    }
}
