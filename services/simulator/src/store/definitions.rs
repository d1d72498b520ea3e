//! CustomResourceDefinitions: a kind is served as soon as its definition is there.

use std::sync::Arc;

use serde_json::Value;

use super::{Moment, Store};
use crate::definition;
use crate::kinds;
use crate::object::meta_text;
use crate::status::{Failure, Invalid};

impl Store {
    /// Checks a definition and states in it that it is served.
    pub(super) fn check_definition(
        &self,
        name: &str,
        object: &mut Value,
        moment: &Moment<'_>,
    ) -> Result<(), Failure> {
        let definitions =
            kinds::by_resource(kinds::DEFINITIONS).expect("definitions are in the table");
        let kind = definition::kind(name, object)
            .map_err(|invalid| Failure::invalid(definitions, name, invalid))?;
        if kinds::is_builtin_group(&kind.group) && kinds::by_resource(&kind.resource).is_some() {
            let invalid = Invalid::forbidden("spec.group", "this kind is built in");
            return Err(Failure::invalid(definitions, name, invalid));
        }
        if object.get("status").is_none() {
            object["status"] = definition::established_status(object, &moment.text());
        }
        Ok(())
    }

    /// Serves the kind of a stored definition.
    pub(super) fn define(&mut self, object: &Value) {
        let name = meta_text(object, "name").unwrap_or_default();
        if let Ok(kind) = definition::kind(name, object) {
            self.custom
                .insert(Arc::clone(&kind.resource), Arc::new(kind));
        }
    }

    /// No longer serves the kind of a definition that is gone.
    pub(super) fn undefine(&mut self, name: &str) {
        self.custom.remove(name);
        self.watches.close(name);
    }
}
