#!/usr/bin/env python3
"""Write docs/config_keys.md and docs/protocols.md from the code that they describe.

python docs/make_pages.py
"""

import ast
import re
import textwrap
from pathlib import Path

from sot.evaluation.protocols import PROTOCOLS
from sot.utils.files import write_text

ROOT = Path(__file__).resolve().parent.parent
KEYS = ROOT / "sot" / "config" / "keys.py"
MADE = "<!-- python docs/make_pages.py writes this page -->"


def config_keys(source: str) -> str:
    """The page of the config keys from the source of ``add_sot_config``: each group of assignments
    under the comment that stands above it."""
    tree = ast.parse(source)
    (function,) = [n for n in tree.body if getattr(n, "name", "") == "add_sot_config"]
    page = f"""# Config keys
{MADE}

These are the keys that this project adds to detectron2's, with their defaults. Every other key is
detectron2's and has detectron2's meaning. Give keys in a yaml file, or as `KEY VALUE` pairs at the
end of a command line.
"""
    comment, keys = [], []

    def group() -> str:
        text = " ".join(comment)
        shown = [k for k in keys if not k.endswith(("= CN()", ".clone()"))]
        code = f"\n```python\n{chr(10).join(shown)}\n```\n" if shown else ""
        return f"{code}\n{textwrap.fill(text, 100)}\n" if text or code else ""

    lines = textwrap.dedent("\n".join(source.splitlines()[function.body[0].end_lineno :]))
    for node in re.split(r"\n(?=[#_\n])", lines):
        title = re.match(r"# -{3,} ?(.*)", node)
        if title or node.startswith("#"):
            if keys:
                page += group()
                comment, keys = [], []
            if title:
                page += f"\n## {title[1].capitalize()}\n"
            else:
                comment.append(node[1:].strip())
        elif node.startswith("_C."):
            keys.append(node[len("_C.") :])
    return page + group()


def protocols() -> str:
    """The page of the protocols, from their descriptions."""
    page = f"""# Protocols
{MADE}

A protocol says how a tracker is run on a dataset, which frames count, and how the measures are
computed. Each public dataset has its own; your own folders have `otb`. `TEST.PROTOCOL NAME` of
`train_net.py` and `--protocol NAME` of `tools/run_baseline.py` and `tools/plot_results.py` choose
another one. Every `metrics.json` holds the description of its protocol.

The measure that ranks trackers stands first.
"""
    for name, protocol in PROTOCOLS.items():
        measures = ", ".join(f"`{measure}`" for measure in protocol.measures)
        description = textwrap.fill(protocol.description, 100)
        page += f"\n## {name}\n\n{description}\n\nMeasures: {measures}.\n"
    return page


def main():
    write_text(ROOT / "docs" / "config_keys.md", config_keys(KEYS.read_text(encoding="utf-8")))
    write_text(ROOT / "docs" / "protocols.md", protocols())


if __name__ == "__main__":
    main()
