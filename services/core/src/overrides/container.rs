//! Overrides of one container by its name: command, arguments, environment.

use serde_json::{Map, Value, json};

use super::Op;

/// Where pods are described in the built-in workloads.
pub(super) const POD_SPECS: &[&str] = &[
    "/spec",
    "/spec/template/spec",
    "/spec/jobTemplate/spec/template/spec",
];

/// The container `name`, wherever the workload describes its pods.
fn find<'a>(object: &'a mut Value, name: &str) -> Result<&'a mut Map<String, Value>, String> {
    let mut place = None;
    'places: for pod_spec in POD_SPECS {
        for list in ["containers", "initContainers"] {
            let pointer = format!("{pod_spec}/{list}");
            let containers = object.pointer(&pointer).and_then(Value::as_array);
            let index =
                containers.and_then(|containers| containers.iter().position(|c| c["name"] == name));
            if let Some(index) = index {
                place = Some(format!("{pointer}/{index}"));
                break 'places;
            }
        }
    }
    place
        .and_then(|pointer| object.pointer_mut(&pointer))
        .and_then(Value::as_object_mut)
        .ok_or_else(|| format!("no container {name:?} in this object"))
}

/// Changes `command` or `args`: add appends, remove takes away every word that is listed, replace sets the list.
pub(super) fn apply_words(
    list: &str,
    container: &str,
    op: Op,
    words: &[String],
    object: &mut Value,
) -> Result<(), String> {
    let container = find(object, container)?;
    let mut new: Vec<Value> = match container.get(list).and_then(Value::as_array) {
        Some(old) if op != Op::Replace => old.clone(),
        _ => Vec::new(),
    };
    match op {
        Op::Add | Op::Replace => new.extend(words.iter().map(|word| Value::from(word.as_str()))),
        Op::Remove => new.retain(|word| !words.iter().any(|gone| *word == gone.as_str())),
    }
    if new.is_empty() {
        container.remove(list);
    } else {
        container.insert(list.to_owned(), Value::Array(new));
    }
    Ok(())
}

/// Changes `env`: add sets every variable, replace only those that exist, remove takes them away (whatever their value).
pub(super) fn apply_env(
    container: &str,
    op: Op,
    variables: &Map<String, Value>,
    object: &mut Value,
) -> Result<(), String> {
    let container = find(object, container)?;
    let mut env = match container.remove("env") {
        Some(Value::Array(env)) => env,
        _ => Vec::new(),
    };
    for (name, value) in variables {
        let existing = env.iter().position(|variable| variable["name"] == *name);
        let variable = json!({"name": name, "value": value});
        match (op, existing) {
            (Op::Add | Op::Replace, Some(index)) => env[index] = variable,
            (Op::Add, None) => env.push(variable),
            (Op::Remove, Some(index)) => drop(env.remove(index)),
            (Op::Replace | Op::Remove, None) => {}
        }
    }
    if !env.is_empty() {
        container.insert("env".to_owned(), Value::Array(env));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Operation;
    use super::*;
    use crate::field::Field;

    fn deployment() -> Value {
        json!({"spec": {"template": {"spec": {
            "initContainers": [{"name": "init", "args": ["-v"]}],
            "containers": [{"name": "web", "command": ["sh", "-c"], "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {}}]}],
        }}}})
    }

    #[test]
    fn words_and_variables_of_the_named_container_change_as_asked() {
        let web = "/spec/template/spec/containers/0";
        let init = "/spec/template/spec/initContainers/0";
        for (list, op, container, expected) in [
            (
                "command",
                json!({"container": "web", "op": "add", "value": ["x"]}),
                web,
                json!(["sh", "-c", "x"]),
            ),
            (
                "command",
                json!({"container": "web", "op": "remove", "value": ["-c"]}),
                web,
                json!(["sh"]),
            ),
            (
                "command",
                json!({"container": "web", "op": "replace", "value": ["ash"]}),
                web,
                json!(["ash"]),
            ),
            (
                "command",
                json!({"container": "web", "op": "replace", "value": []}),
                web,
                Value::Null,
            ),
            (
                "args",
                json!({"container": "web", "op": "add", "value": ["-q"]}),
                web,
                json!(["-q"]),
            ),
            (
                "args",
                json!({"container": "init", "op": "remove", "value": ["-v", "-w"]}),
                init,
                Value::Null,
            ),
            (
                "env",
                json!({"container": "web", "op": "add", "value": {"A": "2", "C": "3"}}),
                web,
                json!([{"name": "A", "value": "2"}, {"name": "B", "valueFrom": {}}, {"name": "C", "value": "3"}]),
            ),
            (
                "env",
                json!({"container": "web", "op": "replace", "value": {"B": "2", "C": "3"}}),
                web,
                json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]),
            ),
            (
                "env",
                json!({"container": "web", "op": "remove", "value": {"A": "", "B": "", "C": ""}}),
                web,
                Value::Null,
            ),
        ] {
            let mut object = deployment();
            let read = match list {
                "env" => Operation::read_env(&Field::root(&op)),
                list => Operation::read_words(list, &Field::root(&op)),
            };
            read.expect("valid").apply(&mut object).expect("applies");
            let container = object.pointer(container).expect("there");
            assert_eq!(container[list], expected, "{list} {op}");
        }
    }

    #[test]
    fn a_container_that_is_not_there_is_refused_by_name() {
        let op = json!({"container": "db", "op": "add", "value": {"A": "1"}});
        let refusal = Operation::read_env(&Field::root(&op))
            .expect("valid")
            .apply(&mut deployment())
            .expect_err("refused");
        assert_eq!(refusal.field, ".container");
        assert!(refusal.message.contains("\"db\""), "{refusal}");
    }
}
