//! Notifications as the shop's services publish them.

use serde_json::{Value, json};

/// A small order of `user`, told apart by its number.
pub(crate) fn order(user: &str, number: impl ToString) -> Value {
    json!({
        "type": "order.updated", "userId": user,
        "data": { "order_id": number.to_string(), "status": "paid", "seller_team_id": "t2", "total_cents": 4_200 },
    })
}

/// An alert for `user`, which is urgent.
pub(crate) fn alert(user: &str, title: impl ToString) -> Value {
    json!({
        "type": "security.alert", "userId": user, "title": title.to_string(), "priority": "critical",
        "data": { "kind": "new_device", "occurred_at": "2026-03-29T01:30:00Z" },
    })
}

/// A mention of `user` in a thread that `muted_by` have muted.
pub(crate) fn mention(user: &str, muted_by: &[&str]) -> Value {
    json!({
        "type": "chat.mention", "userId": user, "message": "have you seen this?",
        "data": { "thread_id": "x", "author": { "id": "u2", "name": "Ada" }, "direct": false, "muted_by": muted_by },
    })
}

/// A broadcast to operators.
pub(crate) fn broadcast(severity: &str) -> Value {
    json!({ "type": "ops.broadcast", "title": "api", "data": { "service": "api", "severity": severity } })
}

/// The notification with a member set, which a path such as `data.status` names.
pub(crate) fn with(mut notification: Value, path: &str, value: impl Into<Value>) -> Value {
    let mut at = &mut notification;
    for key in path.split('.') {
        at = &mut at[key];
    }
    *at = value.into();
    notification
}
