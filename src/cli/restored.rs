//! `stentor restored`: the messages that were unsent in the backup that this installation was restored from, by class, and a
//! decision on them. Knows the two calls and how their answers are laid out; the server knows what can be decided.

use std::io::Write;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::client::{self, Client, ClientError, Response};
use super::consent::{self, Person, counted};
use super::exit::{Ended, Exit, Failure};
use super::problem::{Problem, unreachable};
use super::shown::{scalar, table};
use stentor_core::model::Class;

/// The arguments of `stentor restored`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Resolve instead of listing, for --class or for all classes; asks first at a terminal
    #[arg(long, value_name = "ACTION")]
    resolve: Option<Action>,
    /// Only messages of this class
    #[arg(long, value_parser = PossibleValuesParser::new(Class::ALL.map(Class::name)))]
    class: Option<String>,
    /// Do not ask before resolving that class, or all classes
    #[arg(long, requires = "resolve")]
    all: bool,
    /// Only show what would be resolved
    #[arg(long, requires = "resolve")]
    dry_run: bool,
    /// Print the server's document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: client::Server,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Send them; those that were sent before the old machine was lost arrive twice
    Resend,
    /// Give them up
    Drop,
    /// Hold them until an operator decides otherwise
    Hold,
}

impl Action {
    /// The name in the API.
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn question(self, what: &str) -> String {
        match self {
            Self::Resend => format!("Send {what} of the backup, of which some may have been sent already?"),
            Self::Drop => format!("Give up {what} of the backup?"),
            Self::Hold => format!("Hold {what} of the backup?"),
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Resend => "to be sent",
            Self::Drop => "given up",
            Self::Hold => "held",
        }
    }
}

/// Lists what is left, or resolves it.
pub(super) fn run(typed: &Arguments, out: &mut dyn Write) -> Ended {
    consent::at_a_terminal(|person| run_before(typed, out, person))
}

/// Like [`run`], with the person at the terminal, if there is one.
pub(super) fn run_before(typed: &Arguments, out: &mut dyn Write, person: Option<Person<'_>>) -> Ended {
    let client = typed.server.clone().client()?;
    let Some(action) = typed.resolve else { return show(&client, typed, out) };
    if typed.dry_run {
        return foretell(&client, action, typed, out);
    }
    match person.filter(|_| !typed.all) {
        Some(ask) => {
            let messages = left(&restored(&client)?, typed.class.as_deref());
            if messages == 0 {
                return nothing(out);
            }
            if !ask(&action.question(&counted(messages as usize, "message"))) {
                return Err(Failure::new(Exit::FAILED, "nothing was decided"));
            }
        }
        None if !typed.all && typed.class.is_none() => {
            let what =
                "this would resolve everything that was unsent in the backup: confirm with --all, or name a --class";
            return Err(Failure::usage(what));
        }
        None => {}
    }
    let document = match &typed.class {
        Some(class) => json!({"action": action.name(), "class": class}),
        None => json!({"action": action.name()}),
    };
    let answer = read(&client, client.post("/v1/restored/resolve", document.to_string().as_bytes()))?;
    if typed.json {
        writeln!(out, "{answer}")?;
        return Ok(Exit::DONE);
    }
    match answer.get("messages").and_then(Value::as_u64).unwrap_or(0) {
        0 => nothing(out),
        messages => {
            writeln!(out, "{} {}", counted(messages as usize, "message"), action.done())?;
            Ok(Exit::DONE)
        }
    }
}

fn show(client: &Client, typed: &Arguments, out: &mut dyn Write) -> Ended {
    let told = restored(client)?;
    match typed.json {
        true => writeln!(out, "{told}")?,
        false => write!(out, "{}", shown(&told, typed.class.as_deref()))?,
    }
    Ok(Exit::DONE)
}

/// Shows what would be decided; the same for a person and for a script.
fn foretell(client: &Client, action: Action, typed: &Arguments, out: &mut dyn Write) -> Ended {
    let messages = left(&restored(client)?, typed.class.as_deref());
    let (would, class) = (action.name(), &typed.class);
    match (typed.json, messages) {
        (true, _) => writeln!(out, "{}", json!({"would": would, "class": class, "messages": messages}))?,
        (false, 0) => return nothing(out),
        (false, _) => {
            writeln!(out, "{} would be {}", counted(messages as usize, "message"), action.done())?;
            writeln!(out, "nothing was decided: a dry run")?;
        }
    }
    Ok(Exit::DONE)
}

fn nothing(out: &mut dyn Write) -> Ended {
    writeln!(out, "no message of a backup is unsent")?;
    Ok(Exit::DONE)
}

fn restored(client: &Client) -> Result<Value, Failure> {
    read(client, client.get("/v1/restored"))
}

/// The entries of `class`, or of all classes.
fn classes<'v>(told: &'v Value, class: Option<&'v str>) -> impl Iterator<Item = &'v Value> {
    let list = told.get("classes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().filter(move |entry| class.is_none_or(|class| entry.get("class").and_then(Value::as_str) == Some(class)))
}

fn left(told: &Value, class: Option<&str>) -> u64 {
    classes(told, class).filter_map(|entry| entry.get("messages")?.as_u64()).sum()
}

fn shown(told: &Value, class: Option<&str>) -> String {
    if told.get("restored").and_then(Value::as_bool) != Some(true) {
        return "this installation was not restored from a backup\n".to_owned();
    }
    let rows =
        classes(told, class).map(|entry| ["class", "messages", "unsent"].map(|cell| scalar(entry.get(cell))).to_vec());
    let rows: Vec<Vec<String>> = rows.collect();
    let (mark, at) = (scalar(told.get("mark")), scalar(told.get("at")));
    format!("restored at {at}; unsent in the backup of {mark}:\n{}", table(&["CLASS", "MESSAGES", "DECISION"], &rows))
}

fn read(client: &Client, answer: Result<Response, ClientError>) -> Result<Value, Failure> {
    let answer = answer.map_err(|error| unreachable(client, &error))?;
    if answer.status != 200 {
        return Err(Problem::read(&answer).failure(client));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| Failure::new(Exit::FAILED, format!("{}: the answer is not JSON: {error}", client.url)))
}
