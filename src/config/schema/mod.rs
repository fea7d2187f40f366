//! The JSON Schema of a configuration, for editors: draft-07, which taplo and others complete and check TOML by.
//!
//! What it says of each key is what config/reference.toml says. It is about one file by itself: what may stand in another
//! file is not asked for, and names that another file declares are known only when the configuration loads.

mod names;
mod reference;
mod rules;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use self::names::Names;
use self::reference::Reference;
use super::Config;

/// What messages call the table that a file is.
const TOP: &str = "the top level";

/// The schema; with the names that `known` declares where there is one, else with any text in their place.
#[must_use]
pub fn json_schema(known: Option<&Config>) -> Value {
    let names = known.map(Names::of).unwrap_or_default();
    let mut root = table(TOP, &[], root_keys());
    root["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    root["definitions"] = json!({
        "name": { "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$" },
        "text": { "type": "string", "minLength": 1 },
        "duration": { "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" },
        "secret": secret(),
        "server": server(&names),
        "broker": broker(),
        "issuer": issuer(),
        "key": table("[auth.keys.*]", &["sha256"], json!({ "sha256": reference("secret") })),
        "policy": table("[policies.*]", &["allow"], json!({ "allow": list(&grant(&names)) })),
        "channel": channel(&names),
        "type": type_(&names),
        "limit": limit(),
        "window": window(),
        "plugin": plugin(),
        "rule": rules::rule(&names),
        "condition": rules::condition(&names),
        "test": rules::test(&names),
        "invariant": rules::invariant(&names),
    });
    Reference::read().describe(&mut root);
    root
}

/// A table that takes these keys and no others; messages call it `title`, and an editor may show that.
fn table(title: &str, required: &[&str], properties: Value) -> Value {
    json!({
        "title": title,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Exactly one of `keys`.
fn one_of(mut table: Value, keys: &[&str]) -> Value {
    table["oneOf"] = keys.iter().map(|key| json!({ "required": [key] })).collect();
    table
}

/// A table whose keys the operator chooses.
fn named(definition: &str) -> Value {
    json!({ "type": "object", "propertyNames": reference("name"), "additionalProperties": reference(definition) })
}

fn reference(definition: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{definition}") })
}

fn list(element: &Value) -> Value {
    json!({ "type": "array", "items": element })
}

fn filled(element: &Value) -> Value {
    json!({ "type": "array", "items": element, "minItems": 1 })
}

fn words(words: &[&str]) -> Value {
    json!({ "enum": words })
}

fn number(least: u64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn root_keys() -> Value {
    json!({
        "include": list(&reference("text")),
        "unmatched": words(&["reject", "drop", "dead-letter"]),
        "allow_empty": boolean(),
        "defaults": table("[defaults]", &[], json!({ "timezone": reference("text") })),
        "paths": table("[paths]", &[], json!({
            "schemas": reference("text"), "plugins": reference("text"), "generations": reference("text"),
        })),
        "server": reference("server"),
        "broker": reference("broker"),
        "auth": table("[auth]", &[], json!({ "issuers": named("issuer"), "keys": named("key") })),
        "policies": named("policy"),
        "channels": named("channel"),
        "types": named("type"),
        "limits": named("limit"),
        "windows": named("window"),
        "plugins": named("plugin"),
        "rules": list(&reference("rule")),
        "tests": list(&reference("test")),
        "invariants": list(&reference("invariant")),
    })
}

fn secret() -> Value {
    let keys = json!({ "env": reference("text"), "file": reference("text"), "create": boolean() });
    let mut secret = one_of(table("a secret's table", &[], keys), &["env", "file"]);
    secret["dependencies"] = json!({ "create": ["file"] });
    secret
}

fn server(names: &Names) -> Value {
    let mut keys = Map::new();
    for key in ["listen", "admin"] {
        keys.insert(key.to_owned(), json!({ "type": "string", "pattern": ":[0-9]{1,5}$" }));
    }
    for key in ["header_timeout", "body_timeout", "heartbeat", "stall_timeout", "drain"] {
        keys.insert(key.to_owned(), reference("duration"));
    }
    for (key, least, most) in [
        ("max_connections", 1, 1_000_000),
        ("max_streams_per_principal", 1, 1_000_000),
        ("max_body", 1_024, 16 * 1024 * 1024),
        ("ring_records", 1, 65_536),
        ("ring_bytes", 65_536, 1024 * 1024 * 1024),
    ] {
        keys.insert(key.to_owned(), number(least, most));
    }
    keys.insert("admin_policy".to_owned(), names.policy());
    let origin = json!({ "type": "string", "pattern": "^https?://[^/*? #@A-Z]+$" });
    keys.insert("allowed_origins".to_owned(), list(&origin));
    table("[server]", &[], keys.into())
}

fn broker() -> Value {
    let keys = json!({
        "url": { "anyOf": [
            { "type": "string", "pattern": "^(memory:|rediss?(\\+(sentinel|cluster))?://|valkeys?://|((redis|valkey)\\+)?unix://)" },
            reference("secret"),
        ] },
        "ca_file": reference("text"),
        "prefix": reference("name"),
        "timeout": reference("duration"),
        "max_in_flight": number(1, 1_000_000),
        "durability": { "type": "string", "pattern": "^(primary|fsync|replica:[0-9]{1,3})$" },
        "idempotency_ttl": reference("duration"),
        "max_channels": number(1, 100_000_000),
    });
    table("[broker]", &[], keys)
}

fn issuer() -> Value {
    let keys = json!({
        "issuer": reference("text"),
        "audience": reference("text"),
        "algorithms": filled(&words(&["HS256", "RS256", "ES256", "EdDSA"])),
        "secret": reference("secret"),
        "public_key_file": reference("text"),
        "jwks_file": reference("text"),
    });
    let issuer = table("[auth.issuers.*]", &["issuer", "audience", "algorithms"], keys);
    one_of(issuer, &["secret", "public_key_file", "jwks_file"])
}

fn grant(names: &Names) -> Value {
    let tests = ["equals", "contains", "in"];
    let keys = json!({
        "anyone": { "const": true },
        "key": names.key(),
        "claim": reference("text"),
        "equals": reference("text"),
        "contains": reference("text"),
        "in": filled(&reference("text")),
        "issuer": names.issuer(),
    });
    let mut grant = one_of(table("`allow`", &[], keys), &["anyone", "key", "claim"]);
    grant["dependencies"] = tests.iter().chain(&["issuer"]).map(|key| ((*key).to_owned(), json!(["claim"]))).collect();
    grant["dependencies"]["claim"] = one_of(json!({}), &tests);
    grant
}

fn channel(names: &Names) -> Value {
    let history = json!({ "size": number(1, 1_000_000), "ttl": reference("duration") });
    let keys = json!({
        "pattern": reference("text"),
        "subscribe": names.policy(),
        "history": table("`history`", &[], history),
        "default": boolean(),
        "event": words(&["none", "type"]),
        "shed": words(&["none", "low"]),
    });
    table("[channels.*]", &["pattern", "subscribe"], keys)
}

fn type_(names: &Names) -> Value {
    let keys =
        json!({ "schema": reference("text"), "publish": names.policy(), "limit": names.limit(), "trace": boolean() });
    table("[types.*]", &["schema", "publish"], keys)
}

fn limit() -> Value {
    let keys = json!({
        "key": reference("text"),
        "rate": { "type": "string", "pattern": "^\\+?[0-9]+/[smhd]$" },
        "burst": number(1, 1_000_000),
        "scope": words(&["node", "cluster"]),
        "max_keys": number(1, 100_000_000),
    });
    table("[limits.*]", &["key", "rate"], keys)
}

fn window() -> Value {
    let range = json!({ "type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$" });
    let keys = json!({
        "daily": filled(&range),
        "days": filled(&words(&["mon", "tue", "wed", "thu", "fri", "sat", "sun"])),
        "timezone": reference("text"),
    });
    table("[windows.*]", &["daily"], keys)
}

fn plugin() -> Value {
    let keys = json!({
        "script": reference("text"),
        "params": { "type": "object" },
        "on_error": words(&["pass", "drop", "skip-rule"]),
        "max_operations": number(100, 10_000_000),
        "max_time": reference("duration"),
    });
    table("[plugins.*]", &["script", "on_error"], keys)
}
