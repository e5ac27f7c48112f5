//! Human output: headings, lines with a mark, tables for 100 columns; colour only on a terminal.

use std::{fmt::Display, io::Write as _};

use anstyle::{AnsiColor, Style};
use comfy_table::{ColumnConstraint, ContentArrangement, Table};

/// The width that tables are made for.
const COLUMNS: u16 = 100;

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Wrong.
    Bad,
    /// Neither.
    Plain,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Mark::Good => "ok  ",
            Mark::Warning => "warn",
            Mark::Bad => "FAIL",
            Mark::Plain => "  - ",
        }
    }

    fn style(self) -> Style {
        match self {
            Mark::Good => AnsiColor::Green.on_default(),
            Mark::Warning => AnsiColor::Yellow.on_default(),
            Mark::Bad => AnsiColor::Red.on_default().bold(),
            Mark::Plain => Style::new(),
        }
    }
}

/// A text that is put together line by line.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    is_full: bool,
}

impl Page {
    /// An empty one; `is_full` where all is wanted that there is to say, and not what a person reads first.
    pub(crate) fn new(is_full: bool) -> Self {
        Self { text: String::new(), is_full }
    }

    /// Whether all is wanted that there is to say.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// A line.
    pub fn line(&mut self, text: impl Display) {
        self.text.push_str(&text.to_string());
        self.text.push('\n');
    }

    /// A line that begins with a coloured word for `mark`.
    pub fn marked(&mut self, mark: Mark, text: impl Display) {
        let style = mark.style();
        self.line(format!("{style}{}{style:#}  {text}", mark.word()));
    }

    /// A line in bold.
    pub fn heading(&mut self, text: impl Display) {
        let style = Style::new().bold();
        self.line(format!("{style}{text}{style:#}"));
    }

    /// A table; nothing when there are no rows. The first column, which names the rows, is never broken.
    pub fn table<const N: usize>(&mut self, header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
        let mut table = Table::new();
        table
            .load_style(comfy_table::presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(COLUMNS);
        table.set_header(header);
        for row in rows {
            table.add_row(row);
        }
        if let Some(names) = table.column_mut(0) {
            names.set_constraint(ColumnConstraint::ContentWidth);
        }
        if table.row_count() > 0 {
            self.line(table.trim_fmt());
        }
    }

    /// The text.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// Writes to standard output; colour is taken out where it is no terminal or NO_COLOR is set.
pub(crate) fn write_stdout(text: &str) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
