//! `[auth.issuers.*]`, `[auth.keys.*]` and `[policies.*]`.

use crate::config::files::named_file;
use crate::config::secret::secret;
use crate::config::table::{Item, Table};
use crate::config::{Algorithm, ApiKey, At, ClaimTest, Code, Diagnostic, Grant, Issuer, Policy, Secret, Verifier};

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
    let algorithms = table.required("algorithms").and_then(algorithms);
    table.refuse("jwks", "fetching a key set by URL is not supported yet; use `jwks_file`");
    let verifier = table.one_of(&["secret", "public_key_file", "jwks_file"]).and_then(verifier);
    let (verifier, (algorithms, written)) = (verifier?, algorithms?);
    let fitting = algorithms.iter().filter(|algorithm| check_algorithm(table, **algorithm, &verifier)).count();
    if fitting < written {
        // A key that is for one which is misspelt must not be said to be for none of them.
        return None;
    }
    // What is wrong is reported. A title is no URL, so it is taken for the `iss` of no other issuer, and the key is
    // looked at all the same.
    let [issuer, audience] = [issuer, audience].map(|text| text.unwrap_or_else(|| At::new(table.title(), table.span)));
    Some(Issuer { issuer, audience, verifier, algorithms })
}

/// Those that are known, and how many are written.
fn algorithms(item: Item<'_>) -> Option<(Vec<At<Algorithm>>, usize)> {
    let known = item.filled_list(|item| item.choice(&ALGORITHMS))?.value;
    Some((known, item.elements()?.len()))
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
        item.missing(Code::WeakSecret, format!("is shorter than {MIN_SECRET} bytes"));
        return None;
    }
    Some(secret)
}

/// A public key taken for a shared secret would let anyone who knows it sign, so the two never mix.
fn check_algorithm(table: &Table<'_>, algorithm: At<Algorithm>, verifier: &At<Verifier>) -> bool {
    let is_shared = matches!(verifier.value, Verifier::Secret(_));
    let message = match (algorithm.value, is_shared) {
        (Algorithm::Hs256, false) => "`HS256` needs a `secret`, and the issuer has a public key",
        (Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa, true) => {
            "the algorithm needs a public key, and the issuer has a `secret`, which only `HS256` uses"
        }
        (Algorithm::Hs256, true) | (Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa, false) => return true,
    };
    table.cx.report(
        Diagnostic::error(Code::WrongAlgorithm, algorithm.span, message).also(verifier.span, "the issuer's key"),
    );
    false
}

pub(super) fn key(table: &mut Table<'_>) -> Option<ApiKey> {
    table.secretive();
    let item = table.required("sha256")?;
    let sha256 = secret(item)?;
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hash(sha256.expose()) {
        item.missing(Code::NoHash, "is not a SHA-256 hash: 64 lower-case hex digits");
        return None;
    }
    Some(ApiKey { sha256 })
}

pub(super) fn policy(table: &mut Table<'_>) -> Option<Policy> {
    let allow = table.required("allow")?.list(grant)?;
    Some(Policy { allow: allow.value })
}

/// An entry of `allow`, in any case: a policy without it would be another one.
fn grant(item: Item<'_>) -> Option<At<Grant>> {
    let nothing = Grant::Faulty { claim: None, test: None, issuer: None };
    Some(At::new(read_grant(item).unwrap_or(nothing), item.span))
}

fn read_grant(item: Item<'_>) -> Option<Grant> {
    let mut table = item.table("`allow`")?;
    let Some(condition) = table.one_of(&["anyone", "key", "claim"]) else {
        // Whichever was meant, these are not unknown.
        for key in ["equals", "contains", "in", "issuer"] {
            table.optional(key);
        }
        return None;
    };
    match condition.key {
        "anyone" => match condition.boolean()?.value {
            true => Some(Grant::Anyone),
            false => {
                condition.fault(Code::OnlyTrue, "can only be true; to deny, allow nothing");
                None
            }
        },
        "key" => condition.string().map(Grant::Key),
        _ => {
            let test = table.one_of(&["equals", "contains", "in"]).and_then(claim_test);
            let issuer = table.optional("issuer").and_then(Item::string);
            Some(match (condition.string(), test) {
                (Some(claim), Some(test)) => Grant::Claim { claim, test, issuer },
                (claim, test) => Grant::Faulty { claim, test, issuer },
            })
        }
    }
}

fn claim_test(item: Item<'_>) -> Option<ClaimTest> {
    match item.key {
        "equals" => item.string().map(ClaimTest::Equals),
        "contains" => item.string().map(ClaimTest::Contains),
        _ => item.filled_list(Item::string).map(|texts| ClaimTest::In(texts.value)),
    }
}
