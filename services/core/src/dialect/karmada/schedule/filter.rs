//! The rules that keep an object away from one cluster.

use crate::dialect::karmada::affinity::ClusterAffinity;
use crate::dialect::karmada::member::Member;
use crate::dialect::karmada::policy::{Group, SpreadBy};
use crate::model::TaintEffect;
use crate::placement::Exclusion;

use super::Ask;

/// Which tier of the group means a cluster; none where no tier does.
pub(super) fn tier_of(group: &Group, member: &Member) -> Option<usize> {
    match group.tiers.is_empty() {
        true => Some(0),
        false => group.tiers.iter().position(|tier| tier.matches(member)),
    }
}

/// Why no tier of the group means a cluster: as the first of them says it.
pub(super) fn unmeant(group: &Group, member: &Member) -> Option<(Exclusion, String)> {
    let (reason, text) = group.tiers.first()?.unmet(member)?;
    Some((reason, text + &of_group(group)))
}

/// Why a tier of the group means the clusters that it means.
pub(super) fn reasons(group: &Group, tier: usize) -> Vec<String> {
    let in_use = group.name.iter();
    let in_use = in_use.map(|name| format!("in the group {name}, which is in use"));
    let affinity = group.tiers.get(tier).map(ClusterAffinity::reasons);
    let overflow = (tier > 0).then(|| format!("in overflow tier {tier}"));
    in_use
        .chain(affinity.into_iter().flatten())
        .chain(overflow)
        .collect()
}

/// The first rule that keeps the object away from a cluster that the group means.
pub(super) fn judge(ask: &Ask<'_>, member: &Member) -> Result<(), (Exclusion, String)> {
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
    Ok(())
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
