//! Which flags go together.

use crate::Args;

impl Args {
    fn restores(&self) -> bool {
        self.restore || self.depth == Some(stockfoil_core::backup::Depth::Restore)
    }

    /// Refuses flags that exclude each other.
    pub(crate) fn check(&self) -> Result<(), cli::RunError> {
        let is_deeper = self.depth.is_some_and(|depth| depth != stockfoil_core::backup::Depth::Restore);
        let looks = self.seal || self.restore || self.depth.is_some() || self.file.is_some();
        let rules = [
            (
                self.source.is_some() && self.file.is_some(),
                "--source and --file exclude each other; give one",
            ),
            (
                self.seal && (self.restore || self.depth.is_some()),
                "--seal looks no deeper than it must; leave out --restore and --depth",
            ),
            (self.restore && is_deeper, "--restore is --depth restore; give one of them"),
            (
                self.history && looks,
                "--history looks at no backup; leave out --seal, --restore, --depth and --file",
            ),
            (
                self.preflight && looks,
                "--preflight reads no backup; leave out --seal, --restore, --depth and --file",
            ),
            (self.keep.is_some() && !self.restores(), "--keep keeps what --restore restores; give both"),
            (self.history && self.preflight, "--history and --preflight exclude each other; give one"),
            (self.to.is_some() && !self.preflight, "--to is the moment of a --preflight; give both"),
        ];
        match rules.iter().find(|(is_broken, _)| *is_broken) {
            Some((_, text)) => Err(cli::RunError::Usage((*text).into())),
            None => Ok(()),
        }
    }
}
