//! `[auth.issuers.*]`, `[auth.keys.*]` and `[policies.*]`.

use crate::config::files::named_file;
use crate::config::secret::secret;
use crate::config::table::{Item, Table};
use crate::config::{Algorithm, ApiKey, At, ClaimTest, Diagnostic, Grant, Issuer, Policy, Secret, Verifier};

/// As many bytes as HMAC-SHA-256 puts out: RFC 7518 allows no shorter key.
const MIN_SECRET: usize = 32;

const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("HS256", Algorithm::Hs256),
    ("RS256", Algorithm::Rs256),
    ("ES256", Algorithm::Es256),
    ("EdDSA", Algorithm::EdDsa),
];

pub(super) fn issuer(table: &mut Table<'_>) -> Option<Issuer> {
    table.secretive();
    let issuer = table.required("issuer").and_then(Item::string);
    let audience = table.required("audience").and_then(Item::string);
    let algorithms = table.required("algorithms").and_then(|item| item.filled_list(|item| item.choice(&ALGORITHMS)));
    table.refuse("jwks", "fetching a key set by URL is not supported yet; use `jwks_file`");
    let verifier = table.one_of(&["secret", "public_key_file", "jwks_file"]).and_then(verifier);
    let (verifier, algorithms) = (verifier?, algorithms?.value);
    for algorithm in &algorithms {
        check_algorithm(table, *algorithm, &verifier);
    }
    Some(Issuer { issuer: issuer?, audience: audience?, verifier, algorithms })
}

fn verifier(item: Item<'_>) -> Option<At<Verifier>> {
    let verifier = match item.key {
        "secret" => Verifier::Secret(signing_secret(item)?),
        "public_key_file" => Verifier::PublicKey(named_file(item)?),
        _ => Verifier::Jwks(named_file(item)?),
    };
    Some(At::new(verifier, item.span))
}

fn signing_secret(item: Item<'_>) -> Option<Secret> {
    let secret = secret(item)?.value;
    if secret.expose().len() < MIN_SECRET {
        item.fault(format!("is shorter than {MIN_SECRET} bytes"));
        return None;
    }
    Some(secret)
}

/// A public key taken for a shared secret would let anyone who knows it sign, so the two never mix.
fn check_algorithm(table: &Table<'_>, algorithm: At<Algorithm>, verifier: &At<Verifier>) {
    let is_shared = matches!(verifier.value, Verifier::Secret(_));
    let message = match (algorithm.value, is_shared) {
        (Algorithm::Hs256, false) => "`HS256` needs a `secret`, and the issuer has a public key",
        (Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa, true) => {
            "the algorithm needs a public key, and the issuer has a `secret`, which only `HS256` uses"
        }
        (Algorithm::Hs256, true) | (Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa, false) => return,
    };
    table.cx.report(Diagnostic::error(algorithm.span, message).also(verifier.span, "the issuer's key"));
}

pub(super) fn key(table: &mut Table<'_>) -> Option<ApiKey> {
    table.secretive();
    let item = table.required("sha256")?;
    let sha256 = secret(item)?;
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hash(sha256.expose()) {
        item.fault("is not a SHA-256 hash: 64 lower-case hex digits");
        return None;
    }
    Some(ApiKey { sha256 })
}

pub(super) fn policy(table: &mut Table<'_>) -> Option<Policy> {
    let allow = table.required("allow")?.list(grant)?;
    Some(Policy { allow: allow.value })
}

fn grant(item: Item<'_>) -> Option<At<Grant>> {
    let mut table = item.table("`allow`")?;
    let Some(condition) = table.one_of(&["anyone", "key", "claim"]) else {
        // Whichever was meant, these are not unknown.
        for key in ["equals", "contains", "in", "issuer"] {
            table.optional(key);
        }
        return None;
    };
    let grant = match condition.key {
        "anyone" => match condition.boolean()?.value {
            true => Grant::Anyone,
            false => {
                condition.fault("can only be true; to deny, allow nothing");
                return None;
            }
        },
        "key" => Grant::Key(condition.string()?),
        _ => {
            let test = table.one_of(&["equals", "contains", "in"]).and_then(claim_test);
            let issuer = table.optional("issuer").and_then(Item::string);
            Grant::Claim { claim: condition.string()?, test: test?, issuer }
        }
    };
    Some(At::new(grant, item.span))
}

fn claim_test(item: Item<'_>) -> Option<ClaimTest> {
    match item.key {
        "equals" => item.string().map(ClaimTest::Equals),
        "contains" => item.string().map(ClaimTest::Contains),
        _ => item.filled_list(Item::string).map(|texts| ClaimTest::In(texts.value)),
    }
}
