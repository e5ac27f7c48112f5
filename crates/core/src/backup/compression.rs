//! Compressed streams, told by their first bytes and read to their end with their checksums.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder;
use lzma_rust2::XzReader;
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
    /// xz.
    Xz,
    /// bzip2.
    Bzip2,
}

/// The suffixes of files that are compressed as a whole.
pub(super) const SUFFIXES: [&str; 6] = [".gz", ".zst", ".zstd", ".lz4", ".xz", ".bz2"];

impl Compression {
    /// What a file that begins with `head` is compressed with.
    pub(super) fn of(head: &[u8]) -> Self {
        match head {
            // pzstd writes the size of each frame into one before it that decoders skip.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, size @ ..] => {
                let size = size.first_chunk().map(|size| u32::from_le_bytes(*size));
                let next = size.and_then(|size| head.get(8 + usize::try_from(size).ok()?..));
                match next.map(Self::of) {
                    Some(Self::None) | None => Self::None,
                    Some(_) => Self::Zstd,
                }
            }
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Lz4,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // What follows is the first block's mark, or that of an end.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, ..] => Self::Bzip2,
            _ => Self::None,
        }
    }

    /// Reads what `source` holds decompressed. Each format's checksums are checked on the way, and an end that is
    /// missing is an error.
    pub(super) fn reader<'a>(self, source: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
        let source = BufReader::with_capacity(1 << 16, source);
        Ok(match self {
            Self::None => Box::new(source),
            Self::Gzip => Box::new(Gzip { member: Some(GzDecoder::new(source)) }),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(source)?),
            Self::Lz4 => Box::new(Lz4::new(source)),
            Self::Xz => Box::new(XzReader::new(source, true)),
            Self::Bzip2 => Box::new(MultiBzDecoder::new(source)),
        })
    }
}

/// Members of gzip one behind the other, and zeros behind the last: what was written to a device of blocks is filled up
/// with them, and gzip itself passes over them.
struct Gzip<R> {
    /// The one that is being read; none behind the last.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(mut source) = self.member.take().map(GzDecoder::into_inner) else { break };
            let mut is_padded = false;
            loop {
                let left = source.fill_buf()?;
                let zeros = left.iter().take_while(|byte| **byte == 0).count();
                if left.is_empty() {
                    break;
                }
                if zeros == 0 && is_padded {
                    return Err(io::Error::other("behind zeros there is more, which is no gzip"));
                }
                if zeros == 0 {
                    self.member = Some(GzDecoder::new(source));
                    break;
                }
                source.consume(zeros);
                is_padded = true;
            }
        }
        Ok(0)
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

    fn bzip2(text: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// What xz makes of `stock ` ten thousand times.
    fn xz() -> Vec<u8> {
        hex::decode(XZ).unwrap()
    }

    const XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a3e0ea5f00525d00399d0a21a9df7150a819ad9835cbba427a0b6dbb9dcd8f2fdea418fcc122c2795012d69184f40fe0a1110ed44462208d3dad88888faabd554878bff5ac25b522bb97f186d2658f024e7dbc7dc03a7080f90000000064cc9bc3821c500700016ee0d4030000bfed0f72b1c467fb020000000004595a";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_is_an_error() {
        let text: Vec<u8> =
            (0..200_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        for whole in [gzip(&text), zstd, lz4(&text, true), lz4(&text, false), bzip2(&text)] {
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
        let zstd = zstd::encode_all(&b"one"[..], 3).unwrap();
        for part in [gzip(b"one"), zstd, lz4(b"one", true), lz4(b"one", false), bzip2(b"one")] {
            assert_eq!(read(&part.repeat(2)).unwrap(), b"oneone");
        }
    }

    #[test]
    fn xz_is_read_as_its_own_program_reads_it() {
        let (whole, text) = (xz(), b"stock ".repeat(10_000));
        assert_eq!(read(&whole).unwrap(), text);
        for cut in 1..whole.len() - 6 {
            assert!(read(&whole[..whole.len() - cut]).is_err(), "less {cut} bytes");
        }
        // Streams one behind the other, with padding of four zeros between them and at the end.
        let padded = [&whole[..], &[0; 4], &whole, &[0; 8]].concat();
        assert_eq!(read(&padded).unwrap(), text.repeat(2));
        for at in 6..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            assert!(read(&flipped).is_err(), "byte {at}");
        }
        assert!(read(&[&whole[..], b"more"].concat()).is_err());
    }

    #[test]
    fn padding_behind_gzip_and_frames_to_skip_are_no_damage() {
        let padded = [gzip(b"one"), gzip(b"two"), vec![0; 70_000]].concat();
        assert_eq!(read(&padded).unwrap(), b"onetwo");
        assert!(read(&[padded, b"x".to_vec()].concat()).is_err());
        assert!(read(&[gzip(b"one"), b"x".to_vec()].concat()).is_err());
        let frame = zstd::encode_all(&b"one"[..], 3).unwrap();
        let size = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 20, 0, 0, 0].to_vec();
        assert_eq!(read(&[&size[..], &frame, &size, &frame].concat()).unwrap(), b"oneone");
        assert_eq!(Compression::of(&size), Compression::None);
    }

    #[test]
    fn a_flipped_bit_is_found_where_there_is_a_checksum() {
        let text = b"stock ".repeat(10_000);
        let mut zstd = zstd::Encoder::new(Vec::new(), 3).unwrap();
        zstd.include_checksum(true).unwrap();
        zstd.write_all(&text).unwrap();
        for mut whole in [gzip(&text), zstd.finish().unwrap(), lz4(&text, true), bzip2(&text)] {
            let middle = whole.len() / 2;
            whole[middle] ^= 0x10;
            assert!(read(&whole).is_err(), "{:?}", Compression::of(&whole));
        }
    }
}
