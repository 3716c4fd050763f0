//! Errors of the service and the network, by what they mean for a reader.

use std::fmt;

use aws_sdk_kinesis::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// What went wrong with a call. Each kind is retried; they differ in who can cure it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TroubleKind {
    /// Too many calls or bytes, of the shard, the account or its KMS key. It passes.
    Throttled,
    /// No answer in time.
    TimedOut,
    /// No connection, or one that broke.
    Unreachable,
    /// The service failed (5xx). It passes.
    ServiceFailed,
    /// The answer cannot be understood, or contradicts the listing of the shards.
    BadReply,
    /// The policy does not allow the call. An administrator's to cure.
    AccessDenied,
    /// There are no credentials, or the service refuses them: expired, unknown, for another region.
    Credentials,
    /// The stream, or this shard of it, is not there: not made yet, or deleted.
    NotFound,
    /// The stream is being created or changed. It passes.
    NotReady,
    /// The KMS key that encrypts the stream is disabled, deleted or out of reach.
    Encryption,
    /// An iterator or a listing's token was too old; a new one is fetched from the same position.
    Expired,
    /// The service refuses the arguments.
    Rejected,
}

impl TroubleKind {
    /// Every kind, for registering metrics.
    pub const ALL: [Self; 12] = [
        Self::Throttled,
        Self::TimedOut,
        Self::Unreachable,
        Self::ServiceFailed,
        Self::BadReply,
        Self::AccessDenied,
        Self::Credentials,
        Self::NotFound,
        Self::NotReady,
        Self::Encryption,
        Self::Expired,
        Self::Rejected,
    ];

    /// A stable name in kebab case, for labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::TimedOut => "timed-out",
            Self::Unreachable => "unreachable",
            Self::ServiceFailed => "service-failed",
            Self::BadReply => "bad-reply",
            Self::AccessDenied => "access-denied",
            Self::Credentials => "credentials",
            Self::NotFound => "not-found",
            Self::NotReady => "not-ready",
            Self::Encryption => "encryption",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
        }
    }

    /// Whether the call took its full time to fail, so that many of them at once would keep every
    /// fetch permit from the shards that can be read.
    pub(crate) fn is_slow(self) -> bool {
        matches!(self, Self::TimedOut | Self::Unreachable)
    }

    /// By the service's error code, which may or may not end in `Exception`.
    pub(crate) fn from_code(code: &str) -> Option<Self> {
        Some(match code.strip_suffix("Exception").unwrap_or(code) {
            "ProvisionedThroughputExceeded"
            | "LimitExceeded"
            | "KMSThrottling"
            | "Throttling"
            | "Throttled"
            | "RequestLimitExceeded"
            | "TooManyRequests"
            | "SlowDown" => Self::Throttled,
            "ExpiredIterator" | "ExpiredNextToken" => Self::Expired,
            "ResourceNotFound" => Self::NotFound,
            "ResourceInUse" => Self::NotReady,
            "AccessDenied" | "NotAuthorized" | "OptInRequired" => Self::AccessDenied,
            "ExpiredToken"
            | "UnrecognizedClient"
            | "InvalidSignature"
            | "InvalidClientTokenId"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "SignatureDoesNotMatch"
            | "RequestExpired"
            | "AuthFailure" => Self::Credentials,
            "KMSAccessDenied" | "KMSDisabled" | "KMSInvalidState" | "KMSNotFound" | "KMSOptInRequired" => Self::Encryption,
            "InternalFailure" | "InternalServerError" | "ServiceUnavailable" => Self::ServiceFailed,
            "InvalidArgument" | "Validation" | "Serialization" => Self::Rejected,
            _ => return None,
        })
    }
}

/// As [`as_str`](TroubleKind::as_str).
impl fmt::Display for TroubleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call that failed: the kind decides, the message is for people.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) kind: TroubleKind,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(kind: TroubleKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl<E> From<SdkError<E, aws_sdk_kinesis::config::http::HttpResponse>> for Fault
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    fn from(error: SdkError<E, aws_sdk_kinesis::config::http::HttpResponse>) -> Self {
        let kind = classify(&error);
        // A service error prints as its modelled exception, code, message and request id included;
        // the raw response, which could hold a proxy's whole page, is left out.
        let message = match error.as_service_error() {
            Some(service) => match (service.code(), service.message()) {
                (Some(code), Some(message)) => format!("{code}: {message}"),
                (Some(code), None) => code.to_owned(),
                (None, _) => {
                    let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
                    format!("HTTP {status} without an error code")
                }
            },
            None => cut(&DisplayErrorContext(&error).to_string()),
        };
        Self { kind, message }
    }
}

fn classify<E>(error: &SdkError<E, aws_sdk_kinesis::config::http::HttpResponse>) -> TroubleKind
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::TimeoutError(_) => TroubleKind::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => TroubleKind::TimedOut,
        // The SDK has no public type for "no credentials could be had": it arrives as a failed
        // dispatch of kind "other", and only its text tells it from a broken connection.
        SdkError::DispatchFailure(failure) if failure.is_other() && names_credentials(error) => TroubleKind::Credentials,
        SdkError::DispatchFailure(_) => TroubleKind::Unreachable,
        // Nothing was sent. All arguments are ours and well-formed, which leaves region,
        // endpoint and credentials.
        SdkError::ConstructionFailure(_) => TroubleKind::Credentials,
        SdkError::ResponseError(_) => TroubleKind::BadReply,
        SdkError::ServiceError(context) => {
            let status = context.raw().status().as_u16();
            let by_code = context.err().code().and_then(TroubleKind::from_code);
            by_code.unwrap_or(match status {
                200..=299 => TroubleKind::BadReply,
                403 => TroubleKind::AccessDenied,
                429 => TroubleKind::Throttled,
                500..=599 => TroubleKind::ServiceFailed,
                _ => TroubleKind::Rejected,
            })
        }
        // `SdkError` may grow: a failure of an unknown sort is retried like a broken connection.
        _ => TroubleKind::Unreachable,
    }
}

fn names_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if text.contains("credential") || text.contains("identity") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Longest message that is passed on, in bytes. An error's text may quote what a peer sent.
const MESSAGE_BYTES_MAX: usize = 1_000;

pub(crate) fn cut(message: &str) -> String {
    message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_known_with_and_without_their_suffix() {
        for (code, kind) in [
            ("ProvisionedThroughputExceededException", TroubleKind::Throttled),
            ("KMSThrottlingException", TroubleKind::Throttled),
            ("ThrottlingException", TroubleKind::Throttled),
            ("ExpiredIteratorException", TroubleKind::Expired),
            ("ExpiredTokenException", TroubleKind::Credentials),
            ("ExpiredToken", TroubleKind::Credentials),
            ("KMSDisabledException", TroubleKind::Encryption),
            ("ResourceNotFoundException", TroubleKind::NotFound),
            ("InvalidArgumentException", TroubleKind::Rejected),
        ] {
            assert_eq!(TroubleKind::from_code(code), Some(kind), "{code}");
        }
        assert_eq!(TroubleKind::from_code("SomethingNew"), None);
    }

    #[test]
    fn names_are_distinct() {
        let names: std::collections::BTreeSet<_> = TroubleKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), TroubleKind::ALL.len());
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let message = format!("{}é", "x".repeat(MESSAGE_BYTES_MAX - 1));
        assert_eq!(cut(&message).len(), MESSAGE_BYTES_MAX - 1);
        assert_eq!(cut("short"), "short");
    }
}
