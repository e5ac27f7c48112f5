//! Backups that `split` cut into parts: `stock.dump.aa`, `stock.dump.ab`, or `stock.dump.001` and so on.

use std::{
    collections::BTreeMap,
    fs::{self, File, FileTimes},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use crate::{
    backup::{Backup, Finding, Format, error_text, file_name, source::dump},
    progress::meter::Meter,
};

/// Suffixes of two or three letters that number nothing.
const NO_NUMBERS: [&str; 2] = ["gz", "xz"];

/// What a file of a source is.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::backup::source) enum Lot {
    /// A file or folder by itself.
    One(PathBuf),
    /// Files that are one when joined.
    Series(Series),
}

/// Files that are one when joined, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::backup::source) struct Series {
    /// What the joined one is called.
    name: String,
    /// By their numbers.
    parts: BTreeMap<u32, PathBuf>,
    /// The number of the first that there should be.
    first: u32,
}

/// A part's name, taken apart.
struct Named<'a> {
    /// What the joined one is called.
    stem: &'a str,
    /// Of which kind the numbers are: how many digits or letters.
    kind: (bool, usize),
    number: u32,
}

fn taken_apart(name: &str) -> Option<Named<'_>> {
    let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    let is_digits = digits > 0;
    let width =
        if is_digits { digits } else { name.bytes().rev().take_while(u8::is_ascii_lowercase).count() };
    let (stem, suffix) = name.split_at(name.len() - width);
    let number = match (is_digits, width) {
        (true, 2..=4) => suffix.parse().ok()?,
        (false, 2..=3) if !NO_NUMBERS.contains(&suffix) => {
            suffix.bytes().fold(0, |number, letter| number * 26 + u32::from(letter - b'a'))
        }
        _ => return None,
    };
    let stem = stem.strip_suffix("part").or_else(|| stem.strip_suffix("part-")).unwrap_or(stem);
    let stem = stem.strip_suffix(['.', '-', '_'])?;
    let stem = stem.strip_suffix(".part").unwrap_or(stem);
    dump::is_called_like_one(stem).then_some(Named { stem, kind: (is_digits, width), number })
}

/// Puts together what are parts of one file.
pub(in crate::backup::source) fn lots(paths: Vec<PathBuf>) -> Vec<Lot> {
    let mut lots = Vec::new();
    let mut series: BTreeMap<(PathBuf, (bool, usize)), BTreeMap<u32, PathBuf>> = BTreeMap::new();
    for path in paths {
        let name = file_name(&path);
        match taken_apart(&name).filter(|_| path.is_file()) {
            Some(Named { stem, kind, number }) => {
                series.entry((path.with_file_name(stem), kind)).or_default().insert(number, path);
            }
            None => lots.push(Lot::One(path)),
        }
    }
    for ((stem, (is_digits, _)), parts) in series {
        // `split` begins with 0 where it counts in digits, others with 1.
        let lowest = parts.keys().next().copied().unwrap_or_default();
        let first = if is_digits && lowest == 1 { 1 } else { 0 };
        let is_series =
            (lowest == first || parts.len() > 1) && !parts.values().skip(1).any(|part| is_whole(part));
        if is_series {
            lots.push(Lot::Series(Series { name: file_name(&stem), parts, first }));
        } else {
            lots.extend(parts.into_values().map(Lot::One));
        }
    }
    lots
}

/// Whether the file begins as a backup by itself does: copies that are rotated are numbered as well.
fn is_whole(path: &Path) -> bool {
    matches!(dump::inspect(path), Ok(Some(backup)) if backup.format.is_some())
}

impl Series {
    /// The part with which it begins.
    pub(in crate::backup::source) fn first(&self) -> &Path {
        self.parts.values().next().map_or(Path::new(""), PathBuf::as_path)
    }

    /// Looks at the parts; none where there are none.
    ///
    /// # Errors
    /// When one can't be read.
    pub(in crate::backup::source) fn inspect(&self) -> io::Result<Option<Backup>> {
        let Some((lowest, head)) = self.parts.first_key_value() else { return Ok(None) };
        let Some(mut backup) = dump::inspect(head)? else { return Ok(None) };
        let mut sizes = Vec::new();
        for part in self.parts.values() {
            let metadata = part.metadata()?;
            sizes.push(metadata.len());
            backup.modified_at = backup.modified_at.max(metadata.modified()?.into());
        }
        backup.size_bytes = sizes.iter().sum();
        backup.name.clone_from(&self.name);
        if backup.format.is_some() {
            // Where the first part ends, the backup does not.
            backup.findings.clear();
        }
        backup.format = Some(Format::Parts);
        if let Some(text) = self.fault(*lowest, &sizes) {
            backup.findings.insert(0, Finding::critical("format", text));
        }
        Ok(Some(backup))
    }

    /// What the names and sizes show of parts that are missing.
    fn fault(&self, lowest: u32, sizes: &[u64]) -> Option<String> {
        let name = |part: Option<&PathBuf>| part.map(|path| file_name(path)).unwrap_or_default();
        if lowest != self.first {
            return Some(format!(
                "lacks its first part: {} is the first that is there",
                name(self.parts.get(&lowest))
            ));
        }
        let gap = self.parts.keys().zip(self.first..).find(|(number, expected)| *number != expected);
        if let Some((number, _)) = gap {
            return Some(format!("lacks the part before {}", name(self.parts.get(number))));
        }
        let before_last = &sizes[..sizes.len().saturating_sub(1)];
        let whole = before_last.iter().copied().max().unwrap_or_default();
        let are_equal = before_last.iter().filter(|size| **size == whole).count() > 1;
        let short = sizes
            .iter()
            .position(|size| *size == 0)
            .or_else(|| before_last.iter().position(|size| *size < whole).filter(|_| are_equal));
        let short = short?;
        Some(format!("its part {} is cut off ({} bytes)", name(self.parts.values().nth(short)), sizes[short]))
    }
}

/// The series of which `path` is a part.
///
/// # Errors
/// When its folder can't be read.
pub(in crate::backup::source) fn around(path: &Path) -> io::Result<Option<Series>> {
    let name = file_name(path);
    let Some(own) = taken_apart(&name) else { return Ok(None) };
    let Some(folder) = path.parent() else { return Ok(None) };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = file_name(&path);
        let is_of_it = |other: Named<'_>| other.stem == own.stem && other.kind == own.kind;
        if taken_apart(&name).is_some_and(is_of_it) {
            paths.push(path);
        }
    }
    Ok(lots(paths).into_iter().find_map(|lot| match lot {
        Lot::Series(series) => Some(series),
        Lot::One(_) => None,
    }))
}

/// Joins the parts around `path` to a file below `folder`.
pub(super) fn join(
    path: &Path,
    folder: &Path,
    modified_at: DateTime<Utc>,
    meter: &Arc<Meter>,
) -> Result<PathBuf, Finding> {
    let unread =
        |error: io::Error| Finding::critical("read", format!("can't be joined: {}", error_text(&error)));
    let unwritten = |error: io::Error| Finding::unknown("drill", format!("can't be joined: {error}"));
    let series = around(path).map_err(unread)?;
    let series = series.ok_or_else(|| Finding::unknown("read", "its parts are gone"))?;
    let to = folder.join(&series.name);
    let mut file = File::create(&to).map_err(unwritten)?;
    for part in series.parts.values() {
        let mut source = meter.read(File::open(part).map_err(unread)?);
        io::copy(&mut source, &mut file).map_err(unwritten)?;
    }
    file.set_times(FileTimes::new().set_modified(modified_at.into())).map_err(unwritten)?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(name: &str) -> Option<(&str, u32)> {
        taken_apart(name).map(|named| (named.stem, named.number))
    }

    #[test]
    fn parts_are_told_by_their_names() {
        assert_eq!(number("stock.dump.aa"), Some(("stock.dump", 0)));
        assert_eq!(number("stock.dump.ba"), Some(("stock.dump", 26)));
        assert_eq!(number("stock.sql.gz-00"), Some(("stock.sql.gz", 0)));
        assert_eq!(number("stock.dump.gpg.001"), Some(("stock.dump.gpg", 1)));
        assert_eq!(number("stock.dump.part-ab"), Some(("stock.dump", 1)));
        assert_eq!(number("stock.dump.part01"), Some(("stock.dump", 1)));
        for name in
            ["stock.sql.gz", "stock.dump", "stock-2026-01-31.dump", "stock.dump.1", "notes.aa", "stock.sql"]
        {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
