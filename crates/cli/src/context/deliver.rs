//! Where a report goes: standard output, or a file that is there whole or not at all.

use std::{
    fs::Permissions,
    io::{self, BufWriter, ErrorKind, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use serde::Serialize;
use stockfoil_core::report::{Outcome, Report, put_in_place};

use crate::{Format, RunError};

/// What writes a report.
pub(super) type Writing<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + 'a;

/// The report as JSON, written as it is made.
pub(super) fn write_json<R: Report>(report: &R, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Envelope<'a, R> {
        schema: &'static str,
        outcome: Outcome,
        #[serde(flatten)]
        report: &'a R,
    }
    let envelope = Envelope { schema: R::SCHEMA, outcome: report.outcome(), report };
    serde_json::to_writer_pretty(&mut *out, &envelope)?;
    out.write_all(b"\n")
}

/// Any value as JSON.
pub(super) fn pretty<T: Serialize>(value: &T) -> Result<String, RunError> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| RunError::Write { place: "JSON".into(), source: error.into() })
}

/// Writes to standard output; colour is taken out where it is no terminal or NO_COLOR is set.
pub(super) fn to_stdout(writing: &Writing<'_>) -> io::Result<()> {
    let mut out = BufWriter::new(anstream::stdout().lock());
    writing(&mut out)?;
    out.flush()
}

/// Writes beside `path` and renames, so that a reader finds the old file or the new one. Without colour.
pub(super) fn replace_file(path: &Path, writing: &Writing<'_>, format: Format) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    if format == Format::Prometheus {
        // A collector runs as another user. Other results are for whoever asked: they may hold a new key.
        builder.permissions(Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(super::folder(path))?;
    let mut out = BufWriter::new(anstream::StripStream::new(file.as_file_mut()));
    writing(&mut out)?;
    out.flush()?;
    drop(out);
    file.as_file().sync_all()?;
    put_in_place(file, path)
}

/// How writing to `place` went.
pub(super) fn written(place: String, result: io::Result<()>) -> Result<(), RunError> {
    match result {
        // The reader has what it wanted (`| head`).
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(RunError::Write { place, source }),
        Ok(()) => Ok(()),
    }
}
