//! The edge: routes, and the accept loop that serves them.

mod admin;
mod body;
mod channel;
mod decisions;
mod error;
mod explain;
mod extract;
mod fault;
mod handoff;
mod health;
mod publish;
mod server;
mod streams;
mod subscribe;
mod unknown;

pub use server::{Listener, ServerLimits};

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::pipeline::Pipeline;
use crate::reload::ReloadHandle;

/// What every handler can reach. It is shared, as each request takes it several times.
#[derive(Debug)]
pub struct Context {
    /// Where notifications and subscriptions go.
    pub pipeline: Arc<Pipeline>,
    /// Asks for a reload.
    pub reload: ReloadHandle,
    /// Largest request body in bytes.
    pub max_body: usize,
    /// How long a request's body may take.
    pub body_timeout: Duration,
}

/// The routes for producers and subscribers. What all requests pass is one layer: for each the router has a box, which
/// each request copies.
pub fn routes(context: &Arc<Context>, allowed_origins: &[String]) -> Router {
    Router::new()
        .route("/v1/notifications", post(publish::one))
        .route("/v1/notifications:batch", post(publish::batch))
        .route("/v1/events", get(subscribe::events))
        .route("/v1/channels/{channel}", get(channel::info))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer((
            from_fn_with_state(Arc::clone(context), enter),
            CatchPanicLayer::custom(error::panicked),
            option_layer(cors(allowed_origins)),
        ))
        .with_state(Arc::clone(context))
}

/// The routes for operators.
pub fn admin_routes(context: &Arc<Context>) -> Router {
    Router::new()
        .route("/metrics", get(admin::metrics))
        .route("/v1/admin/config", get(admin::config))
        .route("/v1/admin/reload", post(admin::reload))
        .route("/v1/admin/explain", post(explain::explain))
        .route("/v1/admin/decisions", get(decisions::decisions))
        .route("/v1/admin/decisions/{id}", get(decisions::decision))
        .layer(from_fn_with_state(Arc::clone(context), admin::guard))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer((from_fn_with_state(Arc::clone(context), enter), CatchPanicLayer::custom(error::panicked)))
        .with_state(Arc::clone(context))
}

/// Counts requests by route, as declared here, never by path: a path is the caller's to choose. Refuses those that do
/// not name their host as they must, which a proxy in front may have taken for another's. No answer may be kept, as each
/// is for its caller and of its moment.
async fn enter(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = match extract::check_host(request.version(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    context.pipeline.metrics.http_request(route, response.status().as_u16());
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Lets pages of the listed origins call, with their cookies. Fetch-based clients ask before they send a cursor.
fn cors(allowed_origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = allowed_origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    if origins.is_empty() {
        return None;
    }
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CACHE_CONTROL,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("prefer"),
            HeaderName::from_static("traceparent"),
        ])
        // A browser hides from a page whatever is not named here: when to come back, and what was wrong.
        .expose_headers([
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
        ])
        .max_age(Duration::from_secs(7_200));
    Some(layer)
}
