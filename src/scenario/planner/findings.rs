//! What the planner finds wrong, each at the path of the value at fault.

use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::load::Loaded;
use crate::scenario::source::Span;
use crate::topology::Problem;

use crate::scenario::suggest;

/// Collects what is wrong.
pub struct Findings<'a> {
    loaded: &'a Loaded,
    /// Errors, in the order in which they were found.
    pub wrong: Vec<Diagnostic>,
    /// What is allowed but should be known.
    pub cautions: Vec<String>,
}

impl<'a> Findings<'a> {
    /// Nothing found yet.
    pub fn new(loaded: &'a Loaded) -> Self {
        Findings {
            loaded,
            wrong: Vec::new(),
            cautions: Vec::new(),
        }
    }

    /// Where the value at `path`, or the nearest thing around it, was written.
    pub fn span(&self, path: &str) -> Span {
        let value = self.loaded.spans.value(path);
        value.or_else(|| self.loaded.spans.value("name")).unwrap_or(0..0)
    }

    /// Whether something was written at `path`.
    pub fn written(&self, path: &str) -> bool {
        self.loaded.spans.key(path).is_some()
    }

    /// Something is wrong with the value at `path`.
    pub fn wrong(&mut self, path: &str, message: impl Into<String>) -> &mut Diagnostic {
        let at = Diagnostic::new(message).at(self.span(path), "");
        self.wrong.push(at);
        self.wrong.last_mut().expect("one was just added")
    }

    /// A key that should not be there.
    pub fn unwanted(&mut self, path: &str, message: impl Into<String>, help: &str) {
        let span = self.loaded.spans.key(path).unwrap_or_else(|| self.span(path));
        self.wrong.push(Diagnostic::new(message).at(span, "").help(help));
    }

    /// Adds a caution once.
    pub fn caution(&mut self, text: String) {
        if !self.cautions.contains(&text) {
            self.cautions.push(text);
        }
    }

    /// A problem of the topology room.
    pub fn topology(&mut self, problem: Problem) {
        let path = |relative: &str| match relative {
            "" => "topology".to_owned(),
            relative => format!("topology.{relative}"),
        };
        let mut found = Diagnostic::new(problem.message).at(self.span(&path(&problem.path)), "");
        if let Some((at, label)) = problem.related {
            found = found.related(self.span(&path(&at)), label);
        }
        if let Some((given, known)) = problem.candidates {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            found = found.maybe_help(suggest::help(&given, "hosts and switches are", &known));
        }
        self.wrong.push(found.maybe_help(problem.help));
    }
}
