//! Every public item of the kit has an example, and says which errors and panics there are. That the
//! examples compile is what `cargo test --doc` shows; that all is described at all, `missing_docs`.
//!
//! It reads the source as text: what rustdoc would show is not to be had on a stable compiler.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use syn::{
    Attribute, Expr, ImplItem, Item, ItemMod, Lit, Meta, ReturnType, Signature, TraitItem, Type,
    UseTree, Visibility,
};

/// What may do without an example, and why.
const EXCEPTIONS: [(&str, &str); 2] = [
    ("bollard", "a whole crate, with documentation of its own"),
    (
        "testcontainers",
        "a whole crate, with documentation of its own",
    ),
];

/// What a reader sees of an item.
struct Documented {
    name: String,
    docs: String,
    /// The sections it has to have.
    sections: Vec<&'static str>,
}

fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else {
            return None;
        };
        let (true, Expr::Lit(lit)) = (pair.path.is_ident("doc"), &pair.value) else {
            return None;
        };
        match &lit.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("doc")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|word| word == "hidden")
    })
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn last_word(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|part| part.ident.to_string()),
        Type::Reference(reference) => last_word(&reference.elem),
        _ => None,
    }
}

fn sections(signature: &Signature) -> Vec<&'static str> {
    let ReturnType::Type(_, ty) = &signature.output else {
        return Vec::new();
    };
    match last_word(ty).as_deref() {
        Some("Result" | "Doing") => vec!["# Errors"],
        // An assertion.
        Some("Must") => vec!["# Panics"],
        _ => Vec::new(),
    }
}

/// The names at the ends of a `use`, and whether it begins at another crate.
fn names(tree: &UseTree, into: &mut Vec<String>) {
    match tree {
        UseTree::Path(path) => names(&path.tree, into),
        UseTree::Name(name) => into.push(name.ident.to_string()),
        UseTree::Rename(rename) => into.push(rename.rename.to_string()),
        UseTree::Group(group) => group.items.iter().for_each(|tree| names(tree, into)),
        UseTree::Glob(_) => panic!("a glob hides what is public"),
    }
}

fn begins_elsewhere(tree: &UseTree) -> bool {
    match tree {
        UseTree::Path(path) => path.ident.to_string().starts_with("netcheck_"),
        _ => true,
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of the source is read") {
        let path = entry.expect("its entries too").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// What `lib.rs` makes public, apart from what is hidden.
fn exported(library: &syn::File) -> BTreeSet<String> {
    let mut found = Vec::new();
    for item in &library.items {
        match item {
            Item::Use(item) if is_public(&item.vis) => names(&item.tree, &mut found),
            Item::Fn(item) if is_public(&item.vis) => found.push(item.sig.ident.to_string()),
            Item::Mod(ItemMod { attrs, vis, .. }) if is_public(vis) => {
                assert!(is_hidden(attrs), "a public module: read it too");
            }
            _ => {}
        }
    }
    found.into_iter().collect()
}

/// The public items of one file.
fn of_file(file: &syn::File, exported: &BTreeSet<String>, into: &mut Vec<Documented>) {
    let mut add = |name: String, attributes: &[Attribute], sections| {
        if !is_hidden(attributes) {
            let docs = docs(attributes);
            into.push(Documented {
                name,
                docs,
                sections,
            });
        }
    };
    let is_shown = |name: &syn::Ident, vis: &Visibility| {
        is_public(vis) && exported.contains(&name.to_string())
    };
    for item in &file.items {
        match item {
            Item::Fn(i) if is_shown(&i.sig.ident, &i.vis) => {
                add(i.sig.ident.to_string(), &i.attrs, sections(&i.sig));
            }
            Item::Struct(i) if is_shown(&i.ident, &i.vis) => {
                add(i.ident.to_string(), &i.attrs, Vec::new());
            }
            Item::Enum(i) if is_shown(&i.ident, &i.vis) => {
                add(i.ident.to_string(), &i.attrs, Vec::new());
            }
            Item::Const(i) if is_shown(&i.ident, &i.vis) => {
                add(i.ident.to_string(), &i.attrs, Vec::new());
            }
            Item::Type(i) if is_shown(&i.ident, &i.vis) => {
                add(i.ident.to_string(), &i.attrs, Vec::new());
            }
            Item::Trait(i) if is_shown(&i.ident, &i.vis) => {
                add(i.ident.to_string(), &i.attrs, Vec::new());
                for method in &i.items {
                    if let TraitItem::Fn(method) = method {
                        let name = format!("{}::{}", i.ident, method.sig.ident);
                        add(name, &method.attrs, sections(&method.sig));
                    }
                }
            }
            // Methods of a trait are documented at the trait.
            Item::Impl(i) if i.trait_.is_none() => {
                let ty = last_word(&i.self_ty).unwrap_or_default();
                for method in i.items.iter().filter(|_| exported.contains(&ty)) {
                    match method {
                        ImplItem::Fn(f) if is_public(&f.vis) => {
                            let name = format!("{ty}::{}", f.sig.ident);
                            add(name, &f.attrs, sections(&f.sig));
                        }
                        ImplItem::Const(c) if is_public(&c.vis) => {
                            add(format!("{ty}::{}", c.ident), &c.attrs, Vec::new());
                        }
                        _ => {}
                    }
                }
            }
            // Of another crate: what is written here stands above its own words.
            Item::Use(i) if is_public(&i.vis) && begins_elsewhere(&i.tree) => {
                let mut found = Vec::new();
                names(&i.tree, &mut found);
                for name in found.into_iter().filter(|name| exported.contains(name)) {
                    add(name, &i.attrs, Vec::new());
                }
            }
            Item::Macro(i) if i.attrs.iter().any(|a| a.path().is_ident("macro_export")) => {
                let name = i.ident.as_ref().map(ToString::to_string);
                add(name.unwrap_or_default(), &i.attrs, Vec::new());
            }
            _ => {}
        }
    }
}

/// Whether the section is there, and says something: of errors which they are.
fn has_section(docs: &str, section: &str) -> bool {
    let Some((_, after)) = docs.split_once(section) else {
        return false;
    };
    let text = after.split("\n # ").next().unwrap_or_default();
    match section {
        "# Errors" => ["Error::", "Those of", "As for"]
            .iter()
            .any(|words| text.contains(words)),
        _ => !text.trim().is_empty(),
    }
}

fn wrong_with(item: &Documented) -> Vec<String> {
    let mut wrong = Vec::new();
    let excepted = EXCEPTIONS.iter().any(|(name, _)| *name == item.name);
    if !item.docs.contains("```") && !excepted {
        wrong.push(format!("{}: no example", item.name));
    }
    for section in &item.sections {
        if !has_section(&item.docs, section) {
            wrong.push(format!("{}: no {section} that says which", item.name));
        }
    }
    wrong
}

#[test]
fn every_public_item_has_an_example_and_says_its_errors() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: &Path| syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap();
    let exported = exported(&read(&source.join("lib.rs")));
    let mut items = Vec::new();
    for path in files(&source) {
        of_file(&read(&path), &exported, &mut items);
    }
    // It would find nothing wrong with what it does not see.
    let seen: BTreeSet<_> = items.iter().map(|item| item.name.as_str()).collect();
    let unseen: Vec<_> = exported
        .iter()
        .filter(|name| !seen.contains(name.as_str()))
        .collect();
    assert!(unseen.is_empty(), "exported and not found: {unseen:?}");
    let wrong: Vec<String> = items.iter().flat_map(wrong_with).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (name, why) in EXCEPTIONS {
        assert!(seen.contains(name), "`{name}` ({why}) is gone");
    }
}

#[test]
fn what_lacks_an_example_or_its_errors_is_named() {
    let file = syn::parse_file(
        "/// It.\npub struct It;\n\
         impl It {\n\
         /// Makes it.\n///\n/// # Errors\n///\n/// Some.\n///\n/// ```\n/// ```\n\
         pub fn make() -> Doing<Self> {}\n\
         /// Asserts it.\n///\n/// ```\n/// ```\n\
         pub fn must() -> Must {}\n\
         #[doc(hidden)]\n pub fn hidden() {}\n fn own() {} }",
    )
    .unwrap();
    let mut items = Vec::new();
    of_file(&file, &["It".to_owned()].into(), &mut items);
    let wrong: Vec<String> = items.iter().flat_map(wrong_with).collect();
    assert_eq!(
        wrong,
        [
            "It: no example",
            "It::make: no # Errors that says which",
            "It::must: no # Panics that says which",
        ]
    );
}
