//! The rules that keep an object away from one cluster.

use crate::dialect::karmada::member::Member;
use crate::dialect::karmada::policy::{Group, SpreadBy};
use crate::model::TaintEffect;
use crate::placement::Exclusion;

use super::Ask;

/// Which tier of the group a cluster belongs to and why, or the first rule that keeps the object away.
pub(super) fn judge(
    ask: &Ask<'_>,
    group: &Group,
    member: &Member,
) -> Result<(usize, Vec<String>), (Exclusion, String)> {
    let mut judgements = group.tiers.iter().map(|tier| tier.judge(member));
    let first = judgements.next().unwrap_or_else(|| Ok(Vec::new()));
    let (tier, mut reasons) = match first {
        Ok(reasons) => (0, reasons),
        Err(no) => judgements
            .enumerate()
            .find_map(|(index, judgement)| Some((index + 1, judgement.ok()?)))
            .ok_or_else(|| (no.0, no.1 + &of_group(group)))?,
    };
    if let Some(name) = &group.name {
        reasons.insert(0, format!("in the group {name}, which is in use"));
    }
    if tier > 0 {
        reasons.push(format!("in overflow tier {tier}"));
    }
    if member.leaving {
        return Err((
            Exclusion::Cordoned,
            "is being removed from the fleet".to_owned(),
        ));
    }
    if !ask.held.contains_key(&member.name) {
        keeps_new_ones_away(ask, member)?;
    }
    for constraint in &ask.placement.spread {
        let (has, what) = match &constraint.by {
            SpreadBy::Region => (member.region.is_some(), "region"),
            SpreadBy::Provider => (member.provider.is_some(), "provider"),
            SpreadBy::Zone => (!member.zones.is_empty(), "zones"),
            SpreadBy::Cluster | SpreadBy::Label(_) => (true, ""),
        };
        if !has {
            return Err((
                Exclusion::Spread,
                format!("has no {what}, which a spread constraint goes by"),
            ));
        }
    }
    Ok((tier, reasons))
}

/// The rules that spare a cluster where the object is already.
fn keeps_new_ones_away(ask: &Ask<'_>, member: &Member) -> Result<(), (Exclusion, String)> {
    if !member.serves(ask.api_version, ask.kind) {
        return Err((
            Exclusion::ApiMissing,
            format!("does not serve {} {}", ask.api_version, ask.kind),
        ));
    }
    let untolerated = member.taints.iter().find(|taint| {
        matches!(
            taint.effect,
            TaintEffect::NoSchedule | TaintEffect::NoExecute
        ) && !ask
            .placement
            .tolerations
            .iter()
            .any(|toleration| toleration.tolerates(taint))
    });
    if let Some(taint) = untolerated {
        return Err((
            Exclusion::Tainted,
            format!(
                "has the taint {}={}:{:?}, which is not tolerated",
                taint.key, taint.value, taint.effect
            ),
        ));
    }
    if member.cordoned {
        return Err((
            Exclusion::Cordoned,
            "is cordoned: it takes nothing new".to_owned(),
        ));
    }
    Ok(())
}

/// ` in the group x`; nothing for the one group of a `clusterAffinity`.
pub(super) fn of_group(group: &Group) -> String {
    group
        .name
        .as_ref()
        .map_or_else(String::new, |name| format!(" in the group {name}"))
}
