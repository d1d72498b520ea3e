//! A federated object, whatever dialect it was written in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::division::Division;
use super::name::ClusterName;
use super::object::ObjectKey;
use super::selector::{Selector, Toleration};
use super::spread::{Preference, Spread};
use crate::digest;
use crate::overrides::Operation;

/// Who wrote a document in which words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Ours.
    Native,
    /// KubeFed's.
    Kubefed,
    /// Karmada's.
    Karmada,
}

/// One federated object: what should be where, and how it is applied there.
#[derive(Debug, Clone, PartialEq)]
pub struct FederatedObject {
    /// The object it becomes in every cluster.
    pub target: ObjectKey,
    /// The dialect it was written in.
    pub dialect: Dialect,
    /// The object before overrides, complete with apiVersion, kind, name and namespace.
    pub template: Value,
    /// Where it should be.
    pub placement: Placement,
    /// How its replicas are divided; none means that each cluster gets what the template says.
    pub division: Option<Division>,
    /// Whether each cluster keeps the replicas that it has (KubeFed's `retainReplicas`).
    pub retain_replicas: bool,
    /// What differs in which cluster, in the order of application.
    pub overrides: Vec<Override>,
    /// How it is applied in a cluster.
    pub apply: ApplyPolicy,
    /// Whether what its template names (ConfigMaps, Secrets, …) follows it.
    pub dependencies: bool,
    /// Whether propagation rests: nothing new is decided until it is lifted.
    pub suspend: bool,
}

/// Where an object should be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// Clusters named; with a selector both must hold.
    pub clusters: Option<Vec<ClusterName>>,
    /// Clusters by label; an empty selector is all of them.
    pub selector: Option<Selector>,
    /// Clusters left out whatever else says.
    pub exclude: Vec<ClusterName>,
    /// Taints that do not keep it away.
    pub tolerations: Vec<Toleration>,
    /// Over how many regions, zones, … it is spread.
    pub spread: Vec<Spread>,
    /// Groups of clusters of which the first that fits is taken; none means that all clusters are one group.
    pub preferences: Vec<Preference>,
}

/// What differs in some clusters.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// Clusters named; none together with no selector means all.
    pub clusters: Option<Vec<ClusterName>>,
    /// Clusters by label.
    pub selector: Option<Selector>,
    /// What is done to the object, in order, all or nothing.
    pub operations: Vec<Operation>,
}

/// How an object is applied in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyPolicy {
    /// What happens where another manager owns a field that we set.
    #[serde(default)]
    pub conflict: Conflict,
    /// What happens to an object that exists and is not ours.
    #[serde(default)]
    pub adopt: Adopt,
    /// What happens when somebody changes what we applied.
    #[serde(default)]
    pub drift: Drift,
    /// What happens to the members' copies when the object is withdrawn.
    #[serde(default)]
    pub on_delete: OnDelete,
    /// What happens when a field cannot be changed.
    #[serde(default)]
    pub on_immutable: OnImmutable,
    /// Whether later revisions reach an object that is there.
    #[serde(default)]
    pub mode: Mode,
    /// JSON pointers that are never set on an object that exists.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// How much of a copy's status travels back.
    #[serde(default, skip_serializing_if = "Reported::is_selected")]
    pub report: Reported,
    /// Whose copies are taken over as if they were ours: those of the controller whose words the object is written in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<Predecessor>,
}

/// A controller whose fleets are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Predecessor {
    /// KubeFed.
    Kubefed,
    /// Karmada.
    Karmada,
}

impl Predecessor {
    /// The domain of its labels, annotations and finalizers.
    pub fn domain(self) -> &'static str {
        match self {
            Self::Kubefed => "kubefed.io",
            Self::Karmada => "karmada.io",
        }
    }

    /// The label on every copy that it keeps; its value is `true`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Kubefed => "kubefed.io/managed",
            Self::Karmada => "karmada.io/managed",
        }
    }

    /// Whether a label, an annotation or a finalizer is its own: `kubefed.io/managed`, `work.karmada.io/name`.
    pub fn owns(self, key: &str) -> bool {
        let Some((prefix, _)) = key.split_once('/') else {
            return false;
        };
        let above = prefix.strip_suffix(self.domain());
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    }
}

impl ApplyPolicy {
    /// Tells whether two are the same to a cluster that holds the object: a digest, empty for the defaults. What happens on a withdrawal is not
    /// in it; that travels with the removal. Nor is whose copies are taken over: what is held is ours.
    pub fn mark(&self) -> String {
        let known = Self {
            on_delete: OnDelete::default(),
            predecessor: None,
            ..self.clone()
        };
        if known == Self::default() {
            return String::new();
        }
        let bytes = serde_json::to_vec(&known).expect("a policy has only string keys");
        digest::short(&bytes)
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// The words that may stand in a document.
            pub const WORDS: &'static [&'static str] = &[$($text),+];

            /// The value that `word` stands for.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

choice! {
    /// What happens where another manager owns a field that we set.
    Conflict {
        /// The apply is refused, naming manager and field.
        #[default]
        Fail = "fail",
        /// The field is taken over.
        Force = "force",
    }
}
choice! {
    /// What happens to an object that exists and is not ours.
    Adopt {
        /// It is left alone; the outcome says so.
        Never = "never",
        /// It is taken over where it already says what we would write.
        #[default]
        IfSame = "ifSame",
        /// It is taken over.
        Always = "always",
    }
}
choice! {
    /// What happens when somebody changes what we applied.
    Drift {
        /// It is put right.
        #[default]
        Heal = "heal",
        /// It is reported and left.
        Report = "report",
        /// It is not looked at.
        Ignore = "ignore",
    }
}
choice! {
    /// What happens to the members' copies when the object is withdrawn.
    OnDelete {
        /// They are deleted.
        #[default]
        Delete = "delete",
        /// They stay, without our marks.
        Orphan = "orphan",
    }
}
choice! {
    /// What happens when a field cannot be changed.
    OnImmutable {
        /// The outcome says so.
        #[default]
        Fail = "fail",
        /// The object is deleted and created anew.
        Recreate = "recreate",
    }
}
choice! {
    /// Whether later revisions reach an object that is there.
    Mode {
        /// They do.
        #[default]
        Sync = "sync",
        /// They do not: it is created and then left alone.
        CreateOnly = "createOnly",
    }
}
choice! {
    /// How much of a copy's status travels back; each is bounded.
    Reported {
        /// Some fields that a person looks for, by kind.
        #[default]
        Selected = "selected",
        /// What is summed up over all clusters for a plain object of a hub, with the copy's generation.
        Summed = "summed",
        /// All of it, with the copy's generation.
        Whole = "whole",
    }
}

impl Reported {
    // By reference, as serde calls it.
    fn is_selected(&self) -> bool {
        *self == Self::Selected
    }
}
