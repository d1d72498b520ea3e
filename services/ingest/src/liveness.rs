//! Which clusters are heard: only transitions are written to the log, and nothing is ever removed because of them.

use std::collections::BTreeMap;

use fleetcast_core::log::ClusterNews;
use fleetcast_core::model::ClusterName;
use fleetcast_core::time::Time;

/// When each cluster was heard last.
#[derive(Debug, Clone)]
pub(crate) struct Liveness {
    heard: BTreeMap<ClusterName, Time>,
    /// What was told already and is not in the log yet.
    told: BTreeMap<ClusterName, bool>,
    /// Nobody is called offline for what was missed before.
    since: Time,
    patience_ms: i64,
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

    /// A cluster was heard at `now`.
    pub(crate) fn heard(&mut self, cluster: &ClusterName, now: Time) {
        self.heard.insert(cluster.clone(), now);
    }

    /// What is to be written about `clusters`, each with what the log says about it; each transition is told once.
    pub(crate) fn news<'a>(
        &mut self,
        clusters: impl Iterator<Item = (&'a ClusterName, Option<bool>)>,
        now: Time,
    ) -> Vec<(ClusterName, ClusterNews)> {
        let mut news = Vec::new();
        for (cluster, logged) in clusters {
            if self.told.get(cluster).copied() == logged {
                self.told.remove(cluster);
            }
            let known = self.told.get(cluster).copied().or(logged);
            let heard = self.heard.get(cluster).copied();
            let is_fresh = |time: Time| now.ms_since(time) <= self.patience_ms;
            let online = match heard {
                Some(time) => is_fresh(time),
                // Not heard since the start: unknown for one interval, then silent.
                None if is_fresh(self.since) => continue,
                None => false,
            };
            match (online, known) {
                (true, Some(true)) | (false, Some(false) | None) => {}
                (true, Some(false) | None) => news.push((cluster.clone(), ClusterNews::Online {})),
                (false, Some(true)) => news.push((cluster.clone(), ClusterNews::Offline {})),
            }
        }
        for (cluster, what) in &news {
            self.told
                .insert(cluster.clone(), *what == ClusterNews::Online {});
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transitions_are_news_and_a_restart_is_no_silence() {
        let cluster = ClusterName::parse("eu").expect("valid");
        let mut liveness = Liveness::new(Time(1_000), 100);
        let news = |liveness: &mut Liveness, logged, now| {
            let news = liveness.news([(&cluster, logged)].into_iter(), Time(now));
            news.into_iter().map(|(_, news)| news).next()
        };
        assert_eq!(
            news(&mut liveness, Some(true), 1_100),
            None,
            "heard before the restart, perhaps"
        );
        assert_eq!(
            news(&mut liveness, None, 1_200),
            None,
            "never heard: there is nothing to say"
        );
        assert_eq!(
            news(&mut liveness, Some(true), 1_101),
            Some(ClusterNews::Offline {})
        );
        assert_eq!(news(&mut liveness, Some(true), 1_102), None, "told already");
        liveness.heard(&cluster, Time(2_000));
        assert_eq!(
            news(&mut liveness, Some(false), 2_000),
            Some(ClusterNews::Online {})
        );
        assert_eq!(news(&mut liveness, Some(true), 2_100), None);
        assert_eq!(
            news(&mut liveness, Some(true), 2_101),
            Some(ClusterNews::Offline {})
        );
    }
}
