//! A producer: publishes one notification and prints the receipt, or why the server refused.
//!
//! `FANFARE_TOKEN=… cargo run --example publish`; the server is `FANFARE_URL`, by default `http://127.0.0.1:8080`.
#![expect(clippy::print_stdout, reason = "the receipt is what this command is for")]

use std::env;
use std::error::Error;

use reqwest::Client;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = env::var("FANFARE_URL").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned());
    let order = json!({
        "type": "order.updated",
        "userId": "c7",
        "title": "Your order is paid",
        "data": {"order_id": "o1", "status": "paid", "seller_team_id": "t2", "total_cents": 250_000},
    });
    let response = Client::new()
        .post(format!("{server}/v1/notifications"))
        .bearer_auth(env::var("FANFARE_TOKEN")?)
        // The event that it tells of, so that a retry after a lost answer changes nothing.
        .header("idempotency-key", "order-o1-paid")
        .json(&order)
        .send()
        .await?;
    let status = response.status();
    let receipt: Value = response.json().await?;
    println!("{status}\n{receipt:#}");
    if status.is_success() { Ok(()) } else { Err("the server refused it".into()) }
}
