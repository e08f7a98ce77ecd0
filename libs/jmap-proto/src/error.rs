//! What is answered instead: a whole request refused, a call that failed, an object
//! that was not set. RFC 8620 §3.6, §5.3

use serde_json::{Map, Value, json};
use thiserror::Error;

/// Why no call of a request is carried out. RFC 8620 §3.6.1
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// `using` names what is not known here.
    #[error("the capability {0:?} is not known here")]
    UnknownCapability(String),
    /// The octets are no I-JSON, or are said to be something else.
    #[error("this is not JSON: {0}")]
    NotJson(String),
    /// It is JSON, but no request.
    #[error("this is not a request: {0}")]
    NotRequest(String),
    /// The limit of that name, of the Session object, was passed.
    #[error("over the limit {0}")]
    Limit(&'static str),
}

impl RequestError {
    /// The problem details of RFC 7807, with the status that they go with.
    #[must_use]
    pub fn problem(&self) -> (u16, Value) {
        let kind = match self {
            Self::UnknownCapability(_) => "unknownCapability",
            Self::NotJson(_) => "notJSON",
            Self::NotRequest(_) => "notRequest",
            Self::Limit(_) => "limit",
        };
        let mut problem = json!({
            "type": format!("urn:ietf:params:jmap:error:{kind}"),
            "status": 400,
            "detail": self.to_string(),
        });
        if let Self::Limit(limit) = self {
            problem["limit"] = (*limit).into();
        }
        (400, problem)
    }
}

/// Why a call failed. RFC 8620 §3.6.2 and the sections of the methods
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MethodError {
    /// There is no such method, or not with what `using` names.
    #[error("there is no such method")]
    UnknownMethod,
    /// An argument is missing, of another type, or unknown.
    #[error("{0}")]
    InvalidArguments(String),
    /// A `#` argument cannot be resolved.
    #[error("{0}")]
    InvalidResultReference(String),
    /// No such account, or nothing of it for the one who asks.
    #[error("there is no such account")]
    AccountNotFound,
    /// It may be read only.
    #[error("the account is read-only")]
    AccountReadOnly,
    /// The server cannot at the moment.
    #[error("this is not possible at the moment, try again")]
    ServerUnavailable,
    /// Our own mistake.
    #[error("{0}")]
    ServerFail(String),
    /// Too many objects.
    #[error("too much in one call")]
    RequestTooLarge,
    /// `ifInState` is another state.
    #[error("the state is another by now")]
    StateMismatch,
    /// `ifFromInState` is another state.
    #[error("the state of the account copied from is another by now")]
    FromAccountStateMismatch,
    /// `fromAccountId` is none.
    #[error("there is no such account to copy from")]
    FromAccountNotFound,
    /// Changes since a state are not known any more.
    #[error("what changed since then is not known any more")]
    CannotCalculateChanges,
    /// More changes than the client will take.
    #[error("there are more changes than that")]
    TooManyChanges,
    /// A comparator that is not known.
    #[error("that sort is not supported: {0}")]
    UnsupportedSort(String),
    /// A condition that is not known.
    #[error("that filter is not supported: {0}")]
    UnsupportedFilter(String),
    /// The anchor is not among the results.
    #[error("the anchor is not among the results")]
    AnchorNotFound,
}

impl MethodError {
    /// Its name on the wire.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownMethod => "unknownMethod",
            Self::InvalidArguments(_) => "invalidArguments",
            Self::InvalidResultReference(_) => "invalidResultReference",
            Self::AccountNotFound => "accountNotFound",
            Self::AccountReadOnly => "accountReadOnly",
            Self::ServerUnavailable => "serverUnavailable",
            Self::ServerFail(_) => "serverFail",
            Self::RequestTooLarge => "requestTooLarge",
            Self::StateMismatch | Self::FromAccountStateMismatch => "stateMismatch",
            Self::FromAccountNotFound => "fromAccountNotFound",
            Self::CannotCalculateChanges => "cannotCalculateChanges",
            Self::TooManyChanges => "tooManyChanges",
            Self::UnsupportedSort(_) => "unsupportedSort",
            Self::UnsupportedFilter(_) => "unsupportedFilter",
            Self::AnchorNotFound => "anchorNotFound",
        }
    }

    /// The arguments of the `error` response.
    #[must_use]
    pub fn arguments(&self) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("type".into(), self.kind().into());
        map.insert("description".into(), self.to_string().into());
        map
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::InvalidArguments(text.into())
    }
}

/// Why one object was not created, updated or destroyed. RFC 8620 §5.3
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetError {
    kind: &'static str,
    description: String,
    properties: Vec<String>,
    more: Map<String, Value>,
}

impl SetError {
    /// An error of a kind, with a sentence for people.
    #[must_use]
    pub fn new(kind: &'static str, description: impl Into<String>) -> Self {
        Self {
            kind,
            description: description.into(),
            properties: Vec::new(),
            more: Map::new(),
        }
    }

    /// No such object.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new("notFound", "there is no such object")
    }

    /// Properties that are wrong.
    #[must_use]
    pub fn invalid_properties<S: Into<String>>(
        properties: impl IntoIterator<Item = S>,
        description: impl Into<String>,
    ) -> Self {
        Self {
            properties: properties.into_iter().map(Into::into).collect(),
            ..Self::new("invalidProperties", description)
        }
    }

    /// A patch that cannot be applied.
    #[must_use]
    pub fn invalid_patch(description: impl Into<String>) -> Self {
        Self::new("invalidPatch", description)
    }

    /// With another member, such as `existingId`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Its name on the wire.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// As it is answered.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut map = self.more.clone();
        map.insert("type".into(), self.kind.into());
        map.insert("description".into(), self.description.as_str().into());
        if !self.properties.is_empty() {
            map.insert("properties".into(), self.properties.clone().into());
        }
        Value::Object(map)
    }
}
