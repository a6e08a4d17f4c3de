"""Files as disks, networks and people damage them, from a fixed seed."""

import random
from typing import Iterator

ODD_WORDS = (
    b"NaN -inf 1e400 -0 1e-320 99999999999999999999 0x1f true null ~ [] {} \"\" '' ' \" , ;; \t\t "
    b"\0 \xff\xfe \xef\xbb\xbf \xe2\x80\xa8 ../../x !!int 2024-13-45 *a &a "
    b"!!python/object:os.system !!bool !!timestamp [[[[ }}}} 1,5 1_0 %s {0} \\u0000 <<: ? | > @ ` :"
).split(b" ")


def damaged(content: bytes, count: int, seed: int, words: bool = False) -> Iterator[bytes]:
    """``count`` variants: cut off, with flipped bits, lost, doubled or zeroed parts, other bytes
    behind the end; with ``words`` also odd values in the place of words. First the empty file."""
    rng = random.Random(seed)
    acts = [_cut, _flip, _lose, _double, _zero, _add] + 4 * [_odd_word] * words
    yield b""
    for i in range(count - 1):
        yield acts[i % len(acts)](content, rng)


def _span(content, rng):
    begin = rng.randrange(len(content))
    return begin, min(len(content), begin + rng.choice((1, 2, 5, 50, 500)))


def _cut(content, rng):
    return content[: rng.randrange(len(content))]


def _flip(content, rng):
    data = bytearray(content)
    # heads of files hold more that can go wrong than what comes after
    for _ in range(rng.choice((1, 3, 30))):
        data[rng.randrange(min(len(data), rng.choice((64, 1024, len(data)))))] ^= (
            1 << rng.randrange(8)
        )
    return bytes(data)


def _lose(content, rng):
    begin, end = _span(content, rng)
    return content[:begin] + content[end:]


def _double(content, rng):
    begin, end = _span(content, rng)
    return content[:end] + content[begin:]


def _zero(content, rng):
    begin, end = _span(content, rng)
    return content[:begin] + bytes(end - begin) + content[end:]


def _add(content, rng):
    return content + rng.randbytes(rng.choice((1, 20, 2000)))


def _odd_word(content, rng):
    """One word, or what stands between two separators, becomes another."""
    places = [-1, *(i for i, byte in enumerate(content) if chr(byte) in " ,:\n\t[{")]
    begin = rng.choice(places) + 1
    end = next((i for i in places if i > begin), len(content))
    return content[:begin] + rng.choice(ODD_WORDS) + content[end:]
