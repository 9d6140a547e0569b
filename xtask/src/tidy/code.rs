//! Rust source, line by line, with code and comments apart.
//!
//! Owns just enough of a lexer to know what is code, comment or literal, so that a rule about code is not misled by text.
//! Literals become empty (`""`, `' '`). Refuses to parse: rules look at lines and words.

/// One line of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) code: String,
    pub(super) comment: String,
    /// Whether the line begins inside parentheses or brackets.
    pub(super) enclosed: bool,
}

impl Line {
    /// Whether there is nothing but a comment on it.
    pub(super) fn is_comment(&self) -> bool {
        self.code.trim().is_empty() && !self.comment.is_empty()
    }

    pub(super) fn is_attribute(&self) -> bool {
        let code = self.code.trim();
        code.starts_with("#[") || code.starts_with("#![")
    }

    /// Whether `word` is in the code as a whole word.
    pub(super) fn has_word(&self, word: &str) -> bool {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        self.code.match_indices(word).any(|(at, _)| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + word.len()..].chars().next();
            !before.is_some_and(part) && !after.is_some_and(part)
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Code,
    LineComment,
    /// Block comments nest.
    BlockComment(usize),
    Text,
    /// Ends at a quote and this many hashes.
    RawText(usize),
}

/// Splits a file into lines.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let chars: Vec<char> = text.chars().collect();
    let mut lines = vec![Line::default()];
    let mut mode = Mode::Code;
    let mut depth = 0_usize;
    let mut at = 0;
    while at < chars.len() {
        let line = lines.last_mut().expect("there is always a line");
        if chars[at] == '\n' {
            if mode == Mode::LineComment {
                mode = Mode::Code;
            }
            lines.push(Line { enclosed: depth > 0, ..Line::default() });
            at += 1;
            continue;
        }
        let taken;
        (mode, taken) = step(mode, &chars[at..], line);
        if mode == Mode::Code && taken == 1 {
            match chars[at] {
                '(' | '[' => depth += 1,
                ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        at += taken;
    }
    lines
}

/// Takes one token off the front of `rest`, puts it where it belongs, and says how long it was.
fn step(mode: Mode, rest: &[char], line: &mut Line) -> (Mode, usize) {
    let starts = |with: &str| with.chars().enumerate().all(|(at, c)| rest.get(at) == Some(&c));
    match mode {
        Mode::LineComment => {
            line.comment.push(rest[0]);
            (mode, 1)
        }
        Mode::BlockComment(depth) => {
            let (depth, taken) = if starts("/*") {
                (depth + 1, 2)
            } else if starts("*/") {
                (depth - 1, 2)
            } else {
                (depth, 1)
            };
            line.comment.extend(&rest[..taken]);
            (if depth == 0 { Mode::Code } else { Mode::BlockComment(depth) }, taken)
        }
        Mode::Text if rest[0] == '\\' && rest.get(1).is_some_and(|c| *c != '\n') => (mode, 2),
        Mode::Text if rest[0] == '"' => (Mode::Code, 1),
        Mode::RawText(hashes) if rest[0] == '"' && closes(rest, hashes) => (Mode::Code, 1 + hashes),
        Mode::Text | Mode::RawText(_) => (mode, 1),
        Mode::Code if starts("//") => {
            line.comment.push_str("//");
            (Mode::LineComment, 2)
        }
        Mode::Code if starts("/*") => {
            line.comment.push_str("/*");
            (Mode::BlockComment(1), 2)
        }
        Mode::Code => code(rest, line),
    }
}

fn code(rest: &[char], line: &mut Line) -> (Mode, usize) {
    let in_word = line.code.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest[0] == '"' {
        line.code.push_str("\"\"");
        return (Mode::Text, 1);
    }
    if !in_word && let Some((hashes, taken)) = raw_text(rest) {
        line.code.push_str("\"\"");
        return (Mode::RawText(hashes), taken);
    }
    if rest[0] == '\''
        && let Some(taken) = character(rest)
    {
        line.code.push_str("' '");
        return (Mode::Code, taken);
    }
    line.code.push(rest[0]);
    (Mode::Code, 1)
}

fn closes(rest: &[char], hashes: usize) -> bool {
    rest[1..].iter().take_while(|c| **c == '#').count() >= hashes
}

/// The hashes and the length of what opens a raw literal: `r"`, `br#"`, `cr##"`.
fn raw_text(rest: &[char]) -> Option<(usize, usize)> {
    let prefix = match rest {
        ['b' | 'c', 'r', ..] => 2,
        ['r', ..] => 1,
        _ => return None,
    };
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    (rest.get(prefix + hashes) == Some(&'"')).then_some((hashes, prefix + hashes + 1))
}

/// The length of a character literal, or `None` if the quote begins a lifetime.
fn character(rest: &[char]) -> Option<usize> {
    match rest {
        ['\'', '\\', _, tail @ ..] => tail.iter().take_while(|c| **c != '\n').position(|c| *c == '\'').map(|at| at + 4),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

/// The comments that belong to the statement around a line: those on its lines, and the block above it. Nearest first.
/// Statements directly above that are `like` it may share its block.
pub(super) fn notes(lines: &[Line], at: usize, like: impl Fn(&Line) -> bool) -> String {
    let mut notes = lines[at].comment.clone();
    let mut above = at;
    while above > 0 {
        above -= 1;
        let line = &lines[above];
        if line.is_comment() {
            // The whole block, and no further: what stands above it is another statement.
            let block = lines[..=above].iter().rev().take_while(|line| line.is_comment());
            let block: Vec<_> = block.map(|line| line.comment.as_str()).collect();
            notes.extend(block.into_iter().rev().flat_map(|comment| ["\n", comment]));
            break;
        }
        let code = line.code.trim_end();
        let ends = code.ends_with([';', '{', '}']) || (code.ends_with(',') && !line.enclosed) || code.trim().is_empty();
        if ends && !line.is_attribute() && !like(line) {
            break;
        }
        notes.push('\n');
        notes.push_str(&line.comment);
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::{lines, notes};

    fn code(text: &str) -> Vec<String> {
        lines(text).into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn literals_and_comments_are_not_code() {
        for (text, expected) in [
            ("let a = \"unsafe // no\"; // unsafe", "let a = \"\"; "),
            ("let a = r#\"un\"safe\"#;", "let a = \"\";"),
            ("let a = br\"unsafe\";", "let a = \"\";"),
            ("a /* unsafe /* nested */ still */ b", "a  b"),
            ("let q = '\"'; let u = '\\''; f('a')", "let q = ' '; let u = ' '; f(' ')"),
            ("let q = '\\u{1F600}';", "let q = ' ';"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("let a = \"a \\\" unsafe\";", "let a = \"\";"),
            ("for_r\"x\"", "for_r\"\""),
        ] {
            assert_eq!(code(text), [expected], "{text}");
        }
    }

    #[test]
    fn text_over_several_lines_stays_text() {
        assert_eq!(code("let a = \"one\nunsafe\ntwo\"; b"), ["let a = \"\"", "", "; b"]);
        assert_eq!(code("/* a\nunsafe\n*/ b"), ["", "", " b"]);
    }

    #[test]
    fn whole_words_are_told_from_parts() {
        let line = &lines("#![deny(unsafe_code)] not_unsafe(x)")[0];
        assert!(!line.has_word("unsafe"));
        assert!(lines("unsafe{ }")[0].has_word("unsafe"));
    }

    #[test]
    fn notes_are_those_of_the_statement() {
        let text = "// other\nfirst();\n// mine\n// too\n#[inline]\nlet x = a\n    .b(unsafe { c });\n";
        let lines = lines(text);
        let notes = notes(&lines, 6, |_| false);
        assert!(notes.contains("mine") && notes.contains("too"), "{notes}");
        assert!(!notes.contains("other"), "{notes}");
    }

    #[test]
    fn notes_reach_over_the_arguments_of_a_call() {
        let text = "// note\na.compare_exchange(\n    x,\n    y,\n    Ordering::AcqRel,\n    Ordering::Acquire,\n)";
        assert!(notes(&lines(text), 5, |_| false).contains("note"));
        let run = "// note\na.store(1);\nb.store(2);\nother();\nc.store(3);";
        let store = |line: &super::Line| line.code.contains("store");
        assert!(notes(&lines(run), 2, store).contains("note"));
        assert!(!notes(&lines(run), 4, store).contains("note"));
        let arms = "match x {\n    // note\n    1 => a(),\n    2 => b(),\n}";
        assert!(!notes(&lines(arms), 3, |_| false).contains("note"));
    }
}
