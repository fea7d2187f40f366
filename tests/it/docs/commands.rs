//! Commands that the documentation shows: each can be typed.

use std::collections::BTreeSet;
use std::fs;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use fanfare::cli::Cli;

use super::page::Page;
use super::pattern;

/// What a command of the program is started by.
const PROGRAM: &str = "fanfare";

/// The simple commands of a shell's text, each as its words. Those within `$(..)` are commands of their own.
fn commands(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ");
    let mut shell = Shell { found: Vec::new(), words: Vec::new(), word: None };
    shell.read(&text);
    shell.found
}

struct Shell {
    found: Vec<Vec<String>>,
    words: Vec<String>,
    word: Option<String>,
}

impl Shell {
    fn read(&mut self, text: &str) {
        let (mut rest, mut quote) = (text, None);
        while let Some(c) = rest.chars().next() {
            let here = rest;
            rest = &rest[c.len_utf8()..];
            let is_literal = quote == Some('\'');
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (_, '$') if rest.starts_with('(') && !is_literal => {
                    let end = closing(rest);
                    self.found.extend(commands(&rest[1..end]));
                    // What it puts out may be a number.
                    self.push('1');
                    rest = &rest[end + 1..];
                }
                (Some(_), c) => self.push(c),
                (None, '\'' | '"') => {
                    quote = Some(c);
                    self.word.get_or_insert_default();
                }
                (None, '<') if here.starts_with("<<") => rest = self.skip_document(here),
                // Where it goes to and comes from is no argument.
                (None, '>' | '<') => rest = &rest[rest.find(['\n', ';', '|']).unwrap_or(rest.len())..],
                (None, '#') if self.word.is_none() => rest = &rest[rest.find('\n').unwrap_or(rest.len())..],
                (None, '\n' | ';' | '|' | '&' | '(' | ')') => self.end(),
                (None, c) if c.is_whitespace() => self.words.extend(self.word.take()),
                (None, c) => self.push(c),
            }
        }
        self.end();
    }

    /// Ends the command at a document that it reads, and returns what follows.
    fn skip_document<'a>(&mut self, here: &'a str) -> &'a str {
        self.end();
        let (first, rest) = here.split_once('\n').unwrap_or_default();
        let mark = format!("{}\n", first.trim_start_matches('<').trim().trim_matches('\''));
        rest.split_once(&mark).unwrap_or_default().1
    }

    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn end(&mut self) {
        self.words.extend(self.word.take());
        if !self.words.is_empty() {
            self.found.push(std::mem::take(&mut self.words));
        }
    }
}

/// Where the parenthesis that `text` begins with is closed.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    let closes = text.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '(') - i32::from(*c == ')');
        depth == 0
    });
    closes.map_or_else(|| panic!("not closed: {text}"), |(at, _)| at)
}

/// The arguments, if the command is one of the program's: by its name, or through Cargo.
fn arguments(words: &[String]) -> Option<&[String]> {
    let is_before =
        |word: &&String| word.contains('=') && !word.starts_with('-') || ["export", "do"].contains(&&***word);
    let words = &words[words.iter().take_while(is_before).count()..];
    let (first, rest) = words.split_first()?;
    if first.rsplit('/').next() == Some(PROGRAM) {
        return Some(rest);
    }
    let split = rest.iter().position(|word| word == "--")?;
    (first == "cargo" && rest[0] == "run").then(|| &rest[split + 1..])
}

/// Why the program does not take the arguments.
fn refusal(arguments: &[String]) -> Option<clap::Error> {
    let words = std::iter::once(PROGRAM).chain(arguments.iter().map(String::as_str));
    let error = Cli::try_parse_from(words).err()?;
    (!matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)).then_some(error)
}

#[test]
fn every_command_that_is_shown_can_be_typed() {
    let mut typed = 0;
    for page in Page::all() {
        for block in &page.blocks {
            let text = match block.language.as_str() {
                "sh" => block.text.clone(),
                "ini" => block.text.replace("ExecStart=", ""),
                _ => continue,
            };
            for command in commands(&text) {
                let Some(arguments) = arguments(&command) else { continue };
                let refused = refusal(arguments);
                assert!(refused.is_none(), "{}:{}: {command:?}\n{}", page.path.display(), block.line, refused.unwrap());
                typed += 1;
            }
        }
    }
    assert!(typed > 30, "{typed}");
}

/// The long options of the program and its commands.
fn options(command: &clap::Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?)));
    own.chain(command.get_subcommands().flat_map(options)).collect()
}

#[test]
fn every_command_and_option_that_is_named_is_there() {
    let program = Cli::command();
    let names: BTreeSet<_> = program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let mut known = options(&program);
    known.extend(["--help", "--version", "--release", "--example"].map(str::to_owned));
    let option = pattern(r"--[a-z][a-z-]*");
    for script in ["tests/chaos", "tests/run"] {
        let text = fs::read_to_string(script).unwrap();
        known.extend(option.find_iter(&text).map(|found| found.as_str().to_owned()));
    }
    let mut named = 0;
    for page in Page::all() {
        for (line, code) in page.inline() {
            let place = format!("{}:{line}: `{code}`", page.path.display());
            for option in option.find_iter(code).filter(|found| code[..found.start()].chars().all(|c| c != '-')) {
                assert!(known.contains(option.as_str()), "{place}");
            }
            // With what may be left out, and without what is left to say.
            let code = code.replace(['[', ']', '…'], "").replace("...", "");
            let Some(command) = commands(&code).into_iter().next() else { continue };
            let whole = arguments(&command).map(<[String]>::to_vec);
            let is_bare = names.contains(&command[0]) && command.iter().any(|word| word.starts_with("--"));
            let Some(arguments) = whole.or_else(|| is_bare.then(|| command.clone())) else { continue };
            if arguments.is_empty() || arguments[0] == "COMMAND" {
                continue;
            }
            named += 1;
            let Some(error) = refusal(&arguments) else { continue };
            let is_cut_short = match error.kind() {
                ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                | ErrorKind::InvalidValue => true,
                // A word in capitals stands for a value.
                ErrorKind::ValueValidation => arguments.iter().any(|word| word.bytes().all(|b| b.is_ascii_uppercase())),
                _ => false,
            };
            assert!(is_cut_short, "{place}\n{error}");
        }
    }
    assert!(named > 25, "{named}");
}

#[test]
fn the_front_page_has_every_command() {
    let readme = fs::read_to_string("README.md").unwrap();
    for command in Cli::command().get_subcommands() {
        let shown = format!("`{PROGRAM} {}", command.get_name());
        assert!(readme.contains(&shown), "{shown}`");
    }
}
