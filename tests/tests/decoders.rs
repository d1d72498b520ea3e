//! Bytes that nobody wrote, through every decoder that meets the network or a file of others: read or refused, never a crash, and never more memory than is due.
//!
//! Each target begins with inputs that are accepted and changes them: bits, numbers, lengths as MessagePack and gzip-like formats have them, pieces doubled, dropped and taken from
//! another input. What fails is written to `target/fuzz`; kept under `decoders/kept/<target>` it is tried first from then on. `cargo xtask fuzz TARGET` tries more.

mod decoders {
    pub(crate) mod change;
    pub(crate) mod seeds;
    pub(crate) mod targets;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use decoders::change::Chance;
use decoders::targets::{TARGETS, Target};
use peak_alloc::PeakAlloc;

/// Counts what is allocated.
#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// How many inputs are tried of each target.
const INPUTS: u64 = 3_000;
/// The longest input, bytes.
const LENGTH: usize = 64 * 1024;
/// One target at a time: what others allocate would count, too.
static ALONE: Mutex<()> = Mutex::new(());

fn wanted() -> u64 {
    let wanted = std::env::var("FLEETCAST_FUZZ").ok();
    wanted
        .and_then(|wanted| wanted.parse().ok())
        .unwrap_or(INPUTS)
}

fn here(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// Tries one input.
fn attempt(target: &Target, input: &[u8]) -> Result<bool, String> {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.accepts)(input)));
    let peak = ALLOCATED.peak_usage().saturating_sub(before);
    match outcome {
        Err(_) => Err("it panics".to_owned()),
        Ok(_) if peak > target.memory => Err(format!(
            "it takes {peak} bytes of memory, {} are due",
            target.memory
        )),
        Ok(accepted) => Ok(accepted),
    }
}

fn must_stand(target: &Target, input: &[u8]) {
    if let Err(why) = attempt(target, input) {
        let folder = here("../target/fuzz");
        let path = folder.join(format!(
            "{}-{}",
            target.name,
            fleetcast_core::digest::short(input)
        ));
        let kept = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, input));
        panic!(
            "{}: {why}\n  {}\nthe input ({} bytes, {kept:?}) is {}; mended, keep it in tests/tests/decoders/kept/{}",
            target.name,
            input[..input.len().min(400)].escape_ascii(),
            input.len(),
            path.display(),
            target.name
        );
    }
}

fn fuzz(name: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("it is among the targets");
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{name} has nothing to begin with");
    for seed in &seeds {
        assert_eq!(
            attempt(target, seed),
            Ok(true),
            "{name} accepts {}",
            seed.escape_ascii()
        );
    }
    if let Ok(kept) = std::fs::read_dir(here("tests/decoders/kept").join(name)) {
        for file in kept.flatten() {
            let input = std::fs::read(file.path()).expect("an input that is kept");
            must_stand(target, &input);
        }
    }
    must_stand(target, b"");
    let mut chance = Chance::of(name);
    let mut accepted = 0;
    for _ in 0..wanted() {
        let mut input = chance.one_of(&seeds).clone();
        for _ in 0..=chance.below(6) {
            chance.change(&mut input, &seeds);
        }
        input.truncate(LENGTH);
        must_stand(target, &input);
        accepted += u64::from(attempt(target, &input) == Ok(true));
    }
    // Else the changes would show no more than that nonsense is refused.
    assert!(
        accepted > 0,
        "{name}: every changed input is refused at once"
    );
    println!("{name}: {accepted} of {} inputs accepted", wanted());
}

/// One test a target, so that each can be asked for by name.
macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { fuzz(stringify!($name)); })*

        /// Shows that no target of the list is without its test.
        #[test]
        fn every_target_is_tried() {
            let tried = [$(stringify!($name)),*];
            let listed: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(listed, tried);
        }
    };
}

targets! {
    log_events acknowledgements work fences heartbeats confirmations replays dead_letters bases
    subjects parts handed_in http_json http_yaml http_cloud_events sync_requests sync_answers questions answers receipts renewals
    documents tokens credentials claims backup_segments
    sealed_texts sealed_documents base_sections checkpoints
}

/// Shows that a target that panics or takes too much is found.
#[test]
fn a_decoder_that_is_wrong_is_found() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let planted = |accepts: fn(&[u8]) -> bool| Target {
        name: "planted",
        accepts,
        seeds: Vec::new,
        memory: 1024 * 1024,
    };
    let panics = planted(|bytes| bytes[0] == 1);
    assert_eq!(attempt(&panics, b""), Err("it panics".to_owned()));
    let swells = planted(|bytes| vec![0_u8; bytes.len() * 1024 * 1024].len() > 9);
    assert_eq!(attempt(&swells, b"x"), Ok(true));
    assert!(attempt(&swells, b"xxx").is_err_and(|why| why.contains("bytes of memory")));
}
