"""Hooks of MkDocs: the site has every document at its place in the project, so that links hold."""

import re
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("*.md", "demo/*.md", "datasets/*.md", "docs/*.md")
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)]*)?\)")
NOT_SHOWN = {".pth"}  # too large for a site: links to them become their texts


def on_files(files, config):
    """Takes the documents of the project and the files that they link to."""
    documents = [path for pattern in DOCUMENTS for path in ROOT.glob(pattern)]
    linked = {
        (path.parent / link[2]).resolve()
        for path in documents
        for link in LINK.findall(path.read_text(encoding="utf-8"))
    }
    shown = {path for path in linked if path.is_file() and path.suffix not in NOT_SHOWN}
    theme = [file for file in files if not Path(file.abs_src_path).is_relative_to(ROOT / "docs")]
    own = [
        File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
        for path in sorted({*documents, *shown})
    ]
    return Files([*theme, *own])


def on_page_markdown(markdown, page, **kwargs):
    """Without the links to files that the site leaves out."""
    folder = Path(page.file.abs_src_path).parent

    def shown(match):
        path = folder / match[3]
        left_out = path.suffix in NOT_SHOWN or path.is_dir()
        return match[2] if left_out else match[0]

    return LINK.sub(shown, markdown)
