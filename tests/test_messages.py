"""Errors and warnings of the programs are one plain line each, which names what it is about."""

import ast
import re
from pathlib import Path
from typing import List, NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [
    *ROOT.glob("sot/**/*.py"),
    *ROOT.glob("tools/**/*.py"),
    *ROOT.glob("demo/*.py"),
    ROOT / "train_net.py",
]
SAID_BY = re.compile(r"\w*(Error|Exit)|error|warning|warn|exit")  # calls that a message goes to
# a value, an option, a package, a config key, a name in quotes, or a name of the code
THING = re.compile(r"\{|--?\w|pip install|[A-Z_]{3,}\.?[A-Z_]*|'[^']+'|`|\w+[._(]\w")
MULTILINE = {  # these end with a list, on lines of their own
    "dataset {name}: {e}{hint}\n{expected}",
    "nothing in it fits this backbone:\n{result.report()}",
}
NOT_PLAIN = {
    r"\bdata sets?\b": "dataset",
    r"\b(is|are) no [A-Z{]": "is not a ...",
    r"\bnot there\b": "does not exist",
    r"\bhas not\b": "does not have",
    r"\bas of\b": "like, from",
    r"\bof now\b": "current",
    r"!": ".",
    r"\b(we|our|us)\b": "the subject",
    r"\binvalid\b": "what is wrong with it",
    r"\bdict\b": "the file's content",
}
# said where the reader has just done what the message is about, or after the name of the file
SAID_IN_PLACE = {
    "a calibration needs frames with right and with wrong boxes",
    "choose a video first",
    "draw a box first: click two opposite corners of the target",
    "images and annotations must be lists",  # of a file that is named before it
    "has no box to start from",
    "no box was drawn",
    "no file has such a name",
    "stopped before there were results",
    "the marks must have a start in frame 0 and one after each failure",
}


class Message(NamedTuple):
    place: str
    call: str
    text: str  # values as {expression}


def text_of(node) -> str:
    """The string that an expression makes; "" if it is not made of strings."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [
            part.value if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
            for part in node.values
        ]
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = text_of(node.left), text_of(node.right)
        if left or right:
            return (left or f"{{{ast.unparse(node.left)}}}") + (
                right or f"{{{ast.unparse(node.right)}}}"
            )
    return ""


def texts_of(node, function) -> List[str]:
    """The strings that `node` can be: also those that `function` assigns to its name."""
    if isinstance(node, ast.IfExp):
        return texts_of(node.body, function) + texts_of(node.orelse, function)
    if isinstance(node, ast.Name):
        values = [
            statement.value
            for statement in ast.walk(function)
            if isinstance(statement, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == node.id for t in statement.targets)
        ]
        return [text for v in values if not isinstance(v, ast.Name) for text in texts_of(v, None)]
    return [text_of(node)] if text_of(node) else []


def messages() -> List[Message]:
    found = []
    for path in SOURCES:
        place = path.relative_to(ROOT).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.Lambda))]
        calls = {}  # each with its innermost function, which comes last
        for function in [tree, *functions]:
            calls.update({n: function for n in ast.walk(function) if isinstance(n, ast.Call)})
        for node, function in calls.items():
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if SAID_BY.fullmatch(name) and not name.startswith("is"):
                texts = [text for arg in node.args for text in texts_of(arg, function)]
                found += [Message(f"{place}:{node.lineno}", name, text) for text in texts]
    return found


MESSAGES = messages()


def said(rule) -> List[str]:
    """The messages for which `rule` is true, as "PLACE: TEXT"."""
    return [f"{message.place}: {message.text}" for message in MESSAGES if rule(message)]


def test_the_messages_are_found():
    texts = {message.text for message in MESSAGES}
    assert len(texts) > 300
    assert "--eval-only needs test sets: set DATASETS.TEST" in texts  # raise
    assert "--end {args.end} comes before --start {args.start}" in texts  # parser.error
    assert "{frame.name} skipped: {frame.error}" in texts  # logger.warning


def test_a_message_is_one_line_without_a_full_stop():
    assert said(lambda m: "\n" in m.text.strip() and m.text not in MULTILINE) == []
    assert said(lambda m: re.search(r"[^.]\.$|[\s,;:]$", m.text.rstrip("\n"))) == []


def test_a_message_begins_with_a_name_or_in_lower_case():
    """It stands after "error:" or after a time and a module."""
    name = r"[A-Z][A-Z_0-9]*\b|\w*[a-z]\w*[A-Z]|[A-Z][A-Za-z]*[A-Z]"
    assert said(lambda m: m.text[0].isupper() and not re.match(name, m.text)) == []


@pytest.mark.parametrize("pattern", NOT_PLAIN)
def test_words(pattern):
    assert said(lambda m: re.search(pattern, re.sub(r"\{.*?\}", "{}", m.text))) == []


def test_no_message_names_a_class_that_no_config_and_no_document_names():
    classes = {
        node.name
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    public = [*ROOT.glob("configs/**/*.yaml"), *ROOT.glob("docs/*.md"), ROOT / "README.md"]
    known = set(re.findall(r"\w+", " ".join(p.read_text(encoding="utf-8") for p in public)))
    inner = classes - known
    words = [set(re.findall(r"\w+", re.sub(r"\{.*?\}", "", m.text))) for m in MESSAGES]
    assert [m.text for m, found in zip(MESSAGES, words) if found & inner] == []


def test_an_error_names_what_it_is_about():
    """A value, an option, a config key or a file."""
    nameless = said(lambda m: not THING.search(m.text) and m.text not in SAID_IN_PLACE)
    assert nameless == []
