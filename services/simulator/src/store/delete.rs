//! Delete: finalizers, dependents, and what goes with a namespace or a definition.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Answer, Asked, Moment, Store};
use crate::kind::Kind;
use crate::kinds::{self, DEFINITIONS, NAMESPACES};
use crate::object::{Key, Stored, has_no_finalizers, metadata_mut};
use crate::request::{List, ObjectsRequest, Propagation};
use crate::status::Failure;
use crate::{patch, view};

/// What a delete request's body may add to its URL (`DeleteOptions`).
struct Options {
    uid: Option<String>,
    resource_version: Option<String>,
    propagation: Propagation,
    dry_run: bool,
}

impl Options {
    fn read(
        request: &ObjectsRequest,
        propagation: Option<Propagation>,
        body: &[u8],
    ) -> Result<Self, Failure> {
        let options = if body.is_empty() {
            Value::Null
        } else {
            patch::read_value(body)?
        };
        let text = |path: &str| {
            options
                .pointer(path)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let stated = text("/propagationPolicy")
            .map(|policy| Propagation::parse(&policy))
            .transpose()?;
        Ok(Options {
            uid: text("/preconditions/uid"),
            resource_version: text("/preconditions/resourceVersion"),
            propagation: propagation.or(stated).unwrap_or(Propagation::Background),
            dry_run: request.dry_run
                || options
                    .get("dryRun")
                    .and_then(Value::as_array)
                    .is_some_and(|stages| !stages.is_empty()),
        })
    }

    fn check(&self, kind: &Kind, stored: &Stored) -> Result<(), Failure> {
        let name = &*stored.name;
        if let Some(uid) = self.uid.as_deref().filter(|uid| *uid != &*stored.uid) {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                stored.uid
            );
            return Err(Failure::conflict(kind, name, &why));
        }
        if let Some(version) = self
            .resource_version
            .as_deref()
            .filter(|version| *version != stored.version.to_string())
        {
            let why = format!(
                "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {}",
                stored.version
            );
            return Err(Failure::conflict(kind, name, &why));
        }
        Ok(())
    }
}

/// What a delete did.
enum Deleted {
    Gone(Arc<Stored>),
    /// Something still holds the object back.
    Waiting(Arc<Stored>),
}

impl Store {
    pub(super) fn delete(
        &mut self,
        asked: &Asked<'_>,
        name: &str,
        propagation: Option<Propagation>,
    ) -> Result<Answer, Failure> {
        let Asked {
            target,
            request,
            body,
            moment,
        } = *asked;
        let options = Options::read(request, propagation, body)?;
        let kind = &target.kind;
        let stored = self.existing(kind, &request.namespace, name)?;
        options.check(kind, &stored)?;
        let protected = kind.is(NAMESPACES) && super::NAMESPACES_AT_START[..3].contains(&name);
        if protected {
            return Err(Failure::forbidden(
                kind,
                name,
                "this namespace may not be deleted",
            ));
        }
        let deleted = if options.dry_run {
            Deleted::Gone(stored)
        } else {
            self.delete_one(kind, &stored, options.propagation, moment)
        };
        let body = match deleted {
            Deleted::Waiting(stored) => view::one(target, &stored, request.view, moment.now),
            Deleted::Gone(stored) if kind.is("pods") || kind.is(NAMESPACES) => {
                view::one(target, &stored, request.view, moment.now)
            }
            Deleted::Gone(stored) => {
                let mut details = json!({"name": name});
                if !kind.group.is_empty() {
                    details["group"] = json!(kind.group);
                }
                details["kind"] = json!(kind.plural);
                details["uid"] = json!(stored.uid);
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}).to_string().into_bytes()
            }
        };
        Ok(Answer::ok(body))
    }

    pub(super) fn delete_collection(
        &mut self,
        asked: &Asked<'_>,
        list: &List,
        propagation: Option<Propagation>,
    ) -> Result<Answer, Failure> {
        let Asked {
            target,
            request,
            body,
            moment,
        } = *asked;
        let options = Options::read(request, propagation, body)?;
        let page = self.page(target, request, list)?;
        if !options.dry_run {
            for stored in &page.objects {
                // An earlier one may have taken this one along.
                if let Some(current) = self
                    .find(&target.kind, &stored.namespace, &stored.name)
                    .cloned()
                {
                    self.delete_one(&target.kind, &current, options.propagation, moment);
                }
            }
        }
        Ok(Answer::ok(view::many(
            target,
            &page,
            request.view,
            moment.now,
        )))
    }

    /// Deletes an object, or marks it as deleted if something still holds it back.
    fn delete_one(
        &mut self,
        kind: &Arc<Kind>,
        stored: &Arc<Stored>,
        propagation: Propagation,
        moment: &Moment<'_>,
    ) -> Deleted {
        let object = stored.read();
        let holds_content = kind.is(NAMESPACES) || kind.is(DEFINITIONS);
        if propagation == Propagation::Orphan {
            self.orphan_dependents(&stored.uid);
        }
        if has_no_finalizers(&object) && !holds_content {
            return match self.remove(kind, &stored.key(), moment) {
                Some(last) => Deleted::Gone(last),
                None => Deleted::Gone(Arc::clone(stored)),
            };
        }
        let marked = if stored.deleting {
            Arc::clone(stored)
        } else {
            self.mark(kind, object, moment)
        };
        if holds_content {
            self.delete_content(kind, &marked, moment);
            self.finish(kind, &marked.key(), moment);
        }
        if self.find(kind, &marked.namespace, &marked.name).is_some() {
            Deleted::Waiting(marked)
        } else {
            Deleted::Gone(marked)
        }
    }

    /// Sets `deletionTimestamp`.
    fn mark(&mut self, kind: &Arc<Kind>, mut object: Value, moment: &Moment<'_>) -> Arc<Stored> {
        let metadata = metadata_mut(&mut object);
        metadata.insert("deletionTimestamp".into(), json!(moment.text()));
        metadata.insert("deletionGracePeriodSeconds".into(), json!(0));
        if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
            metadata.insert("generation".into(), json!(generation + 1));
        }
        if kind.is(NAMESPACES) {
            object["status"]["phase"] = json!("Terminating");
        }
        self.put(kind, object).expect("the object hardly grew")
    }

    /// Takes an object away for good, with the dependents that have no other owner.
    pub(super) fn remove(
        &mut self,
        kind: &Arc<Kind>,
        key: &Key,
        moment: &Moment<'_>,
    ) -> Option<Arc<Stored>> {
        let removed = self.take(kind, key)?;
        if kind.is(DEFINITIONS) {
            self.undefine(&removed.name);
        }
        self.delete_dependents(&removed.uid, moment);
        self.finish_holders(kind, &removed, moment);
        Some(removed)
    }

    fn delete_dependents(&mut self, owner: &str, moment: &Moment<'_>) {
        for (kind, stored) in self.dependents(owner) {
            let others_live = stored
                .owners
                .iter()
                .any(|uid| &**uid != owner && self.is_alive(uid));
            let still_there = self.find(&kind, &stored.namespace, &stored.name).cloned();
            if let Some(current) =
                still_there.filter(|current| !others_live && current.uid == stored.uid)
            {
                self.delete_one(&kind, &current, Propagation::Background, moment);
            }
        }
    }

    fn orphan_dependents(&mut self, owner: &str) {
        for (kind, stored) in self.dependents(owner) {
            let mut object = stored.read();
            let metadata = metadata_mut(&mut object);
            if let Some(owners) = metadata
                .get_mut("ownerReferences")
                .and_then(Value::as_array_mut)
            {
                owners.retain(|reference| {
                    reference.get("uid").and_then(Value::as_str) != Some(owner)
                });
                if owners.is_empty() {
                    metadata.remove("ownerReferences");
                }
            }
            self.put(&kind, object).expect("the object became smaller");
        }
    }

    fn dependents(&self, owner: &str) -> Vec<(Arc<Kind>, Arc<Stored>)> {
        let owned = |stored: &&Arc<Stored>| stored.owners.iter().any(|uid| &**uid == owner);
        let objects = self.objects.iter().flat_map(|(resource, objects)| {
            objects
                .values()
                .filter(owned)
                .map(move |stored| (resource, stored))
        });
        objects
            .filter_map(|(resource, stored)| {
                Some((Arc::clone(self.kind_of(resource)?), Arc::clone(stored)))
            })
            .collect()
    }

    fn is_alive(&self, uid: &str) -> bool {
        self.objects
            .values()
            .flat_map(|objects| objects.values())
            .any(|stored| &*stored.uid == uid)
    }

    pub(super) fn kind_of(&self, resource: &str) -> Option<&Arc<Kind>> {
        kinds::by_resource(resource).or_else(|| self.custom.get(resource))
    }

    /// Deletes everything in a namespace, or every object of a definition.
    fn delete_content(&mut self, holder: &Kind, stored: &Stored, moment: &Moment<'_>) {
        for (kind, object) in self.content(holder, stored) {
            if let Some(current) = self.find(&kind, &object.namespace, &object.name).cloned() {
                self.delete_one(&kind, &current, Propagation::Background, moment);
            }
        }
    }

    fn content(&self, holder: &Kind, stored: &Stored) -> Vec<(Arc<Kind>, Arc<Stored>)> {
        if holder.is(DEFINITIONS) {
            let Some(kind) = self.custom.get(&*stored.name) else {
                return Vec::new();
            };
            let objects = self
                .objects
                .get(&kind.resource)
                .into_iter()
                .flat_map(|objects| objects.values());
            return objects
                .map(|object| (Arc::clone(kind), Arc::clone(object)))
                .collect();
        }
        let mut content = Vec::new();
        for (resource, objects) in &self.objects {
            let Some(kind) = self.kind_of(resource).filter(|kind| kind.namespaced) else {
                continue;
            };
            let inside = objects
                .values()
                .filter(|object| object.namespace == stored.name);
            content.extend(inside.map(|object| (Arc::clone(kind), Arc::clone(object))));
        }
        content
    }

    /// After an object went, its namespace and its definition may have waited for just that.
    fn finish_holders(&mut self, kind: &Arc<Kind>, removed: &Stored, moment: &Moment<'_>) {
        if kind.namespaced {
            let namespaces = kinds::by_resource(NAMESPACES).expect("namespaces are in the table");
            self.finish(namespaces, &Key::new("", &removed.namespace), moment);
        }
        if kind.origin == crate::kind::Origin::Custom {
            let definitions =
                kinds::by_resource(DEFINITIONS).expect("definitions are in the table");
            self.finish(definitions, &Key::new("", &kind.resource), moment);
        }
    }

    /// Takes away a holder that is marked, empty and without finalizers.
    fn finish(&mut self, holder: &Arc<Kind>, key: &Key, moment: &Moment<'_>) {
        let Some(stored) = self.find(holder, &key.namespace, &key.name).cloned() else {
            return;
        };
        if stored.deleting
            && has_no_finalizers(&stored.read())
            && self.content(holder, &stored).is_empty()
        {
            self.remove(holder, key, moment);
        }
    }
}
