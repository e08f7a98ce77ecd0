//! Every bound of a request. Those that clients are told stand in the Session object too.

/// Octets of a request. RFC 8620 §2 suggests no less.
pub const REQUEST_BYTES_MAX: usize = 10_000_000;
/// Values in a request, nested ones too: a few octets each can take much memory.
pub const VALUES_MAX: usize = 400_000;
/// Calls of a request.
pub const CALLS_MAX: usize = 64;
/// Objects of a `/get`.
pub const OBJECTS_IN_GET_MAX: usize = 1000;
/// Objects of a `/set`: creates, updates and destroys together.
pub const OBJECTS_IN_SET_MAX: usize = 1000;
/// Octets of an id. RFC 8620 §1.2
pub const ID_BYTES_MAX: usize = 255;
/// How deep filters may be nested.
pub const FILTER_DEPTH_MAX: usize = 16;
/// Operators and conditions of a filter.
pub const FILTER_PARTS_MAX: usize = 256;
/// Comparators of a sort.
pub const SORT_MAX: usize = 16;
/// Values that references of one request bring in: a small request could name
/// the same results again and again.
pub const REFERENCED_VALUES_MAX: usize = 200_000;
/// Steps of a path in a reference or a patch.
pub const PATH_STEPS_MAX: usize = 32;
/// Octets of a call's id, which each of its answers repeats.
pub const CALL_ID_BYTES_MAX: usize = 1024;
/// Properties that one `/get` may name.
pub const PROPERTIES_MAX: usize = 512;
