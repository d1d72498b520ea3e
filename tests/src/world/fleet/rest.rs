//! How a fleet comes to rest: no more faults, everybody is up, time passes.

use super::World;
use crate::world::chance::Salt;
use crate::world::hub::HandedIn;
use crate::world::step::Act;

/// How often everybody does all that they can before that counts as endless.
const TURNS: usize = 400;
/// How often time passes before a fleet that is not at rest counts as one that never is.
const ROUNDS: usize = 120;

impl World {
    /// Everybody who is up does all that they can, without faults; whether anything was done.
    pub(in crate::world) fn flow(&mut self) -> bool {
        let healed = std::mem::replace(&mut self.healed, true);
        let mut ever = false;
        let mut turns = 0;
        loop {
            let mut did = false;
            let mut draw = Salt::new(0);
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
        if turns >= TURNS {
            self.failures
                .push("rest: work goes in circles without time passing".to_owned());
        }
        self.healed = healed;
        ever
    }

    /// Ends all faults and lets time pass until nothing is left to do.
    pub(in crate::world) fn heal(&mut self) {
        self.healed = true;
        for hub in &mut self.hubs {
            hub.paused = false;
        }
        for aggregator in &mut self.aggregators {
            aggregator.paused = false;
        }
        let stubborn = self.options.seed % 3 == 0;
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
        self.come_to_rest();
    }

    /// Lets time pass until nothing is left to do.
    pub(in crate::world) fn come_to_rest(&mut self) {
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
            self.flow();
            if !self.failures.is_empty() {
                return;
            }
            quiet = if self.is_at_rest() { quiet + 1 } else { 0 };
            if quiet == 2 {
                let now = self.now;
                self.tell(|| format!("at rest after {round} rounds, at {now}"));
                return;
            }
            let ms = [500, 3_000, 10_000, 60_000, 400_000];
            self.pass(ms[(round / 4).min(ms.len() - 1)]);
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

    /// Clusters whose agents are not idle although no row says why.
    fn unsettled(&self) -> Vec<String> {
        let view = &self.aggregators[0].view;
        self.members
            .iter()
            .filter(|member| !member.agent.is_idle())
            .filter(|member| {
                let explained = view.objects().any(|(object, _)| {
                    let answer = view.answer(object, &member.name);
                    answer.is_some_and(|answer| !answer.outcome.is_final())
                });
                !explained
            })
            .map(|member| member.name.to_string())
            .collect()
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
