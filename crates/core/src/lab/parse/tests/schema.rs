//! The JSON Schema against the reader, with a validator of the keywords that the schema uses.

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::super::file::{ALL, LabFile};
use super::super::read::About;
use super::super::scalar::{Reading, decimal, reading};
use super::super::schema::{reference, schema};
use super::super::tree::{Kind, Tree, build};
use super::{cases, read};

/// Is a lab valid by the schema? Panics on a keyword that this validator does not know, so none is passed over.
pub fn validate(lab: &Value) -> Result<(), String> {
    let schema = schema();
    check(&schema, lab, &schema, "lab")
}

fn check(schema: &Value, value: &Value, root: &Value, path: &str) -> Result<(), String> {
    let rules = schema.as_object().unwrap();
    for (keyword, rule) in rules {
        let good = match keyword.as_str() {
            "$schema" | "title" | "description" | "examples" | "$defs" => true,
            "$ref" => {
                let target = root.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                check(target, value, root, path)?;
                true
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|one| check(one, value, root, path).is_ok()),
            "type" => match rule {
                Value::String(name) => is(value, name),
                names => names.as_array().unwrap().iter().any(|name| is(value, name.as_str().unwrap())),
            },
            "pattern" => value.as_str().is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)),
            "minimum" => value.as_u64().is_none_or(|number| number >= rule.as_u64().unwrap()),
            "maximum" => value.as_u64().is_none_or(|number| number <= rule.as_u64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
            "items" => {
                for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(rule, item, root, &format!("{path}[{at}]"))?;
                }
                true
            }
            "properties" => {
                for (key, item) in value.as_object().into_iter().flatten() {
                    if let Some(rule) = rule.get(key) {
                        check(rule, item, root, &format!("{path}.{key}"))?;
                    }
                }
                true
            }
            "propertyNames" => {
                for (key, _) in value.as_object().into_iter().flatten() {
                    check(rule, &Value::String(key.clone()), root, path)?;
                }
                true
            }
            "additionalProperties" => {
                let known = rules.get("properties").and_then(Value::as_object);
                for (key, item) in value.as_object().into_iter().flatten() {
                    match rule {
                        _ if known.is_some_and(|known| known.contains_key(key)) => {}
                        Value::Bool(false) => return Err(format!("{path}: unknown key {key}")),
                        rule => check(rule, item, root, &format!("{path}.{key}"))?,
                    }
                }
                true
            }
            "required" => {
                let keys = rule.as_array().unwrap();
                value.as_object().is_none_or(|map| keys.iter().all(|key| map.contains_key(key.as_str().unwrap())))
            }
            other => panic!("the schema uses `{other}`"),
        };
        if !good {
            return Err(format!("{path}: {value} breaks {keyword} {rule}"));
        }
    }
    Ok(())
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the schema has the type `{other}`"),
    }
}

/// A file as an editor's YAML reader has it.
fn value(tree: &Tree) -> Value {
    match &tree.kind {
        Kind::Nothing => Value::Null,
        Kind::List(items) => Value::Array(items.iter().map(value).collect()),
        Kind::Map(entries) => {
            Value::Object(entries.iter().map(|(key, item)| (key.text.clone(), value(item))).collect::<Map<_, _>>())
        }
        Kind::Scalar(scalar) => match reading(scalar) {
            Reading::Bool => Value::Bool(scalar.text.eq_ignore_ascii_case("true")),
            Reading::Null => Value::Null,
            Reading::Number => decimal(&scalar.text).map_or(Value::from(-1.5), Value::from),
            _ => Value::String(scalar.text.clone()),
        },
    }
}

#[test]
fn the_schema_takes_every_good_case() {
    let mut count = 0;
    for (name, text) in cases() {
        if read(&text).is_ok() {
            let tree = build(&text, &mut Vec::new()).unwrap();
            validate(&value(&tree)).unwrap_or_else(|error| panic!("{name}: {error}"));
            count += 1;
        }
    }
    assert!(count >= 10);
}

#[test]
fn the_schema_refuses_wrong_keys_types_and_forms() {
    // what is wrong here concerns a number, two values, or YAML itself: no schema can tell
    let beyond = [
        "yaml-",
        "range-",
        "name-range",
        "name-twice",
        "name-host",
        "name-too-long",
        "gateway-name",
        "subnet-two",
        "type-base-60",
    ];
    for (name, text) in cases() {
        if read(&text).is_ok() || beyond.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let tree = build(&text, &mut Vec::new()).unwrap();
        assert!(validate(&value(&tree)).is_err(), "the schema takes {name}");
    }
}

#[test]
fn the_schema_and_the_reader_have_the_same_keys() {
    let schema = schema();
    let places = [
        ("lab", "KEY: 0"),
        ("switch", "switches: { a: { KEY: 0 } }"),
        ("namespace", "namespaces: { a: { KEY: 0 } }"),
        ("link", "links: [ { KEY: 0 } ]"),
        ("attachment", "namespaces: { a: { on: { KEY: 0 } } }"),
        ("end", "links: [ { ends: [ { KEY: 0 }, b ] } ]"),
        ("routerNat", "namespaces: { a: { nat: { KEY: 0 } } }"),
        ("natTimeouts", "namespaces: { a: { nat: { timeouts: { KEY: 0 } } } }"),
        ("switchNat", "switches: { a: { nat: { KEY: 0 } } }"),
        ("filter", "namespaces: { a: { filter: { KEY: 0 } } }"),
        ("labFilter", "filter: { KEY: 0 }"),
    ];
    assert_eq!(places.len(), ALL.len());
    let refused = |place: &str, key: &str| {
        let problems = read(&place.replace("KEY", key)).unwrap_err();
        problems.iter().any(|problem| problem.message.starts_with(&format!("`{key}` is n")))
    };
    for (def, place) in places {
        let keys: Vec<_> = schema["$defs"][def]["properties"].as_object().unwrap().keys().cloned().collect();
        assert!(!keys.is_empty());
        for key in &keys {
            assert!(!refused(place, key), "{def}: the schema has `{key}`, the reader has not");
        }
        for About { keys: others, not_yet, .. } in ALL {
            let others = others.iter().map(|about| about.key).chain(not_yet.iter().map(|(key, _)| *key));
            for other in others.filter(|other| !keys.iter().any(|key| key == other)) {
                assert!(refused(place, other), "{def}: the reader has `{other}`, the schema has not");
            }
        }
    }
}

#[test]
fn every_example_fits_its_pattern() {
    let schema = schema();
    for (name, def) in schema["$defs"].as_object().unwrap() {
        for example in def["examples"].as_array().into_iter().flatten() {
            check(def, example, &schema, name).unwrap();
        }
    }
}

#[test]
fn the_reference_has_every_key() {
    let reference = reference();
    for about in ALL.iter().chain([&&LabFile::ABOUT]) {
        for key in about.keys {
            assert!(reference.contains(&format!("| `{}` |", key.key)), "{}", key.key);
        }
    }
}
