//! Reads the YAML of a Compose file into a tree that knows where each part stands. Whoever reads a
//! [`Table`] takes out what it understands; what is left over at the end is an error that names it.
//! Nothing is ever passed over in silence.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use saphyr::{ScalarStyle, Yaml, YamlLoader};
use saphyr_parser::{BufferedInput, Parser};

use super::variables::Variables;
use crate::error::{Error, Result};

/// How deep a file may nest. Compose's own keys go six levels down; a deeper file is an accident,
/// and the tree is walked by recursion.
const DEPTH: usize = 32;

/// Where something stands in a file.
#[derive(Debug, Clone)]
pub(super) struct Place {
    file: Arc<Path>,
    service: Option<String>,
    key: String,
}

impl Place {
    pub(super) fn file(path: &Path) -> Self {
        Self {
            file: path.into(),
            service: None,
            key: String::new(),
        }
    }

    /// Of a key below.
    pub(super) fn key(&self, key: &str) -> Self {
        let mut place = self.clone();
        if !place.key.is_empty() {
            place.key.push('.');
        }
        place.key.push_str(key);
        place
    }

    /// The whole of a service.
    pub(super) fn service(&self, name: &str) -> Self {
        Self {
            file: Arc::clone(&self.file),
            service: Some(name.to_owned()),
            key: String::new(),
        }
    }

    pub(super) fn error(&self, why: impl Into<String>) -> Error {
        Error::Compose {
            file: self.file.to_path_buf(),
            service: self.service.clone(),
            key: self.key.clone(),
            why: why.into(),
        }
    }

    /// Relative to the folder of the file, as Compose reads paths.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        match (text.strip_prefix("~/"), std::env::home_dir()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => folder.join(text),
        }
    }
}

/// YAML without its types: what a scalar means is said by the key it stands at. So `"${PORT}"` is a
/// number where one is needed, and `1.10` stays `1.10` where a text is.
#[derive(Debug, Clone)]
enum Value {
    Null,
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

/// A value at its place.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) place: Place,
    value: Value,
}

/// A mapping of which parts are taken out.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) place: Place,
    entries: Vec<(String, Value)>,
}

/// Reads a file: variables replaced, anchors and `<<` resolved, extensions (`x-…`) left out.
pub(super) fn read(path: &Path, text: &str, variables: &Variables) -> Result<Table> {
    let place = Place::file(path);
    let mut loader = YamlLoader::<Yaml<'_>>::default();
    // Scalars as they stand.
    loader.early_parse(false);
    let mut parser = Parser::new(BufferedInput::new(text.chars()));
    let loaded = parser.load(&mut loader, true);
    if let Some(error) = loaded.err().or_else(|| loader.error().cloned()) {
        return Err(place.error(format!("no YAML: {error}")));
    }
    let mut documents = loader.into_documents().into_iter();
    let (Some(document), None) = (documents.next(), documents.next()) else {
        return Err(place.error("one YAML document is needed, no more"));
    };
    let Value::Map(entries) = value(document, &place, 0)? else {
        return Err(place.error("a mapping is needed, with `services` in it"));
    };
    let mut table = Table { place, entries };
    table.entries.retain(|(key, _)| !key.starts_with("x-"));
    for (key, value) in &mut table.entries {
        replace(value, &table.place.key(key), variables)?;
    }
    Ok(table)
}

fn value(node: Yaml<'_>, place: &Place, depth: usize) -> Result<Value> {
    if depth > DEPTH {
        return Err(place.error(format!("nested more than {DEPTH} levels deep")));
    }
    match node {
        Yaml::Representation(text, style, tag) => {
            if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
                return Err(place.error(format!("the tag `{tag}` is not carried out")));
            }
            // Core schema, https://yaml.org/spec/1.2.2/#1032-tag-resolution
            let null = style == ScalarStyle::Plain
                && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
            Ok(if null {
                Value::Null
            } else {
                Value::Text(text.into_owned())
            })
        }
        Yaml::Sequence(nodes) => {
            let items = nodes.into_iter().enumerate();
            let items =
                items.map(|(index, node)| value(node, &place.key(&index.to_string()), depth + 1));
            Ok(Value::List(items.collect::<Result<_>>()?))
        }
        Yaml::Mapping(nodes) => {
            let mut entries: Vec<(String, Value)> = Vec::new();
            let mut merged = Vec::new();
            for (key, node) in nodes {
                let Value::Text(key) = value(key, place, depth + 1)? else {
                    return Err(place.error("a key has to be a text"));
                };
                let below = value(node, &place.key(&key), depth + 1)?;
                if key == "<<" {
                    merged.push(below);
                } else if entries.iter().any(|(other, _)| *other == key) {
                    return Err(place.key(&key).error("this key is given twice"));
                } else {
                    entries.push((key, below));
                }
            }
            for source in merged {
                merge(&mut entries, source, place)?;
            }
            Ok(Value::Map(entries))
        }
        Yaml::Tagged(tag, _) => Err(place.error(format!("the tag `{tag}` is not carried out"))),
        _ => Err(place.error("neither a text, nor a list, nor a mapping")),
    }
}

/// `<<`: keys that are not there yet, https://yaml.org/type/merge.html
fn merge(entries: &mut Vec<(String, Value)>, source: Value, place: &Place) -> Result<()> {
    match source {
        Value::Map(more) => {
            for (key, value) in more {
                if !entries.iter().any(|(other, _)| *other == key) {
                    entries.push((key, value));
                }
            }
            Ok(())
        }
        Value::List(several) => several
            .into_iter()
            .try_for_each(|one| merge(entries, one, place)),
        _ => Err(place.key("<<").error("only mappings can be merged")),
    }
}

/// Puts the variables in, in values only, as Compose does.
fn replace(value: &mut Value, place: &Place, variables: &Variables) -> Result<()> {
    match value {
        Value::Null => Ok(()),
        Value::Text(text) => {
            *text = variables
                .replace(text)
                .map_err(|why| place_of_service(place).error(why))?;
            Ok(())
        }
        Value::List(items) => items
            .iter_mut()
            .try_for_each(|item| replace(item, place, variables)),
        Value::Map(entries) => {
            entries.retain(|(key, _)| !key.starts_with("x-"));
            entries
                .iter_mut()
                .try_for_each(|(key, item)| replace(item, &place.key(key), variables))
        }
    }
}

/// `services.web.image` is the key `image` of the service `web`.
fn place_of_service(place: &Place) -> Place {
    let Some(rest) = place.key.strip_prefix("services.") else {
        return place.clone();
    };
    let (service, key) = rest.split_once('.').unwrap_or((rest, ""));
    place.service(service).key(key)
}

impl Table {
    /// Takes a key out; none if it is not there or empty.
    pub(super) fn take(&mut self, key: &str) -> Option<Item> {
        let index = self.entries.iter().position(|(name, _)| name == key)?;
        let (_, value) = self.entries.remove(index);
        (!matches!(value, Value::Null)).then(|| Item {
            place: self.place.key(key),
            value,
        })
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>> {
        self.take(key).map(Item::text).transpose()
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>> {
        self.take(key).map(Item::flag).transpose()
    }

    pub(super) fn number<T: FromStr>(&mut self, key: &str) -> Result<Option<T>> {
        self.take(key).map(Item::number).transpose()
    }

    /// A text or a list of texts.
    pub(super) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>> {
        self.take(key).map(Item::texts).transpose()
    }

    /// A mapping or a list of `NAME=VALUE`; none if the key is not there.
    pub(super) fn pairs(&mut self, key: &str) -> Result<Vec<(String, Option<String>)>> {
        self.take(key)
            .map_or(Ok(Vec::new()), |item| item.pairs(&['=']))
    }

    /// All that is there, in its order, also what is empty.
    pub(super) fn all(self) -> Vec<(String, Item)> {
        let Self { place, entries } = self;
        let item = |(key, value): (String, Value)| {
            let place = place.key(&key);
            (key, Item { place, value })
        };
        entries.into_iter().map(item).collect()
    }

    /// Everything was understood, or the first thing that was not.
    pub(super) fn finish(self) -> Result<()> {
        match self.entries.first() {
            None => Ok(()),
            Some((key, _)) => Err(self
                .place
                .key(key)
                .error("the kit does not carry this key out")),
        }
    }
}

impl Item {
    /// The same at another place.
    pub(super) fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.value, Value::Text(_))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.value, Value::List(_))
    }

    pub(super) fn text(self) -> Result<String> {
        match self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.place.error("a text is needed here")),
        }
    }

    pub(super) fn flag(self) -> Result<bool> {
        let place = self.place.clone();
        match &*self.text()? {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            other => Err(place.error(format!("`{other}` is neither `true` nor `false`"))),
        }
    }

    pub(super) fn number<T: FromStr>(self) -> Result<T> {
        let place = self.place.clone();
        let text = self.text()?;
        text.parse()
            .map_err(|_| place.error(format!("`{text}` is no number that fits here")))
    }

    pub(super) fn texts(self) -> Result<Vec<String>> {
        match self.value {
            Value::Text(text) => Ok(vec![text]),
            _ => self.list()?.into_iter().map(Self::text).collect(),
        }
    }

    pub(super) fn list(self) -> Result<Vec<Self>> {
        let place = self.place;
        match self.value {
            Value::List(values) => Ok(values
                .into_iter()
                .map(|value| Self {
                    place: place.clone(),
                    value,
                })
                .collect()),
            _ => Err(place.error("a list is needed here")),
        }
    }

    /// A mapping; an empty one where nothing stands.
    pub(super) fn table(self) -> Result<Table> {
        match self.value {
            Value::Map(entries) => Ok(Table {
                place: self.place,
                entries,
            }),
            Value::Null => Ok(Table {
                place: self.place,
                entries: Vec::new(),
            }),
            _ => Err(self.place.error("a mapping is needed here")),
        }
    }

    /// A mapping, or a list of texts that are split at the first of these characters.
    pub(super) fn pairs(self, between: &[char]) -> Result<Vec<(String, Option<String>)>> {
        if matches!(self.value, Value::Map(_)) {
            let entries = self.table()?.all().into_iter();
            let pair = |(key, item): (String, Self)| {
                let value = if item.is_null() {
                    None
                } else {
                    Some(item.text()?)
                };
                Ok((key, value))
            };
            return entries.map(pair).collect();
        }
        let split = |text: String| match text.split_once(between) {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (text, None),
        };
        Ok(self.texts()?.into_iter().map(split).collect())
    }
}
