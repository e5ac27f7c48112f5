//! Compressed streams, told by their first bytes and read to their end with their checksums.

use std::io::{self, BufRead, BufReader, Read};

use lz4_flex::frame::FrameDecoder;
use serde::Serialize;

/// How a file is compressed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// LZ4 frames.
    Lz4,
}

impl Compression {
    /// What a file that begins with `head` is compressed with.
    pub(super) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Lz4,
            _ => Self::None,
        }
    }

    /// Reads what `source` holds decompressed. Each format's checksums are checked on the way, and an end that is
    /// missing is an error.
    pub(super) fn reader<'a>(self, source: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
        let source = BufReader::with_capacity(1 << 16, source);
        Ok(match self {
            Self::None => Box::new(source),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(source)?),
            Self::Lz4 => Box::new(Lz4::new(source)),
        })
    }
}

/// LZ4 frames up to the end of the input. The library stops after each frame, and takes an input that ends between
/// two blocks for one that is whole; the end mark is therefore looked for here.
struct Lz4<R: BufRead> {
    decoder: FrameDecoder<Tail<R>>,
}

/// Remembers the last bytes that were read.
struct Tail<R> {
    source: R,
    last: [u8; 8],
    content_checksum: Option<bool>,
}

impl<R: BufRead> Lz4<R> {
    fn new(source: R) -> Self {
        Self { decoder: FrameDecoder::new(Tail { source, last: [0xff; 8], content_checksum: None }) }
    }
}

impl<R: BufRead> Read for Lz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.decoder.read(buffer)?;
            let tail = self.decoder.get_mut();
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            if tail.source.fill_buf()?.is_empty() {
                let mark =
                    if tail.content_checksum == Some(true) { &tail.last[..4] } else { &tail.last[4..] };
                return if mark == [0; 4] { Ok(0) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }
}

impl<R: BufRead> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.content_checksum.is_none() {
            // Behind the magic number, bit 2 of the first byte says whether a checksum follows the end mark.
            self.content_checksum = self.source.fill_buf()?.get(4).map(|flags| flags & 4 != 0);
        }
        let read = self.source.read(buffer)?;
        let (kept, new) = (self.last, &buffer[..read]);
        let all = [&kept[..], &new[read.saturating_sub(8)..]].concat();
        self.last.copy_from_slice(&all[all.len() - 8..]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Compression::of(bytes).reader(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn lz4(text: &[u8], checksum: bool) -> Vec<u8> {
        let info = lz4_flex::frame::FrameInfo::new().content_checksum(checksum);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_is_an_error() {
        let text: Vec<u8> =
            (0..200_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for whole in
            [gzip(&text), zstd::encode_all(&text[..], 3).unwrap(), lz4(&text, true), lz4(&text, false)]
        {
            assert_eq!(read(&whole).unwrap(), text);
            for cut in [1, 4, 5, 9, 1_000, whole.len() / 2, whole.len() - 8] {
                assert!(
                    read(&whole[..whole.len() - cut]).is_err(),
                    "{:?} less {cut} bytes",
                    Compression::of(&whole)
                );
            }
        }
    }

    #[test]
    fn streams_one_behind_the_other_are_read_to_the_last() {
        for part in
            [gzip(b"one"), zstd::encode_all(&b"one"[..], 3).unwrap(), lz4(b"one", true), lz4(b"one", false)]
        {
            assert_eq!(read(&part.repeat(2)).unwrap(), b"oneone");
        }
    }

    #[test]
    fn a_flipped_bit_is_found_where_there_is_a_checksum() {
        let text = b"stock ".repeat(10_000);
        let mut zstd = zstd::Encoder::new(Vec::new(), 3).unwrap();
        zstd.include_checksum(true).unwrap();
        zstd.write_all(&text).unwrap();
        for mut whole in [gzip(&text), zstd.finish().unwrap(), lz4(&text, true)] {
            let middle = whole.len() / 2;
            whole[middle] ^= 0x10;
            assert!(read(&whole).is_err(), "{:?}", Compression::of(&whole));
        }
    }
}
