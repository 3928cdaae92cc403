//! What clap cannot say of itself, and what words come to.

use super::*;

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

/// The commands as people see them in the documents, each with its whole name.
fn documented() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// Compares a generated document with the file, or writes it.
#[track_caller]
fn is_up_to_date(file: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(file);
    if std::env::var_os("NETCHECK_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == text,
        "{file} is not up to date: NETCHECK_BLESS=1 cargo test -p docker-netcheck --bin docker-netcheck"
    );
}

#[test]
fn the_man_pages_are_up_to_date() {
    fn write(command: &clap::Command, name: &str) {
        let mut page = Vec::new();
        let titled = command
            .clone()
            .name(name.to_owned())
            .version(env!("CARGO_PKG_VERSION"));
        clap_mangen::Man::new(titled)
            .date("")
            .source(concat!("docker-netcheck ", env!("CARGO_PKG_VERSION")))
            .manual("Docker User Manuals")
            .render(&mut page)
            .unwrap();
        is_up_to_date(
            &format!("docs/man/{name}.1"),
            &String::from_utf8(page).unwrap(),
        );
        for subcommand in command
            .get_subcommands()
            .filter(|one| one.get_name() != "help")
        {
            write(subcommand, &format!("{name}-{}", subcommand.get_name()));
        }
    }
    write(&documented(), "docker-netcheck");
}

#[test]
fn the_reference_is_up_to_date() {
    fn write(command: &clap::Command, name: &str, page: &mut String) {
        let help = command.clone().term_width(100).render_long_help();
        page.push_str(&format!(
            "\n## {name}\n\n```text\n{}\n```\n",
            help.to_string().trim_end()
        ));
        for subcommand in command
            .get_subcommands()
            .filter(|one| one.get_name() != "help")
        {
            write(
                subcommand,
                &format!("{name} {}", subcommand.get_name()),
                page,
            );
        }
    }
    let mut page = String::from(
        "# Reference\n\nWritten from the program by `NETCHECK_BLESS=1 cargo test -p docker-netcheck --bin \
         docker-netcheck`; a test compares. The man pages in `docs/man` say the same.\n",
    );
    write(&documented(), "docker netcheck", &mut page);
    is_up_to_date("docs/reference.md", &page);
}

#[test]
fn times_have_units_and_bounds() {
    assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
    for wrong in ["", "s", "5h", "-1s", "0s", "11m", "1.2.3s"] {
        assert!(duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn places_outside_are_read_as_people_write_them() {
    let read = |text| outbound(text).map(|place| (place.host, place.port));
    assert_eq!(read("example.com"), Ok(("example.com".into(), 443)));
    assert_eq!(
        read("http://u:p@example.com/x?y"),
        Ok(("example.com".into(), 80))
    );
    assert_eq!(read("example.com:8080"), Ok(("example.com".into(), 8080)));
    assert_eq!(read("[2001:db8::1]:53"), Ok(("2001:db8::1".into(), 53)));
    for wrong in ["", ":80", "a:0", "a:70000", "a:b", "a b", "[::1", "a\u{1b}"] {
        assert!(outbound(wrong).is_err(), "{wrong:?}");
    }
}
