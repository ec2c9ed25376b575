//! The command line of `broker-admin`. Owns the options, their help and EMS's spellings of them.

use crate::config::TlsFiles;
use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;

/// Administers a broker or a pair of them: interactively, by a script, or with one command.
#[derive(Clone, Debug, Parser)]
#[command(name = "broker-admin", version, max_term_width = 110)]
#[command(
    after_help = "Examples:\n  broker-admin show queues\n  broker-admin --server tcp://a:7222,tcp://b:7224 --user admin create queue orders.in maxmsgs=1000\n  broker-admin --script setup.txt\n  broker-admin convert --from tibemsd.conf --to tibemsd.json\n\nEMS's spellings (-server, -user, -password, -pwdfile, -script, -ignore, -ssl_...) are understood. Without a command and a script it is\ninteractive; 'help' lists the commands.\n\nExit codes: 0 done, 1 a command was refused, 2 no connection, 64 the command line is wrong."
)]
pub(super) struct Options {
    /// Servers, with commas between; the first that answers is used, and for commands that only the active server does, that
    #[arg(long, value_name = "URL,URL", default_value = "tcp://localhost:7222")]
    pub(super) server: String,
    /// User name
    #[arg(long, default_value = "admin")]
    pub(super) user: String,
    /// Password; without it the tool asks where the server wants one. Others on this machine may see a command line
    #[arg(long)]
    pub(super) password: Option<String>,
    /// File whose first line is the password; --password beats it
    #[arg(long, value_name = "FILE")]
    pub(super) pwdfile: Option<PathBuf>,
    /// File with authorities that are trusted for ssl:// URLs, in PEM or DER; may be repeated
    #[arg(long = "ssl_trusted", value_name = "FILE")]
    pub(super) ssl_trusted: Vec<PathBuf>,
    /// File with the tool's own certificate, in PEM or DER
    #[arg(long = "ssl_identity", value_name = "FILE")]
    pub(super) ssl_identity: Option<PathBuf>,
    /// File with the key of --ssl_identity, where that has none
    #[arg(long = "ssl_key", value_name = "FILE", requires = "ssl_identity")]
    pub(super) ssl_key: Option<PathBuf>,
    /// Password of that key
    #[arg(long = "ssl_password", value_name = "PASSWORD", requires = "ssl_identity")]
    pub(super) ssl_password: Option<String>,
    /// File with issuers of --ssl_identity, which are shown with it; may be repeated
    #[arg(long = "ssl_issuer", value_name = "FILE", requires = "ssl_identity")]
    pub(super) ssl_issuer: Vec<PathBuf>,
    /// Ciphers that are allowed, as OpenSSL names them
    #[arg(long = "ssl_ciphers", value_name = "LIST")]
    pub(super) ssl_ciphers: Option<String>,
    /// The name that the server's certificate must have, where it is not the host of the URL
    #[arg(long = "ssl_hostname", value_name = "NAME", conflicts_with = "ssl_noverifyhostname")]
    pub(super) ssl_hostname: Option<String>,
    /// Takes a server's certificate whatever name it has
    #[arg(long = "ssl_noverifyhostname")]
    pub(super) ssl_noverifyhostname: bool,
    /// Takes any certificate: whoever answers learns the password
    #[arg(long = "ssl_noverifyhost")]
    pub(super) ssl_noverifyhost: bool,
    /// Not supported: passwords are kept as hashes, which the server makes (create user, set password)
    #[arg(long, value_name = "PASSWORD", num_args = 0..=1, default_missing_value = "")]
    pub(super) mangle: Option<String>,
    /// Carries out the commands in a file, one a line
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub(super) script: Option<PathBuf>,
    /// Goes on with a script after a command that was refused
    #[arg(long)]
    pub(super) ignore: bool,
    /// Prints the replies as JSON, one line each
    #[arg(long)]
    pub(super) json: bool,
    /// Seconds to wait for a connection and for each reply
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    pub(super) timeout: f64,
    /// One command, and then the end
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub(super) command: Vec<String>,
}

impl Options {
    /// The files for `ssl://`.
    pub(super) fn tls_files(&self) -> TlsFiles {
        TlsFiles {
            identity: self.ssl_identity.clone(),
            key: self.ssl_key.clone(),
            password: self.ssl_password.clone().unwrap_or_default(),
            issuers: self.ssl_issuer.clone(),
            trusted: self.ssl_trusted.clone(),
            ciphers: self.ssl_ciphers.clone().unwrap_or_default(),
        }
    }
}

/// Seconds that make a time.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is not a number of seconds"))?;
    let is_time = seconds > 0.0 && seconds <= 86_400.0;
    if is_time { Ok(seconds) } else { Err("a time is more than 0 and at most 86400 seconds".to_owned()) }
}

/// EMS's options, which begin with one dash.
const EMS: [&str; 18] = [
    "server",
    "user",
    "password",
    "pwdfile",
    "script",
    "ignore",
    "help",
    "timeout",
    "mangle",
    "ssl_trusted",
    "ssl_identity",
    "ssl_key",
    "ssl_password",
    "ssl_issuer",
    "ssl_ciphers",
    "ssl_hostname",
    "ssl_noverifyhostname",
    "ssl_noverifyhost",
];

/// Options without a value.
const SWITCHES: [&str; 8] = ["ignore", "help", "json", "version", "h", "V", "ssl_noverifyhostname", "ssl_noverifyhost"];

/// Gives EMS's spellings their second dash, as far as the first word that is neither an option nor the value of one.
pub(super) fn normalize(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut normal = Vec::new();
    let mut takes_value = false;
    let mut in_command = false;
    for (index, argument) in arguments.enumerate() {
        let text = argument.to_string_lossy().into_owned();
        let name = text.strip_prefix('-').map(|rest| rest.split('=').next().unwrap_or(rest));
        let is_ems = !in_command && !takes_value && name.is_some_and(|name| EMS.contains(&name));
        in_command |= index > 0 && !takes_value && !text.starts_with('-');
        let bare = text.trim_start_matches('-');
        takes_value = !in_command && text.starts_with('-') && !text.contains('=') && !SWITCHES.contains(&bare);
        normal.push(if is_ems { OsString::from(format!("-{text}")) } else { argument });
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options, clap::Error> {
        let words = std::iter::once("broker-admin").chain(words.iter().copied()).map(OsString::from);
        Options::try_parse_from(normalize(words))
    }

    #[test]
    fn both_spellings_are_understood() {
        for dashes in ["-", "--"] {
            let words = ["server", "tcp://a:1", "user", "ops", "password", "-x"];
            let words: Vec<String> = words
                .iter()
                .enumerate()
                .map(|(at, word)| if at % 2 == 0 { format!("{dashes}{word}") } else { (*word).into() })
                .collect();
            let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
            let password = format!("{dashes}password=-x");
            words.truncate(4);
            words.push(&password);
            words.extend(["show", "queues"]);
            let options = parsed(&words).unwrap();
            assert_eq!((&options.server[..], &options.user[..]), ("tcp://a:1", "ops"));
            assert_eq!(options.password.as_deref(), Some("-x"));
            assert_eq!(options.command, ["show", "queues"]);
        }
        let options = parsed(&["-script", "f", "-ignore"]).unwrap();
        assert!(options.ignore && options.script == Some("f".into()));
        let words =
            ["-ssl_noverifyhostname", "-ssl_identity", "i", "-ssl_issuer", "a", "-ssl_issuer", "b", "-ssl_password"];
        let options = parsed(&[&words[..], &["p", "show", "state"]].concat()).unwrap();
        let files = options.tls_files();
        assert_eq!((files.issuers.len(), &files.password[..], options.ssl_noverifyhostname), (2, "p", true));
        assert_eq!(options.command, ["show", "state"]);
        assert!(parsed(&["-mangle"]).unwrap().mangle.is_some() && parsed(&["-mangle", "x"]).unwrap().mangle.is_some());
    }

    #[test]
    fn words_of_the_command_are_left_alone() {
        let options = parsed(&["set", "password", "bob", "-user"]).unwrap();
        assert_eq!(options.command, ["set", "password", "bob", "-user"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(parsed(&["--script", "f", "show", "queues"]).is_err());
        assert!(parsed(&["--timeout", "0", "info"]).is_err());
        assert!(parsed(&["--nonsense"]).is_err());
        assert!(parsed(&["-ssl_password", "x", "info"]).is_err(), "there is no key that it opens");
        assert!(parsed(&["-ssl_hostname", "x", "-ssl_noverifyhostname", "info"]).is_err());
    }
}
