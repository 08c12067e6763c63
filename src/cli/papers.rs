//! `stentor papers DIR`: man pages and shell completions for a package, generated from the commands themselves, so that they
//! are never out of date.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

use super::exit::{Ended, Exit, Failure};

/// The arguments of `stentor papers`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Directory in which `man/` and `completions/` are made
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes all of them.
pub(super) fn run(typed: &Arguments, mut command: Command) -> Ended {
    let [man, completions] = ["man", "completions"].map(|name| typed.directory.join(name));
    let failed = |error| Failure::new(Exit::IO, format!("{}: {error}", typed.directory.display()));
    for directory in [&man, &completions] {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    for shell in Shell::value_variants().iter().filter(|shell| matches!(shell, Shell::Bash | Shell::Fish | Shell::Zsh))
    {
        clap_complete::generate_to(*shell, &mut command, "stentor", &completions).map_err(failed)?;
    }
    // Sets the names that the pages of subcommands have, such as stentor-send.
    command.build();
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
    for page in shown.chain([&command]) {
        Man::new(page.clone()).generate_to(&man).map_err(failed)?;
    }
    Ok(Exit::DONE)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_has_a_page_and_shells_know_it() {
        let root = tempfile::tempdir().expect("a directory");
        let typed = Arguments { directory: root.path().to_owned() };
        assert_eq!(run(&typed, super::super::Arguments::command()), Ok(Exit::DONE));
        let names = |name: &str| {
            let entries = fs::read_dir(root.path().join(name)).expect("made");
            let mut names: Vec<_> =
                entries.map(|entry| entry.expect("read").file_name().into_string().expect("text")).collect();
            names.sort();
            names
        };
        assert_eq!(names("completions"), ["_stentor", "stentor.bash", "stentor.fish"]);
        let pages = names("man");
        for command in ["", "-serve", "-send", "-in-doubt", "-reload"] {
            assert!(pages.contains(&format!("stentor{command}.1")), "{pages:?}");
        }
        assert!(!pages.iter().any(|page| page.contains("papers")), "{pages:?}");
        let page = fs::read_to_string(root.path().join("man/stentor-reload.1")).expect("made");
        assert!(page.contains("dry\\-run"), "{page}");
    }
}
