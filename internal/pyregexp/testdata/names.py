"""Writes names.txt, the names of characters that \\N{...} may use: python3 testdata/names.py > names.txt"""
import unicodedata

for lo, hi in ((0x20, 0x24F), (0x370, 0x4FF), (0x2010, 0x205E)):
    for c in range(lo, hi + 1):
        name = unicodedata.name(chr(c), None)
        if name:
            print(f"{c:x} {name}")
