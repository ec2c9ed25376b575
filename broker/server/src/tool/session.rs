//! One use of the tool: the connection, and the commands that are the tool's own.
//!
//! Owns which server a command goes to: the one that is connected, and, where only the active server does it, the one of the
//! list that does.

use super::client::{Client, ClientError, Url};
use super::options::{Options, seconds};
use super::stream::Tls;
use super::{help, render};
use serde_json::Value;
use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

/// What a line came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was done; what there is to see.
    Done(String),
    /// The session is over.
    Over,
}

/// Why a line came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The server, or the tool, does not do it.
    #[error("{0}")]
    Refused(String),
    /// There is no connection.
    #[error(transparent)]
    Connection(#[from] ClientError),
}

/// The session.
pub(super) struct Session {
    urls: Vec<Url>,
    user: String,
    password: Option<String>,
    limit: Duration,
    tls: Tls,
    client: Option<Client>,
    is_json: bool,
    /// Commands of a script are printed.
    pub(super) echoes: bool,
    tells_time: bool,
}

impl Session {
    /// A session that is not connected yet.
    pub(super) fn new(options: &Options) -> Result<Session, String> {
        let urls = options.server.split(',').map(Url::parse).collect::<Result<Vec<Url>, String>>()?;
        let file = options.pwdfile.as_ref().filter(|_| options.password.is_none());
        let from_file = file.map(|path| {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok::<_, String>(text.lines().next().unwrap_or("").to_owned())
        });
        Ok(Session {
            urls,
            user: options.user.clone(),
            password: options.password.clone().or(from_file.transpose()?),
            limit: Duration::from_secs_f64(options.timeout),
            tls: Tls::new(
                options.tls_files(),
                options.ssl_hostname.clone(),
                !options.ssl_noverifyhost,
                !options.ssl_noverifyhostname,
            )?,
            client: None,
            is_json: options.json,
            echoes: true,
            tells_time: false,
        })
    }

    /// The server that is connected.
    pub(super) fn url(&self) -> Option<&Url> {
        self.client.as_ref().map(Client::url)
    }

    /// Connects to the first server of the list that answers.
    pub(super) fn connect(&mut self) -> Result<(), ClientError> {
        let mut first = None;
        for url in self.urls.clone() {
            match self.connect_to(&url) {
                Ok(client) => {
                    self.client = Some(client);
                    return Ok(());
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.expect("there is at least one URL"))
    }

    /// Connects to one server; asks for the password where the server does not do without.
    fn connect_to(&mut self, url: &Url) -> Result<Client, ClientError> {
        let known = self.password.clone().unwrap_or_default();
        let result = Client::connect(url, &self.tls, (&self.user, &known), self.limit);
        let asks = self.password.is_none() && std::io::stdin().is_terminal();
        let (Err(ClientError::Login { .. } | ClientError::Unauthorized { .. }), true) = (&result, asks) else {
            return result;
        };
        let question = format!("Password of {} at {}: ", self.user, url.as_str());
        let lost =
            |error: std::io::Error| ClientError::Lost { url: url.as_str().to_owned(), reason: error.to_string() };
        let password = rpassword::prompt_password(question).map_err(lost)?;
        let client = Client::connect(url, &self.tls, (&self.user, &password), self.limit)?;
        self.password = Some(password);
        Ok(client)
    }

    /// Carries out one line.
    pub(super) fn carry_out(&mut self, line: &str) -> Result<Outcome, Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let text = match words.as_slice() {
            ["exit" | "quit"] => return Ok(Outcome::Over),
            ["help"] => help::help("").map_err(Failure::Refused)?,
            ["help", ..] => help::help(&words[1..].join(" ")).map_err(Failure::Refused)?,
            ["disconnect"] => {
                self.client = None;
                String::new()
            }
            ["connect", rest @ ..] => self.connect_command(rest)?,
            ["time", rest @ ..] => switch("time", rest, &mut self.tells_time)?,
            ["echo", rest @ ..] => switch("echo", rest, &mut self.echoes)?,
            ["timeout", rest @ ..] => self.timeout(rest)?,
            _ => self.ask(line)?,
        };
        let time = self.tells_time.then(|| format!("{}\n", humantime::format_rfc3339_millis(SystemTime::now())));
        Ok(Outcome::Done(time.unwrap_or_default() + &text))
    }

    fn connect_command(&mut self, words: &[&str]) -> Result<String, Failure> {
        if let Some(urls) = words.first() {
            self.urls = urls.split(',').map(Url::parse).collect::<Result<_, _>>().map_err(Failure::Refused)?;
        }
        if let Some(user) = words.get(1) {
            (*user).clone_into(&mut self.user);
            self.password = words.get(2).map(|password| (*password).to_owned());
        }
        self.client = None;
        self.connect()?;
        Ok(format!("Connected to {}\n", self.url().map_or("", Url::as_str)))
    }

    fn timeout(&mut self, words: &[&str]) -> Result<String, Failure> {
        if let Some(text) = words.first() {
            self.limit = Duration::from_secs_f64(seconds(text).map_err(Failure::Refused)?);
            if let Some(client) = &mut self.client {
                client.set_limit(self.limit);
            }
        }
        Ok(format!("timeout is {} s\n", self.limit.as_secs_f64()))
    }

    /// Has the server carry out a line.
    fn ask(&mut self, line: &str) -> Result<String, Failure> {
        let line = self.with_password(line)?;
        let reply = self.request(&line)?;
        if reply["ok"] != true {
            let error = reply["error"].as_str().unwrap_or("the server did not say why");
            if self.is_json {
                println!("{reply}");
            }
            return Err(Failure::Refused(error.to_owned()));
        }
        for warning in reply["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            eprintln!("warning: {warning}");
        }
        Ok(if self.is_json { format!("{reply}\n") } else { render::reply(&reply) })
    }

    /// Asks for a password that `set password` does not name.
    fn with_password(&self, line: &str) -> Result<String, Failure> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["set", "password", user] = words.as_slice() else { return Ok(line.to_owned()) };
        if !std::io::stdin().is_terminal() {
            let error = "write set password USER PASSWORD: there is no terminal to ask at";
            return Err(Failure::Refused(error.to_owned()));
        }
        let refused = |error: std::io::Error| Failure::Refused(error.to_string());
        let password = rpassword::prompt_password(format!("New password of {user}: ")).map_err(refused)?;
        let again = rpassword::prompt_password("Once more: ").map_err(refused)?;
        if password != again {
            return Err(Failure::Refused("the two are not the same".to_owned()));
        }
        Ok(format!("set password {user} \"{password}\""))
    }

    /// Sends a command; one that only the active server does goes to the others of the list then.
    fn request(&mut self, line: &str) -> Result<Value, Failure> {
        if self.client.is_none() {
            self.connect()?;
        }
        let client = self.client.as_mut().expect("just connected");
        let reply = match client.request(line) {
            Ok(reply) => reply,
            Err(error) => {
                self.client = None;
                return Err(error.into());
            }
        };
        if reply["active"].is_null() {
            return Ok(reply);
        }
        let here = client.url().clone();
        for url in self.urls.clone().iter().filter(|url| **url != here) {
            // One that cannot be reached is not the active one.
            let Ok(mut other) = self.connect_to(url) else { continue };
            let answer = other.request(line)?;
            if answer["active"].is_null() {
                self.client = Some(other);
                return Ok(answer);
            }
        }
        Ok(reply)
    }

    /// The names of the queues, for completion.
    pub(super) fn queue_names(&mut self) -> Vec<String> {
        let Some(Ok(reply)) = self.client.as_mut().map(|client| client.request("show queues")) else {
            return Vec::new();
        };
        let rows = reply["queues"].as_array().into_iter().flatten();
        rows.filter_map(|row| row["name"].as_str()).map(str::to_owned).collect()
    }
}

fn switch(name: &str, words: &[&str], setting: &mut bool) -> Result<String, Failure> {
    match words {
        [] => {}
        [word] => *setting = crate::config::flag(word).map_err(Failure::Refused)?,
        _ => return Err(Failure::Refused(format!("write {name} on or {name} off"))),
    }
    Ok(format!("{name} is {}\n", if *setting { "on" } else { "off" }))
}
