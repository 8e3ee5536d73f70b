"""Writes which characters of the Basic Multilingual Plane and of some planes beyond one-character expressions match:

    python3.11 testdata/alphabet.py | gzip -9n > testdata/alphabet311.json.gz

{expression: [first, last, first, last, ...]}, over the characters that are assigned in Unicode 14 ("assigned").
"""
import json
import re
import unicodedata
import warnings

warnings.simplefilter("ignore")

ASSIGNED = [c for c in (*range(0xD800), *range(0xE000, 0x1F700), *range(0x20000, 0x20100), 0x10FFFF)
            if unicodedata.category(chr(c)) != "Cn"]


def ranges(members):
    out = []
    for c in members:
        if out and out[-1] == c - 1:
            out[-1] = c
        else:
            out += [c, c]
    return out


def main():
    expressions = [r"\w", r"\d", r"\s", r"\W", r"\D", r"\S", r".", r"(?a)\w", r"(?i)\w", r"(?i)[\W]", r"(?i)[^\w]", r"(?ai)[a-z]",
                   r"(?i)[a-z]", r"(?i)[A-Z]", r"(?i)[^a-z]", r"(?i)[à-þ]", r"(?i)[\u0370-\u03ff]", r"(?i)[^\u0370-\u03ff]",
                   r"(?i)[\u1e00-\u1fff]", r"(?i)[\u0400-\u04ffx]", r"(?i)[\s\u2000-\u2fff]", r"(?i)[\ufb00-\ufb06]", r".\B", r".\b",
                   r"(?i)[\u1c80-\u1cbf]", r"(?i)[\ua640-\ua69f]", r"(?i)[\u10a0-\u10ff]", r"(?i)[\uab70-\uabbf]"]
    cased = sorted({x for c in ASSIGNED for x in (chr(c), chr(c).lower(), chr(c).upper()) if len(x) == 1
                    and (chr(c).lower() != chr(c) or chr(c).upper() != chr(c))})
    expressions += ["(?i)" + c for c in cased] + ["(?i)[^" + c + "]" for c in "skiSKIßẞİıµσ"]
    text = [chr(c) for c in ASSIGNED]
    answers = {"assigned": ranges(ASSIGNED)}
    joined = "\n".join(t for t in text if t != "\n")
    for e in expressions:
        if e.startswith("(?i)") and len(e) == 5:  # most characters match nothing but themselves
            found = sorted({ord(m) for m in re.findall(e, joined)})
        else:
            compiled = re.compile(e)
            found = [ord(t) for t in text if compiled.fullmatch(t)]
        answers[e] = ranges(found)
    print(json.dumps(answers))


main()
