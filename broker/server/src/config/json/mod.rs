//! tibemsd.json: the whole family in one file for both servers. `node` reads JSON with the line of each element,
//! `document` makes of it what the .conf files would have said, `write` is the way back. Gives nothing a meaning.

mod document;
mod node;
mod texts;

pub(super) use document::Document;

/// The name of the list for a parameter that names a file.
pub(super) fn list_name(parameter: &str) -> &str {
    if parameter == "acl_list" { "acls" } else { parameter }
}
