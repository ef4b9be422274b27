//! `runner completions` and `runner man`: what shells and manuals want to know of the command line, from its definition.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Fault, print};
use crate::spec::closest;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell; for bash: `source <(runner completions bash)`
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The verb [default: the program]
    verb: Option<String>,
}

/// Prints the completions of a shell.
pub(crate) fn main(args: &Args) -> Result<(), Fault> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "runner", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints the manual of the program or of one of its verbs: `runner man run | man -l -`.
pub(crate) fn manual(args: &ManArgs) -> Result<(), Fault> {
    let mut program = Cli::command();
    program.build();
    let page = match &args.verb {
        None => program,
        Some(verb) => program.find_subcommand(verb).cloned().ok_or_else(|| unknown(&program, verb))?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text).map_err(|error| Fault::World(error.to_string()))?;
    print(&String::from_utf8_lossy(&text))
}

fn unknown(program: &clap::Command, verb: &str) -> Fault {
    let verbs: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
    let help = match closest(verb, verbs.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the verbs are `{}`", verbs.join("`, `")),
    };
    Fault::Arguments(format!("there is no verb `{}`; {help}", verb.escape_default()))
}
