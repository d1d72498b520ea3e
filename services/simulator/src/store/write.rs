//! Create, update and patch, server-side apply among them.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::incoming::{
    MODIFIED, checked, generated_name, preconditions_of_apply, read_body, restrict,
    take_from_metadata, writer,
};
use super::upkeep::{
    copy, keep_server_metadata, normalize, remove, set_at_start, take_managers, wishes_differ,
};
use super::{Answer, Asked, Store};
use crate::apply::{self, Owned};
use crate::kind::{Generation, Kind, Origin};
use crate::kinds::{DEFINITIONS, NAMESPACES};
use crate::object::{Stored, has_no_finalizers, meta_text, metadata_mut};
use crate::patch;
use crate::request::{PatchForm, Subresource};
use crate::status::{Failure, Invalid};
use crate::{validate, view};

impl Store {
    pub(super) fn create(&mut self, asked: &Asked<'_>) -> Result<Answer, Failure> {
        let Asked {
            target,
            request,
            body,
            moment,
        } = *asked;
        let mut object = read_body(target, request, None, body)?;
        if meta_text(&object, "resourceVersion").is_some() {
            return Err(Failure::new(
                500,
                "",
                "resourceVersion should not be set on objects to be created",
            ));
        }
        if meta_text(&object, "name").is_none() {
            let name = match meta_text(&object, "generateName") {
                Some(prefix) => generated_name(prefix, moment),
                None => {
                    let invalid =
                        Invalid::required("metadata.name", "name or generateName is required");
                    return Err(Failure::invalid(&target.kind, "", invalid));
                }
            };
            metadata_mut(&mut object).insert("name".into(), json!(name));
        }
        let name = meta_text(&object, "name").unwrap_or_default().to_owned();
        if self.find(&target.kind, &request.namespace, &name).is_some() {
            return Err(Failure::already_exists(&target.kind, &name));
        }
        take_from_metadata(&mut object);
        if target.version().status {
            remove(&mut object, "status");
        }
        let time = moment.text();
        let writer = writer(target, request, &time);
        let managers = apply::update(
            &Owned::absent().object,
            &object,
            Vec::new(),
            target.kind.rules(target.version()),
            writer,
        );
        self.create_owned(asked, &name, Owned { object, managers })
    }

    pub(super) fn update(&mut self, asked: &Asked<'_>, name: &str) -> Result<Answer, Failure> {
        let Asked {
            target,
            request,
            body,
            ..
        } = *asked;
        let object = read_body(target, request, Some(name), body)?;
        let before = self.existing(&target.kind, &request.namespace, name)?;
        if target.kind.origin == Origin::Custom && meta_text(&object, "resourceVersion").is_none() {
            let why = "must be specified for an update";
            let invalid = Invalid::value("metadata.resourceVersion", &Value::Null, why);
            return Err(Failure::invalid(&target.kind, name, invalid));
        }
        self.replace(asked, &before, object)
    }

    pub(super) fn patch(
        &mut self,
        asked: &Asked<'_>,
        name: &str,
        form: PatchForm,
        force: bool,
    ) -> Result<Answer, Failure> {
        let Asked {
            target,
            request,
            body,
            ..
        } = *asked;
        if form == PatchForm::Apply {
            return self.apply(asked, name, force);
        }
        let before = self.existing(&target.kind, &request.namespace, name)?;
        let mut object = before.read();
        let version = target.version();
        // A patch may name the kind, and so sees it.
        object["apiVersion"] = json!(version.api_version);
        object["kind"] = json!(target.kind.kind);
        patch::patch(&mut object, form, body, &target.kind, version)?;
        let object = checked(target, request, Some(name), object)?;
        self.replace(asked, &before, object)
    }

    fn apply(&mut self, asked: &Asked<'_>, name: &str, force: bool) -> Result<Answer, Failure> {
        let Asked {
            target,
            request,
            body,
            moment,
        } = *asked;
        if !request.manager_stated {
            let message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
            return Err(Failure::new(422, "Invalid", message));
        }
        let config = patch::read_value(body)?;
        let (api_version, kind) = (config["apiVersion"].as_str(), config["kind"].as_str());
        if let (Some(api_version), Some(kind)) = (api_version, kind)
            && (api_version != target.version().api_version || kind != target.kind.kind)
        {
            let message = format!("invalid object type: {api_version}, Kind={kind}");
            return Err(Failure::bad_request(message));
        }
        let mut config = checked(target, request, Some(name), config)?;
        if config
            .pointer("/metadata/managedFields")
            .and_then(Value::as_array)
            .is_some_and(|entries| !entries.is_empty())
        {
            return Err(Failure::bad_request("metadata.managedFields must be nil"));
        }
        let before = self.find(&target.kind, &request.namespace, name).cloned();
        preconditions_of_apply(&target.kind, name, &config, before.as_deref())?;
        let stated = meta_text(&config, "namespace")
            .unwrap_or_default()
            .to_owned();
        take_from_metadata(&mut config);
        restrict(&mut config, target, request.subresource);

        let mut object = before
            .as_ref()
            .map_or_else(|| Owned::absent().object, |before| before.read());
        let entries = take_managers(&mut object);
        let live = Owned {
            object,
            managers: apply::read(&entries),
        };
        let time = moment.text();
        let applied = apply::apply(
            &live,
            config,
            target.kind.rules(target.version()),
            writer(target, request, &time),
            force,
        )
        .map_err(|refused| {
            Failure::not_applied(&target.kind, target.version(), &stated, name, refused)
        })?;
        match before {
            Some(before) => self.replace_owned(asked, &before, (live.object, entries), applied),
            None if request.subresource == Subresource::Status => {
                Err(Failure::not_found(&target.kind, name))
            }
            None => self.create_owned(asked, name, applied),
        }
    }

    /// Stores an object that was not there before.
    fn create_owned(
        &mut self,
        asked: &Asked<'_>,
        name: &str,
        owned: Owned,
    ) -> Result<Answer, Failure> {
        let Asked {
            target,
            request,
            moment,
            ..
        } = *asked;
        let kind = &target.kind;
        self.check_namespace(kind, &request.namespace, name)?;
        let Owned {
            mut object,
            mut managers,
        } = owned;
        set_at_start(kind, name, &mut object);
        normalize(kind, &mut object);
        validate::object(kind, name, &object)?;
        if kind.is(DEFINITIONS) {
            self.check_definition(name, &mut object, moment)?;
        }
        let mut metadata = Map::new();
        metadata.insert("name".into(), json!(name));
        if kind.namespaced {
            metadata.insert("namespace".into(), json!(request.namespace));
        }
        metadata.insert("uid".into(), json!((moment.new_uid)()));
        if kind.generation == Generation::Counted {
            metadata.insert("generation".into(), json!(1));
        }
        metadata.insert("creationTimestamp".into(), json!(moment.text()));
        metadata.append(metadata_mut(&mut object));
        metadata.insert("managedFields".into(), apply::write(&mut managers));
        let mut whole = Map::new();
        whole.insert("metadata".into(), Value::Object(metadata));
        if let Value::Object(mut object) = object {
            object.remove("metadata");
            whole.append(&mut object);
        }
        let whole = Value::Object(whole);
        let stored = if request.dry_run {
            Arc::new(Stored::encode(whole, self.version))
        } else {
            self.put(kind, whole)?
        };
        Ok(Answer::Body {
            code: 201,
            body: view::one(target, &stored, request.view, moment.now),
        })
    }

    /// Stores what a client made of an object; whatever changed is the client's.
    fn replace(
        &mut self,
        asked: &Asked<'_>,
        before: &Arc<Stored>,
        mut object: Value,
    ) -> Result<Answer, Failure> {
        let Asked {
            target,
            request,
            moment,
            ..
        } = *asked;
        let kind = &target.kind;
        let name = &*before.name;
        if let Some(uid) = meta_text(&object, "uid").filter(|uid| *uid != &*before.uid) {
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                before.uid
            );
            return Err(Failure::conflict(kind, name, &why));
        }
        if meta_text(&object, "resourceVersion")
            .is_some_and(|version| version != "0" && version != before.version.to_string())
        {
            return Err(Failure::conflict(kind, name, MODIFIED));
        }
        let mut old = before.read();
        let entries = take_managers(&mut old);
        let stated = take_managers(&mut object);
        let managers = match (request.subresource, stated.as_array().map(Vec::as_slice)) {
            // An explicit empty entry is how a client asks to forget the managers.
            (Subresource::Main, Some([only])) if only.as_object().is_some_and(Map::is_empty) => {
                Vec::new()
            }
            (Subresource::Main, Some([_, ..])) => apply::read(&stated),
            _ => apply::read(&entries),
        };
        let object = match request.subresource {
            Subresource::Main => {
                keep_server_metadata(&old, &mut object);
                if target.version().status {
                    copy(&old, &mut object, "status");
                }
                normalize(kind, &mut object);
                object
            }
            Subresource::Status => {
                let mut whole = old.clone();
                copy(&object, &mut whole, "status");
                whole
            }
        };
        let time = moment.text();
        let managers = apply::update(
            &old,
            &object,
            managers,
            kind.rules(target.version()),
            writer(target, request, &time),
        );
        self.replace_owned(asked, before, (old, entries), Owned { object, managers })
    }

    /// Stores an object's next state, if it is another one.
    fn replace_owned(
        &mut self,
        asked: &Asked<'_>,
        before: &Arc<Stored>,
        (old, entries): (Value, Value),
        owned: Owned,
    ) -> Result<Answer, Failure> {
        let Asked {
            target,
            request,
            moment,
            ..
        } = *asked;
        let kind = &target.kind;
        let name = &*before.name;
        let Owned {
            mut object,
            mut managers,
        } = owned;
        normalize(kind, &mut object);
        validate::object(kind, name, &object)?;
        validate::change(kind, name, &old, &object)?;
        if kind.is(DEFINITIONS) {
            self.check_definition(name, &mut object, moment)?;
        }
        let managers = apply::write(&mut managers);
        if object == old && managers == entries {
            return Ok(Answer::ok(view::one(
                target,
                before,
                request.view,
                moment.now,
            )));
        }
        if kind.generation == Generation::Counted && wishes_differ(target, &old, &object) {
            let generation = old
                .pointer("/metadata/generation")
                .and_then(Value::as_i64)
                .unwrap_or(0)
                + 1;
            metadata_mut(&mut object).insert("generation".into(), json!(generation));
        }
        if managers
            .as_array()
            .is_some_and(|managers| !managers.is_empty())
        {
            metadata_mut(&mut object).insert("managedFields".into(), managers);
        }
        if request.dry_run {
            let stored = Stored::encode(object, before.version);
            return Ok(Answer::ok(view::one(
                target,
                &stored,
                request.view,
                moment.now,
            )));
        }
        let goes_away = before.deleting && has_no_finalizers(&object);
        let stored = self.put(kind, object)?;
        let body = view::one(target, &stored, request.view, moment.now);
        if goes_away {
            self.remove(kind, &stored.key(), moment);
        }
        Ok(Answer::ok(body))
    }

    /// A namespaced object needs its namespace, and one that stays.
    fn check_namespace(&self, kind: &Kind, namespace: &str, name: &str) -> Result<(), Failure> {
        if !kind.namespaced {
            return Ok(());
        }
        let namespaces =
            crate::kinds::by_resource(NAMESPACES).expect("namespaces are in the table");
        if self.existing(namespaces, "", namespace)?.deleting {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            let causes = json!([{
                "reason": "NamespaceTerminating", "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace",
            }]);
            return Err(Failure::forbidden(kind, name, &why).with_causes(causes));
        }
        Ok(())
    }
}
