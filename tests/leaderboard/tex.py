"""What TeX would make of a table, as far as ours go: text as it is printed, and the structure that it would refuse."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

TOKEN = re.compile(r"\\char34|\\[A-Za-z]+(?:\{\})?|\\.|\$[^$]*\$|.", re.DOTALL)
WORDS = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">"}
WORDS |= {"textbar": "|", "dots": "…", "ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "par": "\n"}
WORDS |= {"o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "i": "ı", "j": "ȷ", "textbf": "", "textsuperscript": "^"}
MATH = {r"$\pm$": "±", "$-$": "−", r"$\times$": "×", r"$\leq$": "≤", r"$\geq$": "≥", r"$\neq$": "≠"}
ACCENTS = {"`": "̀", "'": "́", "^": "̂", "~": "̃", '"': "̈"}
ACCENTS |= {"=": "̄", "u": "̆", ".": "̇", "r": "̊", "H": "̋", "v": "̌", "c": "̧"}
LIGATURES = {"---": "—", "--": "–", "``": "“", "''": "”", ",,": "„", "?`": "¿", "!`": "¡", "`": "‘", "'": "’"}


def printed(tex: str) -> str:
    """The text that TeX prints for it; AssertionError for what it would obey, or cannot read with any font encoding."""
    text, depth, accent = "", 0, ""
    for token in TOKEN.findall(tex):
        word = token[1:].removesuffix("{}") if token[0] == "\\" else ""
        if token == "{":
            depth += 1
            text += "\0"  # a group ends what could be a ligature
        elif token == "}":
            depth -= 1
            assert depth >= 0, f"a brace too many: {tex}"
            text += "\0"
        elif token == r"\char34":
            text += '"'
        elif token[0] == "$":
            text += MATH[token]
        elif word in ACCENTS:
            accent = ACCENTS[word]
        elif word in WORDS:
            found = WORDS[word]
            text += {"ı": "i", "ȷ": "j"}[found] + accent if accent and found in "ıȷ" else f"\0{found}\0"
            accent = "" if found in "ıȷ" else accent
        elif word:
            assert word in "#$%&_{}", f"unknown order {token}: {tex}"
            text += word
        else:
            assert " " <= token <= "~", f"no ASCII: {tex}"
            assert token not in '#%&_^~<>|"', f"active {token}: {tex}"
            text, accent = text + token + accent, ""
    assert depth == 0, f"a brace too few: {tex}"
    for letters, sign in LIGATURES.items():
        text = text.replace(letters, sign)
    return unicodedata.normalize("NFC", text.replace("\0", ""))


@dataclass
class Cell:
    """text without its marks; columns: how many it spans."""

    text: str
    marks: tuple[str, ...]
    bold: bool
    columns: int


@dataclass
class Tex:
    """One table as it would be printed. `lines`: those of its body, names first; a rule between body and foot."""

    caption: str
    label: str
    heads: list[tuple[str, str]] = field(default_factory=list)  # (task, head below it) of each column
    lines: list[list[Cell]] = field(default_factory=list)
    rules: int = 0  # between lines
    notes: dict[str, str] = field(default_factory=dict)  # mark -> text
    texts: list[str] = field(default_factory=list)  # the other notes

    def cell(self, method: str, task: str, head: str = "") -> Cell:
        """The cell of a method; without `head` the one that spans the task's columns."""
        (line,) = [line for line in self.lines if line[0].text == method]
        place, found = 0, []
        for each in line[1:]:
            if self.heads[place][0] == task and (head == "" or self.heads[place][1] == head):
                found.append(each)
            place += each.columns
        return found[0]

    def column(self, task: str, head: str) -> dict[str, Cell]:
        """Method -> cell, of the lines above the foot."""
        wide = [line for line in self.lines if len(line) == 1 + len(self.heads)]
        return {line[0].text: line[1 + self.heads.index((task, head))] for line in wide}


def group(tex: str, start: str) -> str:
    """What stands in the braces behind `start`, which is there once."""
    assert tex.count(start) == 1, start
    depth, begin = 1, tex.index(start) + len(start)
    for place in range(begin, len(tex)):
        if tex[place] in "{}" and tex[place - 1] != "\\":
            depth += 1 if tex[place] == "{" else -1
        if depth == 0:
            return tex[begin:place]
    raise AssertionError(f"{start} is not closed")


def _cells(line: str, n: int) -> list[Cell]:
    """Of a line of a tabular with n columns."""
    assert line.endswith(r" \\"), line
    assert not line.startswith(("[", "*")), f"an option of the end of the line before: {line}"
    found = []
    for each in re.split(r"(?<!\\)&", line.removesuffix(r"\\")):
        spans = re.fullmatch(r"\\multicolumn\{(\d+)\}\{c\}\{(.*)\}", each.strip())
        inner = spans[2] if spans else each.strip()
        bold = r"\textbf{" in inner
        marks = re.search(r"\\textsuperscript\{([a-z,]+)\}$", inner)
        text = inner[: marks.start()] if marks else inner
        found.append(
            Cell(printed(text), tuple(marks[1].split(",")) if marks else (), bold, int(spans[1] if spans else 1))
        )
    assert sum(each.columns for each in found) == n, f"{n} columns: {line}"
    return found


def _environments(tex: str) -> None:
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", tex):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name, f"{name} ends another one"
    assert not opened


def parse(file: str) -> list[Tex]:
    """The tables of a file, each checked: environments, braces, columns, rules under heads, marks and their notes."""
    lines = [line for line in file.split("\n") if not line.startswith("%")]
    tex = "\n".join(lines)
    assert tex.isascii()
    _environments(tex)
    tables = [_table(body) for body in re.findall(r"\\begin\{table\}\n(.*?)\\end\{table\}", tex, re.DOTALL)]
    assert not re.sub(r"\\begin\{table\}\n.*?\\end\{table\}", "", tex, flags=re.DOTALL).strip(), (
        "text beside the tables"
    )
    labels = [table.label for table in tables]
    assert len(set(labels)) == len(labels)
    return tables


def _table(tex: str) -> Tex:
    label = re.findall(r"^\\label\{([a-z0-9:-]+)\}$", tex, re.MULTILINE)
    found = Tex(printed(group(tex, r"\caption{")), *label)
    spec, body = re.findall(r"\\begin\{tabular\}\{(lc*)\}\n(.*)\n\\end\{tabular\}", tex, re.DOTALL)[0]
    n = len(spec)
    top, tasks, rules, dpcs, middle, *lines, bottom = body.split("\n")
    assert (top, middle, bottom) == (r"\toprule", r"\midrule", r"\bottomrule")
    wide = [cell.text for cell in _cells(tasks, n) for _ in range(cell.columns)][1:]
    found.heads = list(zip(wide, [cell.text for cell in _cells(dpcs, n)][1:], strict=True))
    spans = [cell.columns for cell in _cells(tasks, n)][1:]
    ends = [1 + sum(spans[: place + 1]) for place in range(len(spans))]
    expected = [rf"\cmidrule(lr){{{end - span + 1}-{end}}}" for end, span in zip(ends, spans, strict=True)]
    assert rules.split(" ") == expected
    for line in lines:
        if line == r"\midrule":
            found.rules += 1
        else:
            found.lines.append(_cells(line, n))
    notes = re.findall(
        r"\\begin\{minipage\}\{\\linewidth\}\\footnotesize\\raggedright\n(.*)\n\\end\{minipage\}", tex, re.DOTALL
    )
    for note in notes[0].split("\n"):
        assert note.endswith(r"\par")
        mark = re.match(r"\\textsuperscript\{([a-z]+)\} ", note)
        text = printed(note[mark.end() if mark else 0 :].removesuffix(r"\par"))
        if mark:
            assert mark[1] not in found.notes
            found.notes[mark[1]] = text
        else:
            found.texts.append(text)
    used = {mark for line in found.lines for cell in line for mark in cell.marks}
    assert used == set(found.notes), "each mark has its note, and each note a mark"
    return found
