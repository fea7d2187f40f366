//! A subscriber: prints each notification as it arrives, and resumes where it left off when the stream ends.
//!
//! `FANFARE_TOKEN=… cargo run --example subscribe`; the server is `FANFARE_URL`, by default `http://127.0.0.1:8080`.
#![expect(clippy::print_stdout, reason = "the notifications are what this command is for")]

use std::env;
use std::error::Error;
use std::time::Duration;

use eventsource_stream::Eventsource;
use futures_util::StreamExt;
use reqwest::{Client, StatusCode};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = env::var("FANFARE_URL").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned());
    let token = env::var("FANFARE_TOKEN")?;
    let (mut cursor, mut retry) = (String::new(), Duration::from_secs(3));
    loop {
        // Without `accept: text/event-stream` a refusal comes as a status and not as a stream.
        let request = Client::new().get(format!("{server}/v1/events")).bearer_auth(&token);
        if let Ok(response) = request.header("last-event-id", &cursor).send().await {
            let status = response.status();
            if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
                return Err(format!("{status}: {}", response.text().await?).into());
            }
            let mut events = response.bytes_stream().eventsource();
            while let Some(Ok(event)) = events.next().await {
                println!("{:8} {}", event.event, event.data);
                (cursor, retry) = (event.id, event.retry.unwrap_or(retry));
            }
        }
        tokio::time::sleep(retry).await;
    }
}
