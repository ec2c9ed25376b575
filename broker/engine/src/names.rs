//! Queue names and patterns: what is a legal name, what matches, and what a queue inherits.
//!
//! Owns the lines of queues.conf and the names of existing queues; knows no message.

use crate::definition::{OverflowPolicy, Prefetch, QueueDefinition, Stores};
use crate::effect::NameError;
use crate::entry::{QueueId, StoreId};
use crate::{NAME_BYTES_MAX, NAME_ELEMENTS_MAX};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// What holds for one queue, after inheritance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Properties {
    pub(crate) store: StoreId,
    pub(crate) maxmsgs: u64,
    pub(crate) maxbytes: u64,
    pub(crate) overflow: OverflowPolicy,
    /// Unsettled deliveries per consumer; 0 = as credit allows.
    pub(crate) window_max: u32,
    pub(crate) exclusive: bool,
    pub(crate) max_redelivery: u16,
    pub(crate) expiration_ms: Option<u64>,
}

/// Definitions and names.
#[derive(Debug)]
pub(crate) struct Catalogue {
    /// In the order of queues.conf.
    definitions: Vec<QueueDefinition>,
    /// Where in `definitions` the line of one name is.
    exact: BTreeMap<String, usize>,
    /// Where in `definitions` the patterns are, the most specific first.
    patterns: Vec<usize>,
    default_store: StoreId,
    ids: BTreeMap<String, QueueId>,
}

impl Catalogue {
    pub(crate) fn new(definitions: Vec<QueueDefinition>, stores: &Stores) -> Self {
        let mut catalogue = Self {
            definitions: Vec::new(),
            exact: BTreeMap::new(),
            patterns: Vec::new(),
            default_store: stores.default,
            ids: BTreeMap::new(),
        };
        catalogue.redefine(definitions);
        catalogue
    }

    /// Other definitions for the same names.
    pub(crate) fn redefine(&mut self, definitions: Vec<QueueDefinition>) {
        self.exact.clear();
        self.patterns.clear();
        for (index, definition) in definitions.iter().enumerate() {
            if is_pattern(&definition.pattern) {
                self.patterns.push(index);
            } else {
                self.exact.entry(definition.pattern.clone()).or_insert(index);
            }
        }
        self.patterns.sort_by_key(|index| core::cmp::Reverse(specificity(&definitions[*index].pattern)));
        self.definitions = definitions;
    }

    pub(crate) fn id_of(&self, name: &str) -> Option<QueueId> {
        self.ids.get(name).copied()
    }

    pub(crate) fn insert(&mut self, name: &str, id: QueueId) {
        let earlier = self.ids.insert(name.to_owned(), id);
        assert!(earlier.is_none(), "a queue exists once");
    }

    /// The name is free again.
    pub(crate) fn remove(&mut self, name: &str) {
        let earlier = self.ids.remove(name);
        assert!(earlier.is_some(), "a queue ends once");
    }

    /// Whether queues.conf has a line of exactly this name.
    pub(crate) fn is_static(&self, name: &str) -> bool {
        self.exact.contains_key(name)
    }

    /// The names in queues.conf that are not patterns: queues that exist from the start.
    pub(crate) fn static_names(&self) -> Vec<String> {
        let names = self.definitions.iter().map(|definition| &definition.pattern);
        names.filter(|pattern| !is_pattern(pattern)).cloned().collect()
    }

    /// Whether a client may use `name`, and what holds for it.
    pub(crate) fn properties(&self, name: &str) -> Result<Properties, NameError> {
        check_name(name)?;
        let own = self.exact.get(name).map(|index| &self.definitions[*index]);
        let parents = self.patterns.iter().map(|index| &self.definitions[*index]);
        let parents: Vec<&QueueDefinition> = parents.filter(|parent| matches(&parent.pattern, name)).collect();
        if own.is_none() && parents.is_empty() {
            return Err(NameError::NotAllowed(name.to_owned()));
        }
        Ok(inherit(own, &parents, self.default_store))
    }

    /// What holds for the temporary queue `name`.
    pub(crate) fn temporary(&self, name: &str) -> Result<Properties, NameError> {
        check_name(name)?;
        let first = |text: &str| text.split('.').next().unwrap_or_default().to_owned();
        let parents = self.patterns.iter().map(|index| &self.definitions[*index]);
        let covers =
            |parent: &&QueueDefinition| first(&parent.pattern) == first(name) && matches(&parent.pattern, name);
        let parents: Vec<&QueueDefinition> = parents.filter(covers).collect();
        Ok(inherit(None, &parents, self.default_store))
    }

    /// What holds for a queue that no definition covers.
    pub(crate) fn unlisted(&self) -> Properties {
        inherit(None, &[], self.default_store)
    }
}

/// Own value first; among parents that differ the smallest value (EMS, "Inheritance of Properties"), flags add up.
/// For `store`, where smallest means nothing, the most specific pattern decides.
fn inherit(own: Option<&QueueDefinition>, parents: &[&QueueDefinition], default_store: StoreId) -> Properties {
    let number = |value: fn(&QueueDefinition) -> u64| {
        let own = own.map(value).filter(|value| *value > 0);
        let inherited = || parents.iter().map(|parent| value(parent)).filter(|value| *value > 0).min();
        own.or_else(inherited).unwrap_or(0)
    };
    let lines = || own.into_iter().chain(parents.iter().copied());
    Properties {
        store: lines().find_map(|line| line.store).unwrap_or(default_store),
        maxmsgs: number(|line| line.maxmsgs),
        maxbytes: number(|line| line.maxbytes),
        overflow: inherit_overflow(own, parents),
        window_max: number(|line| u64::from(window(line.prefetch))) as u32,
        exclusive: lines().any(|line| line.exclusive),
        max_redelivery: number(|line| u64::from(line.max_redelivery)) as u16,
        expiration_ms: own
            .and_then(|line| line.expiration_ms)
            .or_else(|| parents.iter().filter_map(|parent| parent.expiration_ms).min_by_key(|ms| (*ms == 0, *ms))),
    }
}

fn window(prefetch: Prefetch) -> u32 {
    match prefetch {
        Prefetch::Unset => 0,
        Prefetch::None => 1,
        Prefetch::Count(count) => count.max(1),
    }
}

/// EMS: an own policy other than `default` wins; else any parent's `rejectIncoming`; else any parent's `discardOld`.
fn inherit_overflow(own: Option<&QueueDefinition>, parents: &[&QueueDefinition]) -> OverflowPolicy {
    let own = own.map_or(OverflowPolicy::Default, |line| line.overflow);
    let any = |policy| parents.iter().any(|parent| parent.overflow == policy);
    match own {
        OverflowPolicy::Default if any(OverflowPolicy::RejectIncoming) => OverflowPolicy::RejectIncoming,
        OverflowPolicy::Default if any(OverflowPolicy::DiscardOld) => OverflowPolicy::DiscardOld,
        other => other,
    }
}

/// More literal elements before fewer, then longer before shorter patterns.
fn specificity(pattern: &str) -> (usize, usize) {
    let literal = pattern.split('.').filter(|element| !is_wildcard(element)).count();
    (literal, pattern.split('.').count())
}

fn is_wildcard(element: &str) -> bool {
    element == "*" || element == ">"
}

/// Whether `text` stands for more than one name.
pub fn is_pattern(text: &str) -> bool {
    text.split('.').any(is_wildcard)
}

/// Whether `pattern` covers `name`: `*` stands for exactly one element, a last `>` for one or more.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut elements = name.split('.');
    for expected in pattern.split('.') {
        match (expected, elements.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (literal, Some(element)) if literal == element => {}
            _ => return false,
        }
    }
    elements.next().is_none()
}

/// Checks the name of one queue.
///
/// # Errors
/// What is wrong with it; never [`NameError::NotAllowed`].
pub fn check_name(name: &str) -> Result<(), NameError> {
    check_shape(name)?;
    if name.contains(['*', '>']) {
        return Err(NameError::Wildcard(name.to_owned()));
    }
    Ok(())
}

/// Checks a name or a pattern: wildcards stand alone in their element, and `>` is the last.
///
/// # Errors
/// What is wrong with it; never [`NameError::NotAllowed`].
pub fn check_pattern(pattern: &str) -> Result<(), NameError> {
    check_shape(pattern)?;
    let count = pattern.split('.').count();
    for (index, element) in pattern.split('.').enumerate() {
        let misplaced = element == ">" && index + 1 < count;
        if misplaced || (element.contains(['*', '>']) && !is_wildcard(element)) {
            return Err(NameError::Wildcard(pattern.to_owned()));
        }
    }
    Ok(())
}

fn check_shape(name: &str) -> Result<(), NameError> {
    let elements = name.split('.').count();
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_BYTES_MAX || elements > NAME_ELEMENTS_MAX {
        return Err(NameError::TooLong { bytes: name.len(), elements });
    }
    if let Some((index, _)) = name.char_indices().find(|(_, letter)| letter.is_control() || letter.is_whitespace()) {
        return Err(NameError::BadCharacter(index));
    }
    if name.split('.').any(str::is_empty) {
        return Err(NameError::EmptyElement(name.to_owned()));
    }
    Ok(())
}
