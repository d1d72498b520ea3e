//! How clusters stand by their heartbeats: only transitions are written to the log, and nothing is ever removed because of them.

use std::collections::BTreeMap;

use fleetcast_core::log::ClusterNews;
use fleetcast_core::model::ClusterName;
use fleetcast_core::readiness::Readiness;
use fleetcast_core::time::Time;

/// When each cluster was heard last, and what it said.
#[derive(Debug, Clone)]
pub(crate) struct Liveness {
    heard: BTreeMap<ClusterName, Heard>,
    /// What was told already and is not in the log yet.
    told: BTreeMap<ClusterName, Readiness>,
    /// Nobody is called offline for what was missed before.
    since: Time,
    patience_ms: i64,
}

/// A heartbeat, as far as it counts here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// When it was heard.
    pub(crate) at: Time,
    /// The lease transitions of the agent.
    pub(crate) transitions: u64,
    /// Why the agent cannot do its work; none where it can.
    pub(crate) trouble: Option<String>,
}

impl Liveness {
    /// Begins to listen at `now`; a cluster is offline after `patience_ms` of silence.
    pub(crate) fn new(now: Time, patience_ms: i64) -> Self {
        Self {
            heard: BTreeMap::new(),
            told: BTreeMap::new(),
            since: now,
            patience_ms,
        }
    }

    /// An agent of the cluster was heard. Of two agents, the one that took the cluster's lease later has the word while it is heard: another one that
    /// waits for the lease may not reach the cluster, which does not concern it.
    pub(crate) fn heard(&mut self, cluster: &ClusterName, heartbeat: Heard) {
        let outranked = self.heard.get(cluster).is_some_and(|before| {
            before.transitions > heartbeat.transitions && self.is_fresh(before.at, heartbeat.at)
        });
        if !outranked {
            self.heard.insert(cluster.clone(), heartbeat);
        }
    }

    fn is_fresh(&self, heard: Time, now: Time) -> bool {
        now.ms_since(heard) <= self.patience_ms
    }

    /// How the cluster stands at `now`; none where that cannot be known yet.
    fn stands(&self, cluster: &ClusterName, now: Time) -> Option<Readiness> {
        match self.heard.get(cluster) {
            Some(heard) if self.is_fresh(heard.at, now) => {
                Some(Readiness::of(Some(true), heard.trouble.is_some()))
            }
            // Not heard since the start: unknown for one interval, then silent.
            None if self.is_fresh(self.since, now) => None,
            Some(_) | None => Some(Readiness::Offline),
        }
    }

    /// What is to be written about `clusters`, each with what the log says about it; each transition is told once.
    pub(crate) fn news<'a>(
        &mut self,
        clusters: impl Iterator<Item = (&'a ClusterName, Option<Readiness>)>,
        now: Time,
    ) -> Vec<(ClusterName, ClusterNews)> {
        let mut news = Vec::new();
        for (cluster, logged) in clusters {
            if self.told.get(cluster).copied() == logged {
                self.told.remove(cluster);
            }
            let known = self.told.get(cluster).copied().or(logged);
            let Some(stands) = self.stands(cluster, now) else {
                continue;
            };
            let what = match (stands, known) {
                (stands, Some(known)) if stands == known => continue,
                // Never heard: there is nothing to say.
                (Readiness::Offline, None) | (Readiness::Unknown, _) => continue,
                (Readiness::Offline, Some(_)) => ClusterNews::Offline {},
                (Readiness::Ready | Readiness::Degraded, _) => ClusterNews::Online {
                    trouble: self
                        .heard
                        .get(cluster)
                        .and_then(|heard| heard.trouble.clone()),
                },
            };
            self.told.insert(cluster.clone(), stands);
            news.push((cluster.clone(), what));
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Readiness::{Degraded, Offline, Ready};

    const PATIENCE_MS: i64 = 100;

    fn name() -> ClusterName {
        ClusterName::parse("eu").expect("valid")
    }

    fn heartbeat(at: i64, transitions: u64, trouble: Option<&str>) -> Heard {
        Heard {
            at: Time(at),
            transitions,
            trouble: trouble.map(str::to_owned),
        }
    }

    fn news(liveness: &mut Liveness, logged: Option<Readiness>, now: i64) -> Option<ClusterNews> {
        let news = liveness.news([(&name(), logged)].into_iter(), Time(now));
        news.into_iter().map(|(_, news)| news).next()
    }

    #[test]
    fn only_transitions_are_news_and_a_restart_is_no_silence() {
        let mut liveness = Liveness::new(Time(1_000), PATIENCE_MS);
        for (logged, now, why) in [
            (Some(Ready), 1_100, "heard before the restart, perhaps"),
            (Some(Degraded), 1_100, "as well"),
            (None, 1_200, "never heard: there is nothing to say"),
        ] {
            assert_eq!(news(&mut liveness, logged, now), None, "{why}");
        }
        assert_eq!(
            news(&mut liveness, Some(Ready), 1_101),
            Some(ClusterNews::Offline {})
        );
        assert_eq!(
            news(&mut liveness, Some(Ready), 1_102),
            None,
            "told already"
        );
        liveness.heard(&name(), heartbeat(2_000, 1, None));
        assert_eq!(
            news(&mut liveness, Some(Offline), 2_000),
            Some(ClusterNews::READY)
        );
        assert_eq!(news(&mut liveness, Some(Ready), 2_100), None);
        assert_eq!(
            news(&mut liveness, Some(Ready), 2_101),
            Some(ClusterNews::Offline {})
        );
    }

    #[test]
    fn an_agent_in_trouble_makes_its_cluster_degraded_until_it_is_out_of_it() {
        let mut liveness = Liveness::new(Time(0), PATIENCE_MS);
        let degraded = |why: &str| ClusterNews::Online {
            trouble: Some(why.to_owned()),
        };
        liveness.heard(&name(), heartbeat(10, 1, Some("refused")));
        assert_eq!(news(&mut liveness, None, 10), Some(degraded("refused")));
        liveness.heard(&name(), heartbeat(20, 1, Some("silent")));
        assert_eq!(
            news(&mut liveness, Some(Degraded), 20),
            None,
            "another reason is no transition"
        );
        liveness.heard(&name(), heartbeat(30, 2, None));
        assert_eq!(
            news(&mut liveness, Some(Degraded), 30),
            Some(ClusterNews::READY)
        );
        liveness.heard(&name(), heartbeat(40, 2, Some("silent")));
        assert_eq!(
            news(&mut liveness, Some(Ready), 40),
            Some(degraded("silent"))
        );
        assert_eq!(
            news(&mut liveness, Some(Degraded), 141),
            Some(ClusterNews::Offline {})
        );
    }

    #[test]
    fn the_agent_that_took_the_lease_last_has_the_word_while_it_is_heard() {
        let mut liveness = Liveness::new(Time(0), PATIENCE_MS);
        liveness.heard(&name(), heartbeat(0, 5, None));
        liveness.heard(&name(), heartbeat(10, 0, Some("cannot reach it from here")));
        assert_eq!(news(&mut liveness, Some(Ready), 10), None, "does not act");
        liveness.heard(
            &name(),
            heartbeat(101, 0, Some("cannot reach it from here")),
        );
        assert!(
            matches!(
                news(&mut liveness, Some(Ready), 101),
                Some(ClusterNews::Online { trouble: Some(_) })
            ),
            "nobody else is heard"
        );
        liveness.heard(&name(), heartbeat(102, 6, None));
        assert_eq!(
            news(&mut liveness, Some(Degraded), 102),
            Some(ClusterNews::READY)
        );
    }
}
