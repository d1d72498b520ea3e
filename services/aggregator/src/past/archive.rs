//! Views of the past on disk, one every so many events: never the truth, only a quicker way to a moment.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fleetcast_bus::checkpoint::Checkpoint;
use fleetcast_core::epoch::Epoch;
use fleetcast_core::fold::View;
use serde::{Deserialize, Serialize};

/// How many events of the log lie between two archived views: read and folded in about half a second.
pub(crate) const SPACING: u64 = 20_000;

/// A place in every stream, of one hub's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Whose streams they are: the newest epoch, not that of the moment.
    pub(crate) epoch: Option<Epoch>,
    /// The log sequence.
    pub(crate) log: u64,
    /// The acknowledgement sequence, by partition.
    pub(crate) acks: BTreeMap<u16, u64>,
}

impl Position {
    /// How far `view`, the newest there is, is folded.
    pub(crate) fn of(view: &View) -> Self {
        let partitions = 0..view.partitions().unwrap_or(0);
        let folded = |partition| view.acks.get(&partition).copied().unwrap_or(0);
        Self {
            epoch: view.epoch().cloned(),
            log: view.log,
            acks: partitions
                .map(|partition| (partition, folded(partition)))
                .collect(),
        }
    }

    /// Another place in the same streams.
    pub(super) fn at(&self, log: u64, acks: BTreeMap<u16, u64>) -> Self {
        Self {
            epoch: self.epoch.clone(),
            log,
            acks,
        }
    }

    /// The beginning of the same streams.
    pub(super) fn beginning(&self) -> Self {
        self.at(
            0,
            self.acks.keys().map(|partition| (*partition, 0)).collect(),
        )
    }

    /// Whether everything up to here stands up to `other`, too.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        let folded = |partition| other.acks.get(partition).copied().unwrap_or(0);
        self.epoch == other.epoch
            && self.log <= other.log
            && self
                .acks
                .iter()
                .all(|(partition, place)| *place <= folded(partition))
    }

    /// Says of `view` that it is folded up to here.
    pub(super) fn mark(&self, view: &mut View) {
        view.log = self.log;
        // A partition of which nothing is folded has no place.
        let folded = self.acks.iter().filter(|(_, place)| **place > 0);
        view.acks.extend(folded);
    }
}

/// The archived views.
pub(crate) struct Archive {
    directory: PathBuf,
    /// By log sequence.
    held: Mutex<BTreeMap<u64, Position>>,
}

impl Archive {
    /// What stands in `directory`; what is damaged is not among it.
    pub(crate) fn open(directory: &Path) -> Self {
        let directory = directory.join("history");
        let mut held = BTreeMap::new();
        for entry in std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name();
            let log = name
                .to_str()
                .and_then(|name| name.strip_suffix(".place.checkpoint"))
                .and_then(|log| log.parse().ok());
            if let Some(log) = log
                && let Some(position) = place(&directory, log).load()
            {
                held.insert(log, position);
            }
        }
        Self {
            directory,
            held: Mutex::new(held),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Position>> {
        self.held
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Drops what belongs to another hub's streams than those of `epoch`.
    pub(crate) fn belongs_to(&self, epoch: &Epoch) {
        let foreign: Vec<u64> = self
            .held()
            .iter()
            .filter(|(_, position)| position.epoch.as_ref() != Some(epoch))
            .map(|(log, _)| *log)
            .collect();
        for log in foreign {
            self.drop(log);
        }
    }

    /// Drops what lies before `log`: the events behind it were cut away.
    pub(crate) fn forget_before(&self, log: u64) {
        let early: Vec<u64> = self.held().range(..log).map(|(log, _)| *log).collect();
        for log in early {
            self.drop(log);
        }
    }

    /// Whether a view folded up to `log` is to be archived: a step lies between it and the last one.
    pub(crate) fn is_due(&self, log: u64) -> bool {
        let last = self.held().last_key_value().map_or(0, |(log, _)| *log);
        log >= last + SPACING
    }

    /// The first stretch of the log behind `after` and up to `now` that holds a place for a view and has none.
    pub(super) fn gap(&self, after: u64, now: u64) -> Option<Range<u64>> {
        if now <= after + 1 {
            return None;
        }
        let held = self.held();
        let ends = held.range(after + 1..now).map(|(log, _)| *log);
        let mut begin = after;
        for end in ends.chain([now]) {
            if end > self.step_behind(begin) + SPACING {
                return Some(begin..end);
            }
            begin = end;
        }
        None
    }

    /// The place of the next archived view behind `log`.
    pub(super) fn step_behind(&self, log: u64) -> u64 {
        (log / SPACING + 1) * SPACING
    }

    /// Archives a view that was saved as `file`, by another link to it.
    pub(crate) fn link(&self, file: &Path, position: &Position) {
        let saved = std::fs::create_dir_all(&self.directory).and_then(|()| {
            let path = view(&self.directory, position.log).path().to_owned();
            // One that is there already is as good.
            drop(std::fs::remove_file(&path));
            std::fs::hard_link(file, path).or_else(|_| {
                let path = view(&self.directory, position.log).path().to_owned();
                std::fs::copy(file, path).map(drop)
            })
        });
        self.note(saved, position);
    }

    /// Archives `view`.
    pub(super) fn keep(&self, content: &View, position: &Position) {
        let saved = view(&self.directory, position.log).save(content);
        self.note(saved, position);
    }

    fn note(&self, saved: std::io::Result<()>, position: &Position) {
        let saved = saved.and_then(|()| place(&self.directory, position.log).save(position));
        match saved {
            Ok(()) => drop(self.held().insert(position.log, position.clone())),
            Err(error) => {
                tracing::warn!(%error, "a view of the past cannot be kept: questions about then take longer")
            }
        }
    }

    /// The newest view that is folded no further than `wanted`, and further in the log than `after`; what is damaged is dropped.
    pub(super) fn nearest(&self, wanted: &Position, after: u64) -> Option<(Position, View)> {
        loop {
            let position = self
                .held()
                .range(after + 1..)
                .rev()
                .map(|(_, position)| position)
                .find(|position| position.is_before(wanted))?
                .clone();
            match view(&self.directory, position.log).load::<View>() {
                Some(found) if found.log == position.log => return Some((position, found)),
                Some(_) | None => self.drop(position.log),
            }
        }
    }

    fn drop(&self, log: u64) {
        self.held().remove(&log);
        for checkpoint in [view(&self.directory, log), place(&self.directory, log)] {
            drop(std::fs::remove_file(checkpoint.path()));
        }
    }
}

fn view(directory: &Path, log: u64) -> Checkpoint {
    Checkpoint::new(directory, &format!("{log:012}"))
}

fn place(directory: &Path, log: u64) -> Checkpoint {
    Checkpoint::new(directory, &format!("{log:012}.place"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(hub: &str, log: u64, acks: u64) -> Position {
        let epoch = Epoch {
            number: 1,
            hub: hub.to_owned(),
        };
        Position {
            epoch: Some(epoch),
            log,
            acks: BTreeMap::from([(0, acks)]),
        }
    }

    #[test]
    fn the_nearest_view_before_a_moment_is_found_and_a_damaged_one_is_passed_by() {
        let directory = tempfile::tempdir().expect("a directory");
        let archive = Archive::open(directory.path());
        assert!(archive.is_due(SPACING) && !archive.is_due(SPACING - 1));
        for (log, acks) in [(20_000, 5), (40_000, 50), (60_000, 70)] {
            let position = position("a", log, acks);
            let mut view = View::default();
            position.mark(&mut view);
            archive.keep(&view, &position);
        }
        let nearest = |archive: &Archive, log, acks| {
            let found = archive.nearest(&position("a", log, acks), 0);
            found.map(|(position, _)| position.log)
        };
        assert_eq!(nearest(&archive, 59_999, 60), Some(40_000));
        // Its acknowledgements reach further than those that are wanted.
        assert_eq!(nearest(&archive, 59_999, 49), Some(20_000));
        assert_eq!(nearest(&archive, 19_999, 49), None);

        for (after, now, gap) in [
            (0, 60_000, None),
            (0, 99_999, None),
            (0, 100_001, Some(60_000..100_001)),
            (60_000, 100_001, Some(60_000..100_001)),
            (100_001, 100_001, None),
            (100_002, 100_001, None),
        ] {
            assert_eq!(archive.gap(after, now), gap, "{after} {now}");
        }

        let again = Archive::open(directory.path());
        assert_eq!(again.held().len(), 3);
        std::fs::write(
            view(&directory.path().join("history"), 40_000).path(),
            b"torn",
        )
        .expect("written");
        assert_eq!(nearest(&again, 59_999, 60), Some(20_000));
        assert_eq!(again.held().len(), 2);

        let foreign = Archive::open(directory.path());
        foreign.belongs_to(position("b", 0, 0).epoch.as_ref().expect("named"));
        assert_eq!(Archive::open(directory.path()).held().len(), 0);
    }
}
