//! The binary under kubectl's names for a plugin: `kubectl-fleetcast` is `kubectl fleetcast`, and `kubectl_complete-fleetcast` completes it.
//!
//! How kubectl asks for completions: https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/ and Cobra's shell completions.

use std::path::Path;

use clap::{Arg, Command};

/// The name under which kubectl finds the plugin.
const PLUGIN: &str = "kubectl-fleetcast";
/// The name under which kubectl asks the plugin for completions.
const COMPLETER: &str = "kubectl_complete-fleetcast";
/// Cobra's directives: complete with files, and do not.
const FILES: &str = ":0";
const NO_FILES: &str = ":4";

/// As what the binary was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Called {
    /// As itself.
    Fleetcast,
    /// As a plugin of kubectl.
    Plugin,
    /// To complete the plugin's words.
    Completer,
}

impl Called {
    /// By the program's own path, as it was typed.
    pub(crate) fn by(program: &str) -> Self {
        match Path::new(program)
            .file_name()
            .and_then(|name| name.to_str())
        {
            Some(PLUGIN) => Self::Plugin,
            Some(COMPLETER) => Self::Completer,
            _ => Self::Fleetcast,
        }
    }
}

/// What completes the last of `words` (which may be empty): a line each, with its description behind a tab, and a directive for the shell.
pub(crate) fn completions(command: &Command, words: &[String]) -> String {
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", [].as_slice()),
    };
    let mut here = command;
    let mut value_of: Option<&Arg> = None;
    for word in before {
        let asks = value_of.take();
        if asks.is_some() {
            continue;
        }
        if word.starts_with('-') {
            value_of = flag(command, here, word).filter(|flag| takes_value(flag));
        } else if let Some(next) = here.find_subcommand(word) {
            here = next;
        }
    }
    if let Some(flag) = value_of {
        return of_values(flag, last);
    }
    if let Some((name, _)) = last.split_once('=') {
        return flag(command, here, name)
            .map_or_else(|| format!("{NO_FILES}\n"), |flag| of_values(flag, last));
    }
    let mut lines = Vec::new();
    if last.starts_with('-') {
        for flag in flags(command, here) {
            if let Some(long) = flag.get_long() {
                lines.push(line(
                    &format!("--{long}"),
                    flag.get_help().map(ToString::to_string),
                ));
            }
        }
    } else {
        for next in here.get_subcommands().filter(|next| !next.is_hide_set()) {
            lines.push(line(
                next.get_name(),
                next.get_about().map(ToString::to_string),
            ));
        }
    }
    lines.retain(|line| line.starts_with(last));
    lines.sort();
    lines.dedup();
    lines.push(NO_FILES.to_owned());
    lines.join("\n") + "\n"
}

/// What a flag may be given: its possible values, or files.
fn of_values(flag: &Arg, last: &str) -> String {
    let begin = last.split_once('=').map_or(last, |(_, value)| value);
    let mut lines: Vec<String> = flag
        .get_possible_values()
        .iter()
        .filter(|value| value.get_name().starts_with(begin))
        .map(|value| line(value.get_name(), value.get_help().map(ToString::to_string)))
        .collect();
    lines.push(if lines.is_empty() { FILES } else { NO_FILES }.to_owned());
    lines.join("\n") + "\n"
}

fn takes_value(flag: &Arg) -> bool {
    flag.get_action().takes_values()
}

/// The flags that may stand in a command: its own, and those of the whole program.
fn flags<'a>(program: &'a Command, here: &'a Command) -> impl Iterator<Item = &'a Arg> {
    let global = program.get_arguments().filter(|flag| flag.is_global_set());
    here.get_arguments()
        .chain(global)
        .filter(|flag| !flag.is_positional() && !flag.is_hide_set())
}

fn flag<'a>(program: &'a Command, here: &'a Command, word: &str) -> Option<&'a Arg> {
    if word.contains('=') {
        return None;
    }
    flags(program, here).find(|flag| {
        let long = flag.get_long().map(|long| format!("--{long}"));
        let short = flag.get_short().map(|short| format!("-{short}"));
        long.as_deref() == Some(word) || short.as_deref() == Some(word)
    })
}

/// A completion, with the first line of its description.
fn line(value: &str, about: Option<String>) -> String {
    match about.as_deref().and_then(|about| about.lines().next()) {
        Some(about) => format!("{value}\t{about}"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Args;

    #[test]
    fn words_are_completed_as_they_stand_in_the_program() {
        let command = Args::command();
        for (words, holds, lacks) in [
            (vec!["clus"], "cluster\tLook at clusters", "apply"),
            (vec!["cluster", ""], "cordon\t", "apply"),
            (
                vec!["--nats", "nats://here", "cluster", "un"],
                "uncordon\t",
                "cordon\tS",
            ),
            (vec!["get", "--clu"], "--cluster\t", "--nats"),
            (vec!["get", "--na"], "--nats\t", "--cluster"),
            (vec!["get", "-o", ""], "wide", "--nats"),
            (
                vec!["get", "-o", "j"],
                "json\tOne JSON document\n:4",
                "wide",
            ),
            (
                vec!["get", "--output=j"],
                "json\tOne JSON document\n:4",
                "wide",
            ),
            (vec!["apply", "-f", ""], ":0", ":4"),
            (vec![], "apply\t", "--nats"),
        ] {
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            let told = completions(&command, &words);
            assert!(told.contains(holds), "{words:?} lacks {holds:?}: {told}");
            assert!(!told.contains(lacks), "{words:?} has {lacks:?}: {told}");
        }
    }

    #[test]
    fn the_name_that_it_is_called_by_decides() {
        for (program, called) in [
            ("fleetcast", Called::Fleetcast),
            ("/usr/local/bin/fleetcast", Called::Fleetcast),
            ("/opt/krew/bin/kubectl-fleetcast", Called::Plugin),
            ("kubectl_complete-fleetcast", Called::Completer),
        ] {
            assert_eq!(Called::by(program), called, "{program}");
        }
    }
}
