//! Every way in which a request can be refused: the codes of problem documents, each with its status, in one list.

use axum::http::StatusCode;

use crate::notification::Reason;

/// Why a request is refused. The code is stable: callers depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// As a notification may end; some of these other requests share.
    Reason(Reason),
    /// The request itself is at fault, or what it asks for is not there.
    Request(RequestFault),
}

macro_rules! request_faults {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $status:ident;)+) => {
        /// What is wrong with a request whatever it publishes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum RequestFault { $($(#[doc = $doc])+ $variant,)+ }

        impl RequestFault {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$variant,)+];

            fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }

            fn describe(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

request_faults! {
    /// HTTP/1.1 without `Host`, with several, or with one that is no host.
    BadHost = "bad_host", BAD_REQUEST;
    /// A parameter of the query is unknown, or not what it must be.
    BadQuery = "bad_query", BAD_REQUEST;
    /// `If-Match` is neither revisions in quotes nor `*`.
    BadHeader = "bad_header", BAD_REQUEST;
    /// `Idempotency-Key` is not 1 to 255 visible ASCII characters.
    BadIdempotencyKey = "bad_idempotency_key", BAD_REQUEST;
    /// The path names no id of a notification.
    BadId = "bad_id", BAD_REQUEST;
    /// A name is no channel's.
    BadChannel = "bad_channel", BAD_REQUEST;
    /// No channel is named, and there is none to subscribe to by default.
    NoChannel = "no_channel", BAD_REQUEST;
    /// More channels are named than one stream can have.
    TooManyChannels = "too_many_channels", BAD_REQUEST;
    /// A request for a stream has a body.
    UnexpectedBody = "unexpected_body", BAD_REQUEST;
    /// The body ended early.
    IncompleteBody = "incomplete_body", BAD_REQUEST;
    /// There is nothing at this path, or no decision of that id is kept.
    NotFound = "not_found", NOT_FOUND;
    /// No channel of that name is declared.
    UnknownChannel = "unknown_channel", NOT_FOUND;
    /// The path does not take that method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED;
    /// `Accept` rules out what the path answers with.
    NotAcceptable = "not_acceptable", NOT_ACCEPTABLE;
    /// The body took longer than `server.body_timeout`.
    BodyTimeout = "body_timeout", REQUEST_TIMEOUT;
    /// Another revision is in force than `If-Match` names.
    OtherRevision = "other_revision", PRECONDITION_FAILED;
    /// The body's media type or `charset` is not taken, or it is compressed.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE;
    /// The principal has as many streams open as it may.
    TooManyStreams = "too_many_streams", TOO_MANY_REQUESTS;
    /// The server failed on this request.
    Internal = "internal", INTERNAL_SERVER_ERROR;
    /// The broker is away, so it is not known where the channels are.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE;
}

impl Fault {
    /// The stable code.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Reason(reason) => reason.code(),
            Self::Request(fault) => fault.code(),
        }
    }

    /// The status of the answer.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Reason(reason) => status(reason),
            Self::Request(fault) => fault.status(),
        }
    }

    /// One sentence for people, the same whenever it happens.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Reason(reason) => reason.describe(),
            Self::Request(fault) => fault.describe(),
        }
    }
}

impl From<Reason> for Fault {
    fn from(reason: Reason) -> Self {
        Self::Reason(reason)
    }
}

impl From<RequestFault> for Fault {
    fn from(fault: RequestFault) -> Self {
        Self::Request(fault)
    }
}

/// The status with which a producer is told how its notification ended.
fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::Unauthenticated => StatusCode::UNAUTHORIZED,
        Reason::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::Malformed => StatusCode::BAD_REQUEST,
        Reason::Forbidden => StatusCode::FORBIDDEN,
        Reason::Limited => StatusCode::TOO_MANY_REQUESTS,
        Reason::UnknownType | Reason::Invalid | Reason::BadSegment | Reason::Unmatched | Reason::KeyReused => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Reason::InFlight => StatusCode::CONFLICT,
        Reason::NotAccepted | Reason::UnknownOutcome | Reason::Draining => StatusCode::SERVICE_UNAVAILABLE,
        Reason::Routed
        | Reason::Duplicate
        | Reason::UnmatchedDropped
        | Reason::DroppedByRule
        | Reason::DroppedByFilter
        | Reason::FilterFailed => StatusCode::ACCEPTED,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::notification::Outcome;

    const PRODUCER: &str = include_str!("../../docs/producer.md");
    const BROWSER: &str = include_str!("../../docs/browser.md");

    fn all() -> impl Iterator<Item = Fault> {
        let reasons = Reason::ALL.iter().copied().map(Fault::Reason);
        reasons.chain(RequestFault::ALL.iter().copied().map(Fault::Request))
    }

    /// The cells of the rows of a page's tables.
    fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
        let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
        rows.map(|row| row.split(" | ").map(str::trim).collect())
    }

    #[test]
    fn no_two_faults_have_one_code() {
        let codes: BTreeSet<_> = all().map(Fault::code).collect();
        assert_eq!(codes.len(), all().count());
    }

    #[test]
    fn a_reason_is_told_with_the_status_of_its_outcome() {
        for reason in Reason::ALL {
            assert_eq!(status(*reason).is_success(), reason.outcome() != Outcome::Rejected, "{reason:?}");
        }
    }

    #[test]
    fn every_code_has_its_row_in_the_page_for_producers() {
        let section = PRODUCER.split("\n## ").find(|section| section.starts_with("Every code")).unwrap();
        let rows: Vec<_> = rows(section).filter(|row| row[0] != "code").collect();
        assert_eq!(rows.len(), all().count(), "a row for each code, and none for others");
        for fault in all() {
            let (code, status) = (format!("`{}`", fault.code()), fault.status().as_u16().to_string());
            let row = rows.iter().find(|row| row[0] == code).unwrap_or_else(|| panic!("{code} has no row"));
            let told = match fault {
                Fault::Reason(reason) => row[1..3] == [reason.outcome().as_str(), &*status],
                Fault::Request(_) => row[1..] == [&*status, fault.describe().trim_end_matches('.')],
            };
            assert!(told, "{row:?} is not what {fault:?} is");
        }
    }

    #[test]
    fn the_page_for_browsers_names_no_other_code_or_status() {
        let section = BROWSER.split("\n## ").find(|section| section.starts_with("Refusals")).unwrap();
        for row in rows(section).filter(|row| row[0].parse::<u16>().is_ok()) {
            let names = row[1].split('`').skip(1).step_by(2);
            for name in names.filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')) {
                let fault = all().find(|fault| fault.code() == name).unwrap_or_else(|| panic!("{name} is no code"));
                assert_eq!(fault.status().as_str(), row[0], "{name}");
            }
        }
    }
}
