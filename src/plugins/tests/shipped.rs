//! The plugins of the folder `plugins/`.

use super::*;

const MUTED_THREADS: &str = include_str!("../../../plugins/muted_threads.rhai");
const QUIET_HOURS: &str = include_str!("../../../plugins/quiet_hours.rhai");

#[test]
fn a_muted_thread_is_dropped_unless_it_is_direct() {
    let ask = |keep_direct: bool, direct: bool, muted_by: Value| {
        let value = json!({"type": "chat.mention", "userId": "u2", "data": {"direct": direct, "muted_by": muted_by}});
        let now = "2026-06-01T12:00:00Z";
        plugin(MUTED_THREADS, json!({"keep_direct": keep_direct})).filter(&accept(value, now), now.parse().unwrap())
    };
    assert_eq!(ask(true, false, json!(["u1", "u2"])).verdict, dropped("muted-thread"));
    assert_eq!(ask(true, true, json!(["u2"])).verdict, Verdict::Pass);
    assert_eq!(ask(false, true, json!(["u2"])).verdict, dropped("muted-thread"));
    assert_eq!(ask(true, false, json!(["u1"])).verdict, Verdict::Pass);
}

#[test]
fn a_mention_without_data_passes() {
    let notification = accept(json!({"type": "chat.mention", "userId": "u2"}), "2026-06-01T12:00:00Z");
    let run = plugin(MUTED_THREADS, json!({"keep_direct": true})).filter(&notification, notification.created_at);
    assert_eq!(run.verdict, Verdict::Pass);
}

#[test]
fn only_what_can_wait_is_dropped_at_night() {
    let berlin = json!({"timezone": "Europe/Berlin", "start": 22, "end": 7});
    let ask = |priority: &str, now: &str| {
        let notification = accept(json!({"type": "order.updated", "priority": priority}), now);
        plugin(QUIET_HOURS, berlin.clone()).filter(&notification, notification.created_at).verdict
    };
    assert_eq!(ask("medium", "2026-06-01T20:00:00Z"), dropped("quiet-hours")); // 22:00 in summer
    assert_eq!(ask("low", "2026-06-01T04:59:59Z"), dropped("quiet-hours"));
    assert_eq!(ask("low", "2026-06-01T05:00:00Z"), Verdict::Pass);
    assert_eq!(ask("medium", "2026-12-01T20:30:00Z"), Verdict::Pass); // 21:30 in winter
    assert_eq!(ask("high", "2026-06-01T22:00:00Z"), Verdict::Pass);
}
