//! Tests of the whole generator: its library and its program against a broker made for the purpose.

mod clients;
mod command_line;
mod documents;
mod support;
