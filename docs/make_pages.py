#!/usr/bin/env python3
"""Write docs/config_keys.md and docs/protocols.md from the code that they describe.

python docs/make_pages.py
"""

import ast
import re
import textwrap
from pathlib import Path
from typing import Dict, List

from sot.data.datasets.builtin import BUILTIN
from sot.evaluation.protocols import PROTOCOLS, Protocol
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
    """The page of the protocols, from their descriptions. Protocols with the same measures share a
    section, which has their common sentences once."""
    page = f"""# Protocols
{MADE}

A protocol says how a tracker is run on a dataset, which frames count, and how the measures are
computed. Each public dataset has its own, and your own folders have `otb`. To choose another one,
give `TEST.PROTOCOL NAME` to `train_net.py`, or `--protocol NAME` to `tools/run_baseline.py` and
`tools/plot_results.py`. Every `metrics.json` holds the description of its protocol.

| protocol | datasets | ranks by |
| --- | --- | --- |
"""
    for name, protocol in PROTOCOLS.items():
        datasets = [f"`{d}`" for d in BUILTIN if BUILTIN[d].protocol == name]
        page += f"| `{name}` | {_shortened(datasets)} | `{protocol.primary}` |\n"
    families: Dict[frozenset, List[Protocol]] = {}
    for protocol in PROTOCOLS.values():
        families.setdefault(frozenset(protocol.measures), []).append(protocol)
    for family in families.values():
        marked = [re.sub(r"\b[a-z]+(_[a-z0-9]+)+\b", r"`\g<0>`", p.description) for p in family]
        first, *others = sentences = [re.split(r"(?<=\.) ", text) for text in marked]
        common = [s for s in first if others and all(s in other for other in others)]
        page += f"\n## {', '.join(protocol.name for protocol in family)}\n"
        if common:
            page += f"\n{textwrap.fill(' '.join(common), 100)}\n\n"
        for protocol, texts in zip(family, sentences):
            own = " ".join(s for s in texts if s not in common)
            if common:
                bullet = f"* `{protocol.name}`: {own}"
                page += textwrap.fill(bullet, 100, subsequent_indent="  ") + "\n"
            else:
                page += f"\n{textwrap.fill(own, 100)}\n"
        measures = ", ".join(f"`{measure}`" for measure in family[0].measures)
        page += f"\nMeasures: {measures}.\n"
    return page


def _shortened(datasets: List[str]) -> str:
    """The names of datasets; of a long list the first and the last."""
    return f"{datasets[0]} ... {datasets[-1]}" if len(datasets) > 4 else ", ".join(datasets)


def main():
    write_text(ROOT / "docs" / "config_keys.md", config_keys(KEYS.read_text(encoding="utf-8")))
    write_text(ROOT / "docs" / "protocols.md", protocols())


if __name__ == "__main__":
    main()
