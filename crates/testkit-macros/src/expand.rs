//! From the function as it was written to the test. The function becomes an inner one, unchanged;
//! around it stands a `#[test]` that hands it to the kit, and returns nothing: an error becomes a
//! panic, so that `#[should_panic]` works with a `Result` too.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, FnArg, ItemFn, Result, ReturnType, Type, parse2};

use crate::arguments::{Arguments, Flavor, Keep};

/// The test; or the error at the place where it is, and the function as it was, so that nothing
/// else is said to be missing.
pub(crate) fn expand(arguments: TokenStream, function: TokenStream) -> TokenStream {
    match try_expand(arguments, function.clone()) {
        Ok(test) => test,
        Err(error) => {
            let error = error.into_compile_error();
            quote!(#error #[allow(dead_code)] #function)
        }
    }
}

fn try_expand(arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let arguments: Arguments = parse2(arguments)?;
    let mut function: ItemFn = parse2(function)?;
    check(&function, &arguments)?;
    let attributes = std::mem::take(&mut function.attrs);
    let visibility = std::mem::replace(&mut function.vis, syn::Visibility::Inherited);
    let name = function.sig.ident.clone();
    let kit = match &arguments.path {
        Some(path) => quote!(#path),
        None => quote!(::netcheck_testkit),
    };
    let options = options(&kit, &arguments);
    let name_in_words = name.to_string();
    let span = match &function.sig.output {
        ReturnType::Default => name.span(),
        ReturnType::Type(_, returned) => returned.span(),
    };
    // With the span of what is returned: a type that is no outcome of a test is told of there.
    let call = if function.sig.asyncness.is_some() {
        quote_spanned!(span=> #kit::__private::run_async(test, |lab| ::std::boxed::Box::pin(#name(lab))))
    } else {
        quote_spanned!(span=> #kit::__private::run(test, #name))
    };
    Ok(quote! {
        #[::core::prelude::v1::test]
        #(#attributes)*
        #visibility fn #name() {
            #function
            let test = #kit::__private::Test {
                name: ::core::concat!(::core::module_path!(), "::", #name_in_words),
                #options
            };
            #call;
        }
    })
}

fn options(kit: &TokenStream, arguments: &Arguments) -> TokenStream {
    let timeout = match arguments.timeout {
        None => quote!(::core::option::Option::None),
        Some(time) => {
            // A u64 held it when it was read.
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            quote!(::core::option::Option::Some(::core::time::Duration::from_millis(#millis)))
        }
    };
    let keep = match arguments.keep {
        None => quote!(::core::option::Option::None),
        Some(Keep::Never) => quote!(::core::option::Option::Some(#kit::Keep::Never)),
        Some(Keep::OnFailure) => quote!(::core::option::Option::Some(#kit::Keep::OnFailure)),
        Some(Keep::Always) => quote!(::core::option::Option::Some(#kit::Keep::Always)),
    };
    let multi_thread = matches!(arguments.flavor, Some((Flavor::MultiThread, _)));
    let workers = match arguments.worker_threads {
        None => quote!(::core::option::Option::None),
        Some((number, _)) => quote!(::core::option::Option::Some(#number)),
    };
    quote! {
        timeout: #timeout,
        keep: #keep,
        multi_thread: #multi_thread,
        worker_threads: #workers,
    }
}

/// Whether it is a function that can be a test.
fn check(function: &ItemFn, arguments: &Arguments) -> Result<()> {
    let signature = &function.sig;
    let wrong = |span, words: &str| Err(Error::new(span, words));
    if let Some(attribute) = function.attrs.iter().find(|a| is_test(a)) {
        return wrong(
            attribute.span(),
            "this attribute makes a test of it already; remove the other one",
        );
    }
    if let Some(word) = &signature.constness {
        return wrong(word.span(), "a test cannot be `const`");
    }
    if let Some(word) = &signature.abi {
        return wrong(word.span(), "a test cannot be `extern`");
    }
    if !signature.generics.params.is_empty() {
        return wrong(
            signature.generics.span(),
            "a test cannot be generic: nobody says for which type or lifetime it is to run",
        );
    }
    let mut inputs = signature.inputs.iter();
    let lab = match (inputs.next(), inputs.next()) {
        (Some(FnArg::Typed(input)), None) => input,
        (None, None) => {
            return wrong(
                signature.ident.span(),
                "a test of the kit takes its lab: `lab: &Lab`; one that needs none is a `#[test]`",
            );
        }
        (Some(FnArg::Receiver(this)), _) => {
            return wrong(this.span(), "a test is no method; it takes `lab: &Lab`");
        }
        (_, Some(second)) => {
            return wrong(
                second.span(),
                "a test of the kit takes one argument: `lab: &Lab`",
            );
        }
    };
    match &*lab.ty {
        Type::Reference(reference) if reference.mutability.is_none() => {}
        other => {
            return wrong(
                other.span(),
                "a test of the kit borrows its lab: `lab: &Lab`",
            );
        }
    }
    if let (Some((_, flavor)), None) = (&arguments.flavor, &signature.asyncness) {
        return wrong(
            flavor.span(),
            "a plain `fn` runs on no runtime; `flavor` is for an `async fn`",
        );
    }
    Ok(())
}

/// `#[test]`, `#[tokio::test]` and the like.
fn is_test(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|segment| segment.ident == "test")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(arguments: &str, function: &str) -> String {
        expand(arguments.parse().unwrap(), function.parse().unwrap()).to_string()
    }

    /// What the compiler is made to say.
    fn complaint(arguments: &str, function: &str) -> String {
        let error = try_expand(arguments.parse().unwrap(), function.parse().unwrap());
        error
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn what_cannot_be_a_test_is_told_why() {
        for (function, words) in [
            ("async fn t() {}", "takes its lab"),
            ("async fn t(lab: Lab) {}", "borrows its lab"),
            ("async fn t(lab: &mut Lab) {}", "borrows its lab"),
            ("async fn t(lab: &Lab, more: u8) {}", "takes one argument"),
            ("async fn t(&self) {}", "is no method"),
            ("async fn t<T>(lab: &Lab) {}", "cannot be generic"),
            ("const fn t(lab: &Lab) {}", "cannot be `const`"),
            ("extern \"C\" fn t(lab: &Lab) {}", "cannot be `extern`"),
            ("#[test] fn t(lab: &Lab) {}", "makes a test of it already"),
            (
                "#[tokio::test] async fn t(lab: &Lab) {}",
                "makes a test of it already",
            ),
            ("struct T;", "expected"),
        ] {
            let said = complaint("", function);
            assert!(said.contains(words), "{function}: {said}");
        }
    }

    #[test]
    fn arguments_that_make_no_sense_are_told_why() {
        let function = "async fn t(lab: &Lab) {}";
        for (arguments, words) in [
            ("timeout = \"60\"", "is no time"),
            ("timeout = \"s\"", "is no time"),
            ("timeout = \"0s\"", "is no time"),
            ("timeout = \"1h\"", "is no time"),
            ("timeout = 60", "in quotes"),
            ("keep = \"sometimes\"", "`keep` is"),
            ("flavor = \"green\"", "`flavor` is"),
            ("worker_threads = 2", "needs `flavor"),
            ("flavor = \"multi_thread\", worker_threads = 0", "above 0"),
            ("patience = \"1s\"", "unknown argument `patience`"),
            ("keep = \"always\", keep = \"never\"", "given twice"),
            ("timeout", "expected `=`"),
        ] {
            let said = complaint(arguments, function);
            assert!(said.contains(words), "{arguments}: {said}");
        }
        let said = complaint("flavor = \"multi_thread\"", "fn t(lab: &Lab) {}");
        assert!(said.contains("runs on no runtime"), "{said}");
    }

    #[test]
    fn an_error_leaves_the_function_where_it_was() {
        let both = expanded("", "async fn t() {}");
        assert!(both.contains("compile_error"), "{both}");
        assert!(both.contains("async fn t"), "{both}");
    }

    #[test]
    fn arguments_and_attributes_reach_the_test() {
        let test = expanded(
            "timeout = \"2m\", keep = \"on-failure\", flavor = \"multi_thread\", worker_threads = 3, crate = \"crate::kit\"",
            "#[ignore = \"slow\"] pub async fn t(lab: &Lab) -> Result<()> { Ok(()) }",
        );
        for part in [
            "# [ignore = \"slow\"] pub fn t ()",
            "from_millis (120000u64)",
            "Some (crate :: kit :: Keep :: OnFailure)",
            "multi_thread : true",
            "Some (3usize)",
            "crate :: kit :: __private :: run_async",
            "async fn t (lab : & Lab) -> Result < () > { Ok (()) }",
        ] {
            assert!(test.contains(part), "{part}\n{test}");
        }
        assert!(!test.contains("netcheck_testkit"), "{test}");
    }

    #[test]
    fn a_plain_function_gets_no_runtime() {
        let test = expanded("", "fn t(lab: &Lab) {}");
        assert!(
            test.contains(":: netcheck_testkit :: __private :: run (test , t)"),
            "{test}"
        );
        assert!(!test.contains("Box"), "{test}");
    }
}
