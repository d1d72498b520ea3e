//! Shows the rules of server-side apply as tables.
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn deployment(replicas: Option<i64>, image: &str) -> Value {
    let mut object =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}});
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = json!(replicas);
    }
    object
}

struct World {
    shape: std::sync::Arc<Shape>,
    live: Owned,
}

impl World {
    fn new() -> Self {
        World {
            shape: builtin("Deployment"),
            live: Owned::absent(),
        }
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            shape: &self.shape,
            always_there: AlwaysThere::Structs,
        }
    }

    fn apply(&mut self, name: &str, config: Value, force: bool) -> Result<(), NotApplied> {
        let live = apply(&self.live, config, self.rules(), writer(name), force)?;
        self.live = live;
        Ok(())
    }

    fn update(&mut self, name: &str, object: Value) {
        let managers = update(
            &self.live.object,
            &object,
            self.live.managers.clone(),
            self.rules(),
            writer(name),
        );
        self.live = Owned { object, managers };
    }

    fn owned_by(&self, name: &str) -> Vec<String> {
        self.live
            .managers
            .iter()
            .filter(|manager| manager.name == name)
            .flat_map(|manager| manager.fields.paths())
            .collect()
    }
}

fn writer(name: &str) -> Writer<'_> {
    Writer {
        name,
        api_version: "apps/v1",
        subresource: "",
        time: "2024-01-01T00:00:00Z",
    }
}

/// An apply that says the same again changes nothing at all.
#[test]
fn the_same_again_changes_nothing() {
    let mut world = World::new();
    world.apply("a", deployment(Some(2), "x"), false).unwrap();
    let before = world.live.clone();
    let later = Writer {
        time: "2025-01-01T00:00:00Z",
        ..writer("a")
    };
    let after = apply(
        &world.live,
        deployment(Some(2), "x"),
        world.rules(),
        later,
        false,
    )
    .unwrap();
    assert_eq!(after, before);
}

/// Another value for somebody else's field is a conflict, the same value is shared, and force takes the field.
#[test]
fn conflicts_sharing_and_force() {
    let mut world = World::new();
    world.apply("a", deployment(Some(2), "x"), false).unwrap();
    world
        .apply("b", json!({"spec": {"replicas": 2}}), false)
        .unwrap();
    assert_eq!(world.owned_by("b"), [".spec.replicas"]);

    let refused = world
        .apply("b", json!({"spec": {"replicas": 3}}), false)
        .unwrap_err();
    let conflict = Conflict {
        manager: "\"a\"".into(),
        field: ".spec.replicas".into(),
    };
    assert_eq!(refused, NotApplied::Conflicts(vec![conflict]));

    world
        .apply("b", json!({"spec": {"replicas": 3}}), true)
        .unwrap();
    assert_eq!(world.live.object["spec"]["replicas"], 3);
    assert!(!world.owned_by("a").contains(&".spec.replicas".to_owned()));
    assert_eq!(world.owned_by("b"), [".spec.replicas"]);
}

/// A field that its only owner no longer states goes; one that others state stays.
#[test]
fn dropped_fields() {
    let mut world = World::new();
    world.apply("a", deployment(Some(2), "x"), false).unwrap();
    world.apply("a", deployment(None, "x"), false).unwrap();
    assert_eq!(world.live.object, deployment(None, "x"));

    world.apply("a", deployment(Some(2), "x"), false).unwrap();
    world
        .apply("b", json!({"spec": {"replicas": 2}}), false)
        .unwrap();
    world.apply("a", deployment(None, "x"), false).unwrap();
    assert_eq!(world.live.object["spec"]["replicas"], 2);
    world.apply("b", json!({}), false).unwrap();
    assert_eq!(world.live.object.pointer("/spec/replicas"), None);
    assert_eq!(world.owned_by("b"), Vec::<String>::new());
}

/// A write that is not an apply owns what it changed, and an apply against it is a conflict that names the version.
#[test]
fn updates_own_what_they_change() {
    let mut world = World::new();
    world.apply("a", deployment(Some(2), "x"), false).unwrap();
    world.update("kubectl", deployment(Some(5), "x"));
    assert_eq!(world.owned_by("kubectl"), [".spec.replicas"]);
    let refused = world
        .apply("a", deployment(Some(2), "x"), false)
        .unwrap_err();
    let conflict = Conflict {
        manager: "\"kubectl\" using apps/v1".into(),
        field: ".spec.replicas".into(),
    };
    assert_eq!(refused, NotApplied::Conflicts(vec![conflict]));
    // Without the field the apply passes, and the other's value stays.
    world.apply("a", deployment(None, "x"), false).unwrap();
    assert_eq!(world.live.object["spec"]["replicas"], 5);
}

/// What an update removes is nobody's any more.
#[test]
fn updates_remove_ownership() {
    let mut world = World::new();
    world
        .apply(
            "a",
            json!({"metadata": {"labels": {"x": "1", "y": "2"}}}),
            false,
        )
        .unwrap();
    world.update("b", json!({"metadata": {"labels": {"y": "2"}}}));
    assert_eq!(world.owned_by("a"), [".metadata.labels.y"]);
    assert_eq!(world.owned_by("b"), Vec::<String>::new());
}

/// An object without managers belongs to `before-first-apply` at the first apply.
#[test]
fn before_the_first_apply() {
    let mut world = World::new();
    world.live.object = deployment(Some(2), "x");
    let refused = world
        .apply("a", json!({"spec": {"replicas": 3}}), false)
        .unwrap_err();
    let conflict = Conflict {
        manager: "\"before-first-apply\" using apps/v1".into(),
        field: ".spec.replicas".into(),
    };
    assert_eq!(refused, NotApplied::Conflicts(vec![conflict]));
}

/// Lists with keys are shared item by item, other lists are one field.
#[test]
fn lists() {
    let mut world = World::new();
    world.apply("a", deployment(None, "x"), false).unwrap();
    let side =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "y"}]}}}});
    world.apply("b", side, false).unwrap();
    let names = |world: &World| -> Vec<String> {
        let containers = world
            .live
            .object
            .pointer("/spec/template/spec/containers")
            .unwrap()
            .as_array()
            .unwrap();
        containers
            .iter()
            .map(|container| container["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&world), ["web", "side"]);
    world.apply("b", json!({"spec": {}}), false).unwrap();
    assert_eq!(names(&world), ["web"]);

    let tolerations =
        |key: &str| json!({"spec": {"template": {"spec": {"tolerations": [{"key": key}]}}}});
    world.apply("b", tolerations("one"), false).unwrap();
    let refused = world.apply("c", tolerations("two"), false).unwrap_err();
    let conflict = Conflict {
        manager: "\"b\"".into(),
        field: ".spec.template.spec.tolerations".into(),
    };
    assert_eq!(refused, NotApplied::Conflicts(vec![conflict]));
}

/// Writes one after the other, with the answers of the library that a real API server uses: one scenario a line, made by
/// `sigs.k8s.io/structured-merge-diff` v6.3.0 with the schema of `k8s.io/client-go` v0.36.0 from random Deployments.
const REFERENCE: &str = include_str!("reference.jsonl");

/// Objects, owners and conflicts are those of the reference implementation.
#[test]
fn as_the_reference_implementation() {
    for (line, scenario) in REFERENCE.lines().enumerate() {
        let mut world = World::new();
        let steps: Vec<Value> = serde_json::from_str(scenario).unwrap();
        for (number, step) in steps.iter().enumerate() {
            let place = format!("line {}, step {number}: {step}", line + 1);
            let conflicts = reference_step(&mut world, step);
            let expected: Vec<_> = step["conflicts"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|text| text.as_str().unwrap().to_owned())
                .collect();
            assert_eq!(conflicts, expected, "{place}");
            if expected.is_empty() {
                let managers: Map<_, _> = world
                    .live
                    .managers
                    .iter()
                    .map(|manager| (manager.name.clone(), manager.fields.to_json()))
                    .collect();
                assert_eq!(world.live.object, step["after"], "{place}");
                assert_eq!(Value::Object(managers), step["managers"], "{place}");
            }
        }
    }
}

/// Carries one step out; the reference implementation knows of no structs that are always there.
fn reference_step(world: &mut World, step: &Value) -> Vec<String> {
    let shape = std::sync::Arc::clone(&world.shape);
    let rules = Rules {
        shape: &shape,
        always_there: AlwaysThere::Nothing,
    };
    let writer = writer(step["manager"].as_str().unwrap());
    let object = step["object"].clone();
    if step["write"] == "update" {
        let managers = update(
            &world.live.object,
            &object,
            world.live.managers.clone(),
            rules,
            writer,
        );
        world.live = Owned { object, managers };
        return Vec::new();
    }
    match apply(&world.live, object, rules, writer, step["force"] == true) {
        Ok(live) => {
            world.live = live;
            Vec::new()
        }
        Err(NotApplied::Conflicts(conflicts)) => {
            let name = |manager: &str| manager.split('"').nth(1).unwrap_or_default().to_owned();
            let mut lines: Vec<_> = conflicts
                .iter()
                .map(|conflict| format!("{} {}", name(&conflict.manager), conflict.field))
                .collect();
            lines.sort();
            lines
        }
        Err(NotApplied::BadItem(bad)) => panic!("{bad:?}"),
    }
}
