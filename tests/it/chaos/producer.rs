//! Producers: they publish without a pause, repeat with the same key what was not accepted, and sometimes give up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::field::{Draft, Field, Try, to_operators, to_team, to_user};
use crate::checker::Outcome;
use crate::support::with;

/// Publishes until the run ends.
pub(super) async fn produce(field: &Field, producer: usize) {
    let mut rng = StdRng::seed_from_u64(field.seed * 1_000 + producer as u64);
    for number in 0.. {
        if field.is_closing() {
            return;
        }
        let draft = draw(field, &mut rng, &format!("{producer}-{number}"));
        // Most go on until it is accepted, so that a fault shows whether it is stored twice.
        let tries = if rng.random_bool(0.3) { 1 } else { 1_000 };
        publish(field, &mut rng, &draft, tries).await;
        if !field.pace.is_zero() {
            tokio::time::sleep(field.pace).await;
        }
    }
}

async fn publish(field: &Field, rng: &mut StdRng, draft: &Draft, tries: usize) {
    let mut unknown = false;
    for _ in 0..tries {
        match field.publish(rng.random_range(0..2), draft).await {
            Try::Accepted => {
                if unknown {
                    field.repeated.fetch_add(1, Ordering::Relaxed);
                    // An earlier try may have been heard where a fault has undone it since.
                    field.note_all(draft, Outcome::Unknown);
                }
                return;
            }
            Try::NotAccepted => {}
            Try::Unknown => unknown = true,
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(10..150))).await;
    }
    let (count, outcome) = if unknown { (&field.unknown, Outcome::Unknown) } else { (&field.failed, Outcome::Fail) };
    count.fetch_add(1, Ordering::Relaxed);
    field.note_all(draft, outcome);
}

/// A notification unlike any other, to one channel or two, in either lane.
fn draw(field: &Field, rng: &mut StdRng, number: &str) -> Draft {
    let user = &field.users[rng.random_range(0..field.users.len())];
    let mut draft = match rng.random_range(0..10) {
        0 => to_operators(user, number),
        1 => to_team(user, number, "low"),
        2 => to_team(user, number, "high"),
        3..5 => to_user(user, number, "high"),
        _ => to_user(user, number, "low"),
    };
    let length = [1, 1, 1, 100, 2_000][rng.random_range(0..5)];
    draft.body = with(draft.body, "message", "x".repeat(length));
    draft
}
