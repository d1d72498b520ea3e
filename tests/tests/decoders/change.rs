//! Changes to inputs, the same in each run.

/// Numbers by chance, from a name on (splitmix64).
pub(crate) struct Chance(u64);

/// Bytes at which formats change their mind: the ends of ranges, and MessagePack's markers of long strings, lists and maps.
const TURNS: &[u8] = &[
    0, 1, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc4, 0xc6, 0xca, 0xcf, 0xd9, 0xdb,
    0xdc, 0xdd, 0xde, 0xdf, 0xff, b'{', b'}', b'[', b']', b'"', b':', b',', b'.', b'*', b'&', b'=',
    b'\n', b' ', b'-',
];
/// Beginnings that promise more than follows.
const PROMISES: &[&[u8]] = &[
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"18446744073709551615",
    b"-9223372036854775808",
    b"1e999",
    b"99999999999999999999999999",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91",
    b"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":",
    b"\xed\xa0\x80",
    b"\x28\xb5\x2f\xfd",
];

impl Chance {
    pub(crate) fn of(name: &str) -> Self {
        // FNV-1a, so that each target has changes of its own.
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).expect("small");
        usize::try_from(self.next() % end).expect("small")
    }

    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A piece of `bytes`.
    fn piece(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let begin = self.below(bytes.len() + 1);
        let length = 1 + self.below(32);
        begin..(begin + length).min(bytes.len())
    }

    /// Changes one thing.
    pub(crate) fn change(&mut self, input: &mut Vec<u8>, others: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        match self.below(9) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = TURNS[self.below(TURNS.len())],
            2 => input.insert(at, TURNS[self.below(TURNS.len())]),
            3 => {
                let promise = PROMISES[self.below(PROMISES.len())];
                input.splice(at..at, promise.iter().copied());
            }
            4 => {
                let piece = self.piece(input);
                input.drain(piece);
            }
            5 => {
                let piece = self.piece(input);
                let copy = input[piece].to_vec();
                input.splice(at..at, copy);
            }
            6 => {
                let other = &others[self.below(others.len())];
                let piece = self.piece(other);
                input.splice(at..at, other[piece].iter().copied());
            }
            7 => input.truncate(at),
            // A number becomes another one.
            _ => {
                let digits = input.iter().skip(at).position(u8::is_ascii_digit);
                if let Some(digit) = digits {
                    let big = [&b"4294967296"[..], b"18446744073709551616", b"-1", b"0"];
                    let new = big[self.below(big.len())];
                    input.splice(at + digit..=at + digit, new.iter().copied());
                }
            }
        }
    }
}
