//! tibemsd.json: the whole family in one file for both servers. `node` reads JSON with the line of each element,
//! `document` makes of it what the .conf files would have said (`texts` for users, groups and permissions), `write` is
//! the way back. Gives nothing a meaning.

mod document;
mod node;
mod texts;
mod write;

pub(super) use document::Document;
pub(super) use write::{Json, bridge, entry, listens, server_object, text_list};

/// The name of the list that stands for the file which `parameter` names.
pub(super) fn list_name(parameter: &str) -> &str {
    if parameter == "acl_list" { "acls" } else { parameter }
}
