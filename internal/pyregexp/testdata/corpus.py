"""Writes what Python's re.fullmatch answers for generated expressions, one JSON line each:

    python3.11 testdata/corpus.py 6000 1 | gzip -9n > testdata/python311.jsonl.gz    # count, seed

{"p": expression, "t": [texts], "m": "10.."}: for each text 1 or 0; "m" is "error" if re refuses the expression. What takes re
more than a second is left out.
"""
import json
import random
import re
import signal
import sys
import warnings

warnings.simplefilter("ignore")

ATOMS = [
    "a", "b", "c", "d", "_", "1", "2", "-", " ", "é", "É", "ß", "ẞ", "ſ", "s", "S", "k", "K", "\u212a", "İ", "ı", "i", "I",
    "特", "٣", "²", "Ⅷ", "σ", "ς", "Σ", "µ", "μ", "ﬆ", "ﬅ", "\U0001f600", "\U00010400", "\U00010428", "\n", "\t", "\x1c",
    "\u00a0", "\u0301", ".", "\\.", "\\d", "\\D", "\\w", "\\W", "\\s", "\\S", "\\n", "\\t", "\\x61", "\\u0062", "\\U00000063",
    "\\0", "\\141", "\\07", "\\-", "\\_", "\\ ", "\\N{LATIN SMALL LETTER A}", "\\N{latin small letter e with acute}", "#", "{",
    "}", "]", "{2", "{,", "a{,}", "&", "~", "\\/", "\\\\", "\\a", "\\f", "\\v", "\\r", "\\é",
]
ANCHORS = ["^", "$", "\\A", "\\Z", "\\b", "\\B"]
CLASSES = [
    "[abc]", "[^abc]", "[a-d]", "[^a-d]", "[\\w-]", "[^\\W\\d_]", "[]a]", "[^]a]", "[a\\]b]", "[[:alpha:]]", "[a-c&&[b]]", "[\\b]",
    "[a-]", "[-a]", "[\\d\\s]", "[\\x61-\\x63]", "[é-ü]", "[A-Z]", "[A-z]", "[\u0130\u0131]", "[^s]", "[^k]", "[\\S]", "[\\D\\s]",
    "[a\\-d]", "[--a]", "[~||]", "[#]", "[ ]", "[\\n]", "[Ͱ-Ͽ]", "[\\N{LATIN SMALL LETTER A}]", "[\\0-\\x20]", "[\U00010400-\U00010427]",
    "[\U0001f600a]", "[^\U0001f600]", "[特征]", "[^\\w]", "[\\7]", "[$^]", "[.]",
]
QUANTIFIERS = [
    "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}", "{,2}", "{1,}", "{2,3}?", "{0}", "{,}", "*+", "++", "?+", "{1,2}+", "{2}+",
]
BAD = [
    "\\", "[", "(", ")", "*", "\\z", "\\h", "\\p", "\\pL", "\\x{41}", "\\Q", "\\R", "\\e", "\\8", "\\400", "\\x1", "\\u12", "[b-a]",
    "[\\d-z]", "[a-\\w]", "(?U)", "(?<n>a)", "(?P<1>a)", "(?P<>a)", "(?P=q)", "(?", "(?P", "(?P<a", "(?i", "(?i-", "(?-i)", "(?ai-i:a)",
    "(?au:a)", "(?i-i:a)", "(?L:a)", "(?-a:b)", "\\1", "\\2", "(?(1)a)", "(?(9)a|b)", "(?#", "[z", "[^", "\\N{NO SUCH}", "\\N", "a**",
    "a{2}{3}", "a{3,2}", "(?<=a*)", "(?<=a|bc)", "(?x", "\\U00110000", "[\\U00110000]", "[\\8]", "[\\400]", "[\\z]", "[\\A]", "(?:",
    "x(?i)y", "(?i)", "^*", "(?|a)", "(?R)", "(?&a)", "(?'a'b)", "(?P>a)", "\\G", "\\K", "\\X", "\\C", "\\c", "{2}",
]
GLOBALS = ["(?i)", "(?s)", "(?m)", "(?x)", "(?a)", "(?ai)", "(?u)", "(?im)", "(?isx)", "(?i)(?a)", "(?a)(?u)", "(?#c)(?i)", " (?i)"]
SCOPES = ["i", "s", "m", "x", "a", "u", "ai", "-i", "s-i", "im-sx", "-x", "ix", "u-i", "a-s"]


class Maker:
    def __init__(self, random):
        self.random, self.groups, self.names = random, 0, 0

    def atom(self, depth):
        r = self.random
        k = r.random()
        if k < 0.012:
            return r.choice(BAD)
        if depth <= 0 or k < 0.5:
            return r.choice(ATOMS) if r.random() < 0.45 else r.choice("abc")
        if k < 0.58:
            return r.choice(ANCHORS)
        if k < 0.68:
            return r.choice(CLASSES) if r.random() < 0.8 else self.set()
        inner = self.alternatives(depth - 1)
        if k < 0.77:
            return f"(?:{inner})"
        if k < 0.82:
            self.groups += 1
            return f"({inner})"
        if k < 0.84:
            self.names += 1
            return f"(?P<n{self.names}>{inner})"
        if k < 0.88:
            return r.choice(["(?=%s)", "(?!%s)", "(?<=%s)", "(?<!%s)"]) % inner
        if k < 0.89:
            return r.choice(["(?<=%s)", "(?<!%s)"]) % r.choice(["a", "ab", "[ab]c", "a|b", "\\w", "(?=a)b", "\\bb", "(?>ab)", "a{2}"])
        if k < 0.92:
            return f"(?>{inner})"
        if k < 0.95:
            return f"(?{r.choice(SCOPES)}:{inner})"
        if k < 0.975:
            if r.random() < 0.3 and self.names:
                return f"(?P=n{r.randint(1, self.names)})"
            return f"\\{r.randint(1, max(1, self.groups))}"
        if k < 0.985:
            return f"(?({r.randint(1, max(1, self.groups))}){r.choice('abc')}|{self.sequence(depth - 1)})"
        return r.choice(["(?#c)", "a # b\n", "(?:)", "()", "(|a)", "(?:|a)"])

    def set(self):
        r = self.random
        return "[" + r.choice(["", "^"]) + "".join(
            r.choice(["a", "é", "-", "\\w", "\\D", "]", "^", "a-c", "A-Z", "[", "&&", "s", "K", "\\-", "à-þ", "\\s", "\\u0100-\\u0180"])
            for _ in range(r.randint(1, 4))) + "]"

    def sequence(self, depth):
        r = self.random
        out = []
        for _ in range(r.choice([0, 1, 1, 2, 2, 3, 4])):
            a = self.atom(depth)
            if r.random() < 0.3:
                a += r.choice(QUANTIFIERS)
            out.append(a)
        return "".join(out)

    def alternatives(self, depth):
        return "|".join(self.sequence(depth) for _ in range(self.random.choice([1, 1, 1, 1, 2, 3])))

    def expression(self):
        prefix = self.random.choice(GLOBALS) if self.random.random() < 0.25 else ""
        return prefix + self.alternatives(self.random.choice([0, 1, 2, 3]))

    def text(self, expression):
        r = self.random
        if r.random() < 0.5:  # a part of the expression itself, in its order
            branch = r.choice(expression.split("|"))
            return "".join(c * r.choice([0, 1, 1, 1, 1, 2]) for c in branch if c not in "()[]{}?*+\\^$.:<>=!,")
        pool = [c for c in expression if c not in "()[]{}?*+|\\^$.:<>=!"] + list("abc")
        if r.random() < 0.3:
            pool += ["\n", "A", "É", "é", "1", "٣", "_", " ", "S", "ſ", "K", "\u212a", "ẞ", "i", "İ", "\U00010428", "\U00010400"]
        return "".join(r.choice(pool) for _ in range(r.choice([0, 1, 1, 2, 2, 3, 3, 4, 5, 6])))


def stop(*_):
    raise TimeoutError


def main(count, seed):
    signal.signal(signal.SIGALRM, stop)
    r = random.Random(seed)
    for _ in range(count):
        maker = Maker(r)
        expression = maker.expression()
        try:
            compiled = re.compile(expression)
        except (re.error, OverflowError, ValueError):
            print(json.dumps({"p": expression, "t": [], "m": "error"}))
            continue
        texts = sorted({maker.text(expression) for _ in range(14)})
        try:
            signal.alarm(1)
            answers = "".join("1" if compiled.fullmatch(t) else "0" for t in texts)
        except TimeoutError:
            continue
        finally:
            signal.alarm(0)
        print(json.dumps({"p": expression, "t": texts, "m": answers}))


main(int(sys.argv[1]), int(sys.argv[2]))
