//! How a fleet comes to rest: no more faults, everybody is up, time passes.

use std::collections::BTreeSet;

use fleetcast_core::confirmation::Ruling;
use fleetcast_core::fold::Condition;

use super::World;
use crate::chance::Salt;
use crate::holds;
use crate::hub::{HandedIn, Hub};
use crate::step::Act;

/// How often everybody does all that they can before that counts as endless.
const TURNS: usize = 400;
/// How often time passes before a fleet that is not at rest counts as one that never is.
const ROUNDS: usize = 40;
/// After how many rounds every agent has asked for what it lacks, whatever it was told.
const SYNCED: usize = 6;
/// After how many rounds everything that was refused was asked again after the last fault.
const PATIENCE: usize = 9;

/// How often what waits is confirmed before that counts as without effect: what is confirmed may make more go.
const CONFIRMED: u32 = 10;

impl World {
    /// Everybody who is up does all that they can; whether anything was done.
    pub(crate) fn flow(&mut self, mut draw: Salt) -> bool {
        let mut ever = false;
        let mut turns = 0;
        loop {
            let mut did = false;
            for index in 0..self.hubs.len() {
                if self.hubs[index].paused {
                    continue;
                }
                if turns == 0 {
                    self.act_of_hub(Act::Lease, index, &mut draw);
                }
                for act in [
                    Act::ReadLog,
                    Act::Door,
                    Act::Store,
                    Act::StoreWork,
                    Act::Learn,
                    Act::ReadAcks,
                ] {
                    did |= self.act_of_hub(act, index, &mut draw);
                }
            }
            for index in 0..self.members.len() {
                if self.members[index].paused {
                    continue;
                }
                for act in [
                    Act::Live,
                    Act::Sync,
                    Act::Attempt,
                    Act::Done,
                    Act::Shown,
                    Act::StoreAcks,
                    Act::Seen,
                    Act::Remember,
                ] {
                    did |= self.act_of_member(act, index, &mut draw);
                }
            }
            for index in 0..self.aggregators.len() {
                if !self.aggregators[index].paused {
                    did |= self.fold(index, 1_000, &mut draw);
                }
            }
            ever |= did;
            turns += 1;
            if !did || turns >= TURNS {
                break;
            }
        }
        if turns >= TURNS && self.healed {
            self.failures
                .push("rest: work goes in circles without time passing".to_owned());
        }
        ever
    }

    /// Ends all faults and lets time pass until nothing is left to do.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        for hub in &mut self.hubs {
            hub.paused = false;
        }
        for aggregator in &mut self.aggregators {
            aggregator.paused = false;
        }
        let stubborn = self.options.seed.is_multiple_of(3);
        for member in &mut self.members {
            member.paused = false;
            member.server.cut = false;
            member.server.lingering.clear();
            if !stubborn {
                member.server.refuses.clear();
            }
            if !member.connected {
                member.connect(true, self.now);
            }
        }
        self.tell(|| "all faults end".to_owned());
        self.come_to_rest(SYNCED);
        // In some fleets nobody confirms: then it waits for ever.
        for round in 0..CONFIRMED {
            let waiting = holds::waiting(&self.bus.log);
            if waiting.is_empty() || self.options.seed % 4 == 3 || !self.failures.is_empty() {
                return;
            }
            let mut draw = Salt::new(0);
            for (number, id) in (0..).zip(&waiting) {
                let upto = self.bus.log.last();
                let count = u32::MAX - round * 100 - number;
                let submission = holds::confirmation(id, upto, Ruling::Remove, count);
                self.at_doors(&HandedIn::Change(submission), &mut draw);
            }
            self.come_to_rest(0);
        }
        let waiting = holds::waiting(&self.bus.log);
        self.failures
            .push(format!("rest: {waiting:?} waits although it is confirmed"));
    }

    /// Lets time pass until nothing is left to do, for so many rounds at least.
    pub(crate) fn come_to_rest(&mut self, least: usize) {
        let mut quiet = 0;
        for round in 0..ROUNDS {
            for member in &mut self.members {
                member.server.finish_deletions();
            }
            let unanswered: Vec<_> = self.publishers.unanswered().cloned().collect();
            let mut draw = Salt::new(0);
            for submission in unanswered {
                self.at_doors(&HandedIn::Change(submission), &mut draw);
            }
            self.flow(Salt::new(0));
            if !self.failures.is_empty() {
                return;
            }
            quiet = if round + 1 >= least && self.is_at_rest() {
                quiet + 1
            } else {
                0
            };
            // Who was refused asks again, ever more rarely: that takes its time.
            let all_idle = self.members.iter().all(|member| member.agent.is_idle());
            if quiet >= 2 && round >= if all_idle { least } else { PATIENCE } {
                let now = self.now;
                self.tell(|| format!("at rest after {round} rounds, at {now}"));
                return;
            }
            let ms = [500, 500, 3_000, 10_000, 70_000, 70_000, 400_000];
            let ms = ms[round.min(ms.len() - 1)];
            if self.hubs.iter().any(Hub::leads) {
                self.bus.lease.keep(self.now, ms);
            }
            self.pass(ms);
        }
        let unrest = self.unrest();
        self.failures
            .push(format!("rest: the fleet does not come to rest: {unrest}"));
    }

    fn is_at_rest(&self) -> bool {
        let hubs = self.hubs.iter().all(|hub| hub.is_still(&self.bus));
        let leads = self.hubs.iter().any(|hub| hub.leads());
        let views = self
            .aggregators
            .iter()
            .all(|aggregator| aggregator.is_still(&self.bus));
        hubs && leads
            && views
            && self.publishers.unanswered().next().is_none()
            && self.members.iter().all(|member| member.is_still())
            && self.unsettled().is_empty()
    }

    /// What is not as it should be and has no answer that says why.
    fn unsettled(&self) -> Vec<String> {
        let view = &self.aggregators[0].view;
        let mut unsettled = Vec::new();
        let mut refused = BTreeSet::new();
        for (object, _) in view.objects() {
            for member in &self.members {
                let answer = view.answer(object, &member.name);
                if answer.is_some_and(|answer| !answer.outcome.is_final()) {
                    refused.insert(&member.name);
                }
            }
            for row in view.rows(object) {
                let no = view
                    .answer(object, &row.cluster)
                    .is_some_and(|answer| !answer.outcome.is_final());
                let waits = match row.condition {
                    Condition::Pending | Condition::Deciding => true,
                    Condition::Removing => !no,
                    Condition::Applied
                    | Condition::Refused
                    | Condition::Retrying
                    | Condition::Held
                    | Condition::Ahead
                    | Condition::Excluded => false,
                };
                if waits {
                    unsettled.push(format!("{object} in {}: {:?}", row.cluster, row.condition));
                }
            }
        }
        for member in &self.members {
            if !member.agent.is_idle() && !refused.contains(&member.name) {
                unsettled.push(format!("{}: its agent is not idle", member.name));
            }
        }
        unsettled
    }

    fn unrest(&self) -> String {
        let mut lines: Vec<String> = self.hubs.iter().map(|hub| hub.unrest()).collect();
        for member in &self.members {
            lines.push(format!(
                "{}: still {}, idle {}, follows {:?}",
                member.name,
                member.is_still(),
                member.agent.is_idle(),
                member.follows()
            ));
        }
        lines.push(format!("unsettled: {:?}", self.unsettled()));
        let unanswered = self.publishers.unanswered().count();
        lines.push(format!("unanswered submissions: {unanswered}"));
        lines.join("; ")
    }
}
