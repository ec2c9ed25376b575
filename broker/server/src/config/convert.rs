//! From tibemsd.conf and the files that it names to one tibemsd.json that means the same. Comments are not kept.

use super::diagnostic::{Diagnostic, Severity};
use super::entry::Property;
use super::family::{BRIDGES, FILES, TEXTS, is_side_file};
use super::findings::{Findings, Spot, Weight};
use super::json::{self, Json};
use super::model::Role;
use super::parameter::Kind;
use super::server_file;
use super::source::{Source, is_json};
use super::tables::{SERVER, find, rows};
use super::written::Settings;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What is to be converted.
#[derive(Clone, Debug)]
pub struct Conversion<'c> {
    /// tibemsd.conf of the server that becomes the primary.
    pub from: &'c Path,
    /// tibemsd.conf of the other server of the pair.
    pub secondary: Option<&'c Path>,
    /// The JSON file.
    pub to: &'c Path,
    /// Whether it may exist.
    pub overwrite: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The JSON file, absolute.
    pub file: PathBuf,
    /// Remarks on the files that were read, and on what the JSON file cannot say.
    pub remarks: Vec<Diagnostic>,
}

/// Reads a family of .conf files, or those of both servers of a pair, and writes one tibemsd.json: completely or not at
/// all.
///
/// # Errors
/// What is wrong with the .conf files, or why the JSON file cannot be written.
pub fn convert(conversion: &Conversion<'_>) -> Result<Converted, Vec<Diagnostic>> {
    let to = std::path::absolute(conversion.to).unwrap_or_else(|_| conversion.to.to_owned());
    let refusals = refusals(conversion, &to);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let mut findings = Findings::default();
    let (_, mut remarks) = super::load(conversion.from, &[], false)?;
    let secondary = match conversion.secondary {
        Some(path) => {
            let (_, more) = super::load(path, &[], false)?;
            remarks.extend(more.into_iter().filter(|remark| remark.file.ends_with(path)));
            Conf::open(path)
        }
        None => None,
    };
    let Some(primary) = Conf::open(conversion.from) else { return Err(remarks) };
    if let Some(secondary) = &secondary {
        compare(&primary, secondary, &mut findings);
    } else if primary.settings.is_set("ft_active") {
        let message = "the other server's own listens are not known; its ft_active takes their place";
        findings.add(
            Weight::Warning,
            primary.settings.spot("ft_active"),
            "",
            message,
            "name its file with --secondary",
        );
    }
    let root = primary.root(secondary.as_ref(), &to);
    let written = serde_json::to_string_pretty(&root).map_err(io::Error::from);
    if let Err(error) = written.and_then(|text| write(&to, &(text + "\n"), primary.mode())) {
        let remedy = "make the folder, or let this user write to it";
        findings.error(&Spot::new(&to, 0), "", format!("cannot be written: {error}"), remedy);
    }
    let found = findings.finish(false, &[]);
    if found.iter().any(|remark| remark.severity == Severity::Error) {
        return Err(found);
    }
    remarks.extend(found);
    Ok(Converted { file: to, remarks })
}

/// What the names of the files forbid. A configuration is read as what its name says: under a wrong one nobody could read it.
fn refusals(conversion: &Conversion<'_>, to: &Path) -> Vec<Diagnostic> {
    let mut findings = Findings::default();
    let mut refuse = |path: &Path, message, remedy| findings.error(&Spot::new(path, 0), "", message, remedy);
    for from in [Some(conversion.from), conversion.secondary].into_iter().flatten().filter(|from| is_json(from)) {
        refuse(from, "is a tibemsd.json already", "name a tibemsd.conf; a tibemsd.json is not converted back");
    }
    if !is_json(to) {
        refuse(to, "is not the name of a tibemsd.json", "choose a name that ends with .json");
    } else if to.exists() && !conversion.overwrite {
        refuse(to, "exists", "name another file, or ask for it to be overwritten");
    }
    findings.finish(true, &[])
}

/// A file appears under its name when it is whole and durable.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_string_lossy();
    let folder = path.parent().unwrap_or(Path::new("/"));
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let created = File::options().write(true).create(true).truncate(true).mode(MODE_SECRET).open(&temporary);
    let written = created.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        // The first error is the one to tell; the rest of it may not even exist.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| File::open(folder)?.sync_all())
}

/// Readable by its owner only.
const MODE_SECRET: u32 = 0o600;

/// One tibemsd.conf as written. Its problems were told when it was loaded.
struct Conf {
    source: Source,
    settings: Settings,
}

impl Conf {
    fn open(path: &Path) -> Option<Self> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut told = Findings::default();
        let source = Source::open(&path, Role::Primary, &mut told)?;
        let settings = server_file::settings(&source, &[], &mut told);
        Some(Conf { source, settings })
    }

    /// Who may read all of the files may read the one that has their passwords.
    fn mode(&self) -> u32 {
        let users = self.source.resolve("users", &self.settings);
        let modes = [self.source.path(), &users].into_iter().filter_map(|path| fs::metadata(path).ok());
        modes.fold(0o666, |mode, metadata| mode & metadata.permissions().mode())
    }

    fn listens(&self) -> Vec<String> {
        self.settings.texts("listen").into_iter().map(|setting| setting.text).collect()
    }

    fn peer(&self) -> Option<&str> {
        self.settings.is_set("ft_active").then(|| self.settings.text("ft_active"))
    }

    fn root(&self, secondary: Option<&Conf>, to: &Path) -> Json {
        let mut root = vec![
            ("model_version".to_owned(), Json::text("1.0")),
            ("tibemsd".to_owned(), Json::Object(self.server(secondary, to))),
        ];
        root.extend(self.lists());
        Json::Object(root)
    }

    fn server(&self, secondary: Option<&Conf>, to: &Path) -> Vec<(String, Json)> {
        let mut server = json::server_object(&self.rebased(to));
        let own = self.listens();
        let others = match secondary {
            Some(other) => other.listens(),
            None => self.peer().map(str::to_owned).into_iter().collect(),
        };
        // How the peer reaches this server is known from the peer's file only.
        let reached = match secondary {
            Some(other) => other.peer(),
            None => self.peer().and(own.first()).map(String::as_str),
        };
        server.push(("primary_listens".to_owned(), json::listens(&own, reached)));
        if !others.is_empty() {
            server.push(("secondary_listens".to_owned(), json::listens(&others, self.peer())));
        }
        if let Some(other) = secondary.filter(|other| other.settings.is_set(MONITOR)) {
            server.retain(|(name, _)| name != SECONDARY_MONITOR);
            server.push((SECONDARY_MONITOR.to_owned(), Json::text(other.settings.text(MONITOR))));
        }
        server
    }

    /// The parameters, with paths that still lead to the same places when `to` is in another folder.
    fn rebased(&self, to: &Path) -> Vec<Property> {
        let mut properties = self.source.server().to_vec();
        if self.source.path().parent() == to.parent() {
            return properties;
        }
        if !self.settings.is_set("store") {
            let spot = Spot::new(self.source.path(), 0);
            properties.push(Property::new(spot, "store", Some(self.settings.text("store"))));
        }
        let folder = self.source.path().parent().unwrap_or(Path::new(""));
        for property in &mut properties {
            let is_path = find(SERVER, &property.name).is_some_and(|row| row.kind == Kind::Path);
            if let Some(path) = property.value.as_mut().filter(|path| is_path && !path.is_empty()) {
                *path = folder.join(&path).to_string_lossy().into_owned();
            }
        }
        properties
    }

    /// The lists of all files that exist, in the order of their names.
    fn lists(&self) -> Vec<(String, Json)> {
        let (settings, source) = (&self.settings, &self.source);
        let mut told = Findings::default();
        let mut lists = Vec::new();
        for file in FILES {
            if let Some(entries) = source.entries(file, settings, &mut told) {
                lists.push((file.name, entries.iter().map(|entry| json::entry(entry, file)).collect()));
            }
        }
        if let Some(entries) = source.bridges(settings, &mut told) {
            lists.push((BRIDGES, entries.iter().map(json::bridge).collect()));
        }
        for name in TEXTS {
            if let Some(text) = source.text(name, settings, &mut told) {
                let elements = text.parse(&mut told, |_, text, _| json::text_list(name, text));
                lists.push((json::list_name(name), elements));
            }
        }
        lists.sort_by_key(|(name, _)| *name);
        lists.into_iter().map(|(name, elements)| (name.to_owned(), Json::List(elements))).collect()
    }
}

const MONITOR: &str = "monitor_listen";
const SECONDARY_MONITOR: &str = "secondary_monitor_listen";
/// What the two servers have each for themselves also in JSON.
const OWN: [&str; 4] = ["listen", "ft_active", MONITOR, SECONDARY_MONITOR];

/// One tibemsd.json has one value for both servers.
fn compare(primary: &Conf, secondary: &Conf, findings: &mut Findings) {
    for row in rows(SERVER).filter(|row| !OWN.contains(&row.name)) {
        let [ours, theirs] = [primary, secondary].map(|conf| {
            let texts = conf.settings.texts(row.name).into_iter().map(|setting| setting.text);
            match row.kind {
                Kind::Path if is_side_file(row.name) || conf.settings.is_set(row.name) || row.name == "store" => {
                    texts.map(|text| conf.source.path().with_file_name(text)).collect()
                }
                _ => texts.map(PathBuf::from).collect::<Vec<_>>(),
            }
        });
        if ours != theirs {
            let message = "is not the same in both files; that of the primary is taken";
            let remedy = format!("make them equal, or start the secondary with --set {}=...", row.name);
            findings.add(Weight::Warning, secondary.settings.spot(row.name), row.name, message, remedy);
        }
    }
}
