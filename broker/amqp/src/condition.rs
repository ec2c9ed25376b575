//! Owns the names of all error conditions that AMQP 1.0 defines (core specification 2.8.15 to 2.8.18 and 4.5.8).
//! Does not own the error type that carries them: see [`crate::Error`].

/// Something went wrong inside the peer; nothing that the receiver of the error did.
pub const INTERNAL_ERROR: &str = "amqp:internal-error";
/// No such node, subscription or other thing.
pub const NOT_FOUND: &str = "amqp:not-found";
/// The user may not do this.
pub const UNAUTHORIZED_ACCESS: &str = "amqp:unauthorized-access";
/// Bytes that are not valid AMQP encoding.
pub const DECODE_ERROR: &str = "amqp:decode-error";
/// A configured limit of the peer was reached.
pub const RESOURCE_LIMIT_EXCEEDED: &str = "amqp:resource-limit-exceeded";
/// A frame or a request that is not permitted here.
pub const NOT_ALLOWED: &str = "amqp:not-allowed";
/// A field holds a value that is not permitted.
pub const INVALID_FIELD: &str = "amqp:invalid-field";
/// The peer does not implement what was asked for.
pub const NOT_IMPLEMENTED: &str = "amqp:not-implemented";
/// Somebody else holds the resource.
pub const RESOURCE_LOCKED: &str = "amqp:resource-locked";
/// A precondition of the request does not hold.
pub const PRECONDITION_FAILED: &str = "amqp:precondition-failed";
/// The resource was deleted while it was in use.
pub const RESOURCE_DELETED: &str = "amqp:resource-deleted";
/// A frame that the peer's state does not permit.
pub const ILLEGAL_STATE: &str = "amqp:illegal-state";
/// The agreed max-frame-size is too small for what has to be sent.
pub const FRAME_SIZE_TOO_SMALL: &str = "amqp:frame-size-too-small";

/// An operator or the server's state forced the connection to close.
pub const CONNECTION_FORCED: &str = "amqp:connection:forced";
/// A frame whose framing is wrong: its size, offset, type, channel or handle.
pub const CONNECTION_FRAMING_ERROR: &str = "amqp:connection:framing-error";
/// The container is elsewhere; the info map says where.
pub const CONNECTION_REDIRECT: &str = "amqp:connection:redirect";
/// Not a condition but a property of `open`: its presence says that a `close` follows at once.
pub const CONNECTION_ESTABLISHMENT_FAILED: &str = "amqp:connection-establishment-failed";

/// More transfers than the session's incoming window permits.
pub const SESSION_WINDOW_VIOLATION: &str = "amqp:session:window-violation";
/// Input for a link that was detached with an error.
pub const SESSION_ERRANT_LINK: &str = "amqp:session:errant-link";
/// An attach with a handle that is already in use.
pub const SESSION_HANDLE_IN_USE: &str = "amqp:session:handle-in-use";
/// A frame for a handle to which no link is attached.
pub const SESSION_UNATTACHED_HANDLE: &str = "amqp:session:unattached-handle";

/// An operator or the server's state forced the link to detach.
pub const LINK_DETACH_FORCED: &str = "amqp:link:detach-forced";
/// The sender sent more messages than the link credit permits.
pub const LINK_TRANSFER_LIMIT_EXCEEDED: &str = "amqp:link:transfer-limit-exceeded";
/// A message larger than the link's max-message-size.
pub const LINK_MESSAGE_SIZE_EXCEEDED: &str = "amqp:link:message-size-exceeded";
/// The node is elsewhere; the info map says where.
pub const LINK_REDIRECT: &str = "amqp:link:redirect";
/// The same link was attached again, which takes it away from here.
pub const LINK_STOLEN: &str = "amqp:link:stolen";

/// The transaction-id is not known.
pub const TRANSACTION_UNKNOWN_ID: &str = "amqp:transaction:unknown-id";
/// The transaction was rolled back.
pub const TRANSACTION_ROLLBACK: &str = "amqp:transaction:rollback";
/// The transaction took too long.
pub const TRANSACTION_TIMEOUT: &str = "amqp:transaction:timeout";
