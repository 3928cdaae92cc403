//! What stands in the parentheses of the attribute.

use std::time::Duration;

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, ExprLit, Ident, Lit, LitStr, Path, Result, Token};

/// As given; what was not given is none.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) timeout: Option<Duration>,
    pub(crate) keep: Option<Keep>,
    pub(crate) flavor: Option<(Flavor, Ident)>,
    pub(crate) worker_threads: Option<(usize, Ident)>,
    pub(crate) path: Option<Path>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Never,
    OnFailure,
    Always,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavor {
    CurrentThread,
    MultiThread,
}

/// `name = value`.
struct Argument {
    name: Ident,
    value: Expr,
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        // `crate` is a keyword.
        let name = input.call(<Ident as syn::ext::IdentExt>::parse_any)?;
        input.parse::<Token![=]>()?;
        Ok(Self {
            name,
            value: input.parse()?,
        })
    }
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for Argument { name, value } in Punctuated::<Argument, Token![,]>::parse_terminated(input)?
        {
            let word = name.to_string();
            match word.as_str() {
                "timeout" => arguments.timeout = Some(duration(&text(&value)?)?),
                "keep" => arguments.keep = Some(keep(&text(&value)?)?),
                "flavor" => arguments.flavor = Some((flavor(&text(&value)?)?, name.clone())),
                "worker_threads" => {
                    arguments.worker_threads = Some((number(&value)?, name.clone()));
                }
                "crate" => arguments.path = Some(text(&value)?.parse()?),
                _ => {
                    return Err(Error::new(
                        name.span(),
                        format!(
                            "unknown argument `{word}`; there are `timeout`, `keep`, `flavor`, `worker_threads` and `crate`"
                        ),
                    ));
                }
            }
            if seen.contains(&word) {
                return Err(Error::new(name.span(), format!("`{word}` is given twice")));
            }
            seen.push(word);
        }
        let multi = matches!(arguments.flavor, Some((Flavor::MultiThread, _)));
        if let (Some((_, name)), false) = (&arguments.worker_threads, multi) {
            return Err(Error::new(
                name.span(),
                "`worker_threads` needs `flavor = \"multi_thread\"`",
            ));
        }
        Ok(arguments)
    }
}

fn text(value: &Expr) -> Result<LitStr> {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => Ok(text.clone()),
        other => Err(Error::new(other.span(), "a text in quotes is meant here")),
    }
}

fn number(value: &Expr) -> Result<usize> {
    let wrong = || Error::new(value.span(), "a number above 0 is meant here");
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Int(number),
            ..
        }) => number
            .base10_parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn keep(value: &LitStr) -> Result<Keep> {
    match value.value().as_str() {
        "never" => Ok(Keep::Never),
        "on-failure" => Ok(Keep::OnFailure),
        "always" => Ok(Keep::Always),
        _ => Err(Error::new(
            value.span(),
            "`keep` is \"never\", \"on-failure\" or \"always\"",
        )),
    }
}

fn flavor(value: &LitStr) -> Result<Flavor> {
    match value.value().as_str() {
        "current_thread" => Ok(Flavor::CurrentThread),
        "multi_thread" => Ok(Flavor::MultiThread),
        _ => Err(Error::new(
            value.span(),
            "`flavor` is \"current_thread\" or \"multi_thread\"",
        )),
    }
}

/// `500ms`, `60s`, `2m`.
fn duration(value: &LitStr) -> Result<Duration> {
    let text = value.value();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        _ => None,
    };
    let millis = unit
        .zip(digits.parse::<u64>().ok())
        .and_then(|(unit, number)| number.checked_mul(unit))
        .filter(|millis| *millis > 0);
    millis.map(Duration::from_millis).ok_or_else(|| {
        Error::new(
            value.span(),
            format!("`{text}` is no time; write \"500ms\", \"60s\" or \"2m\""),
        )
    })
}
