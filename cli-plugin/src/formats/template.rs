//! Reports through a Go template, as `docker inspect --format` takes them. The names are those of the JSON
//! report; one that does not exist is an error, never an empty text.

use std::io;

use gotmpl::{MissingKey, Template, TemplateError, ToSerdeValue as _, Value};
use serde_json::Value as Json;

/// A template runs no longer than that: nobody writes out more things of one report.
const MOST_STEPS: u64 = 100_000;

/// Reads a template.
///
/// # Errors
///
/// A sentence: where it cannot be read, and why.
pub(crate) fn parse(text: &str) -> Result<Template, String> {
    let wrong = |message: &str| TemplateError::Exec(message.to_owned());
    Template::new("format")
        .missing_key(MissingKey::Error)
        .max_range_iters(MOST_STEPS)
        .func("json", move |words| match words {
            [one] => {
                let text = serde_json::to_string(&json(one)).map_err(|e| wrong(&e.to_string()))?;
                Ok(Value::String(text.into()))
            }
            _ => Err(wrong("json takes one value")),
        })
        .func("join", move |words| match words {
            [Value::List(items), Value::String(between)] => {
                let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                Ok(Value::String(items.join(between).into()))
            }
            _ => Err(wrong("join takes a list and what stands between")),
        })
        .func("split", move |words| match words {
            [Value::String(text), Value::String(at)] => {
                let parts = text.split(&**at).map(|part| Value::String(part.into()));
                Ok(Value::List(parts.collect()))
            }
            _ => Err(wrong("split takes a text and where to split it")),
        })
        .func("lower", move |words| changed(words, str::to_lowercase))
        .func("upper", move |words| changed(words, str::to_uppercase))
        .func("title", move |words| {
            changed(words, |text| {
                let mut letters = text.chars();
                letters.next().map_or_else(String::new, |first| {
                    first.to_uppercase().chain(letters).collect()
                })
            })
        })
        .parse(text)
        .map_err(|error| error.to_string())
}

fn changed(words: &[Value], change: impl Fn(&str) -> String) -> Result<Value, TemplateError> {
    match words {
        [Value::String(text)] => Ok(Value::String(change(text).into())),
        _ => Err(TemplateError::Exec("it takes one text".into())),
    }
}

/// What a template has in hand, as JSON again.
fn json(value: &Value) -> Json {
    match value {
        Value::Nil | Value::Function(_) => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Uint(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::String(value) => value.as_ref().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(name, value)| (name.to_string(), json(value)))
            .collect(),
    }
}

/// Writes one line for a report, or for another value that there is as JSON.
///
/// # Errors
///
/// What the template asks for is not there, or those of the writer.
pub(crate) fn write(template: &str, value: &Json, out: &mut dyn io::Write) -> io::Result<()> {
    let template = parse(template).map_err(io::Error::other)?;
    let value = value.to_serde_value().map_err(io::Error::other)?;
    let text = template
        .execute_to_string(&value)
        .map_err(io::Error::other)?;
    writeln!(out, "{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(template: &str) -> Result<String, String> {
        let value = serde_json::json!({
            "summary": "a", "findings": [{"code": "x", "severity": "error"}, {"code": "y", "severity": "warning"}],
            "engine": null, "count": 3,
        });
        let value = value.to_serde_value().map_err(|error| error.to_string())?;
        parse(template)?
            .execute_to_string(&value)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_people_write() {
        for (template, text) in [
            ("{{.summary}}", "a"),
            ("{{range .findings}}{{.code}} {{end}}", "x y "),
            (
                "{{json .findings}}",
                r#"[{"code":"x","severity":"error"},{"code":"y","severity":"warning"}]"#,
            ),
            ("{{len .findings}}", "2"),
            ("{{if gt .count 2}}many{{end}}", "many"),
            ("{{upper .summary}}-{{title \"abc\"}}", "A-Abc"),
            ("{{(index .findings 0).code}}", "x"),
            ("{{join (split \"a,b\" \",\") \";\"}}", "a;b"),
            ("{{json .engine}}", "null"),
        ] {
            assert_eq!(of(template).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn mistakes_are_said() {
        for template in [
            "{{.summary",
            "{{nosuch .}}",
            "{{.Summary}}",
            "{{json}}",
            "{{range}}",
        ] {
            assert!(of(template).is_err(), "{template}");
        }
    }
}
