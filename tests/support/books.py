"""A small book that can be measured in seconds: one chapter, or two, and a front page."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests import ROOT, builders

HEAD = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n"
CLAIM = (
    "from gatewaylab.claims.claim import behaviour, claim\n"
    "claim('C01', behaviour('w', [True] * 5, probe='p'),"
    " sabotage=behaviour('s', [False] * 5, probe='p'))"
)


def notebook(code: str, prose: str = "Some prose.") -> str:
    """A chapter of one cell."""
    return f"{HEAD}\n# Some\n\n{prose}\n\n```{{code-cell}} python\n{code}\n```\n"


FILES = {
    "pyproject.toml": "",
    "requirements.txt": "django==5.2\n",
    "_toc.yml": "format: jb-book\nroot: index\nchapters:\n- file: notebooks/some\n",
    "demo_apps/django_app/wsgi.py": "X = 'demo_apps.common'\n",
    **{f"demo_apps/{name}.py": "x = 1\n" for name in ("common", "raw_wsgi", "other")},
    "deploy/site.conf": "listen 80;\n",
    "src/gatewaylab/claims/claim.py": "from gatewaylab.load import run\n",
    "src/gatewaylab/load/run.py": "COMMAND = '-m gatewaylab.load.wire'\n",
    **{f"src/gatewaylab/load/{name}.py": "y = 1\n" for name in ("wire", "raw")},
    "src/gatewaylab/publish/build.py": "z = 1\n",
    "book/claims/some.toml": builders.entry(),
    "notebooks/some.md": notebook(CLAIM),
}


def write(root: Path) -> None:
    """A book of one chapter, with one claim that holds."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def add_other(root: Path) -> None:
    """A second chapter, after the first."""
    (root / "_toc.yml").write_text(FILES["_toc.yml"] + "- file: notebooks/other\n")
    other = CLAIM.replace("C01", "C02")
    (root / "notebooks/other.md").write_text(notebook(other).replace("# Some", "# Other"))
    with (root / "book/claims/some.toml").open("a") as declared:
        declared.write(builders.entry("C02", notebook="other"))


def add_front(root: Path) -> None:
    """The front page, with all that pages can say of evidence."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    extensions = [
        one
        for one in config["sphinx"]["config"]["extensions"]
        if one != "sphinxext.opengraph"  # here it would draw cards
    ]
    (root / "_config.yml").write_text(
        "title: t\nonly_build_toc_files: true\nexecute: {execute_notebooks: cache}\n"
        f"sphinx:\n  local_extensions: {{bookext: {ROOT / 'book' / '_ext'}}}\n"
        f"  config:\n    extensions: {extensions}\n"
        "    nb_execution_raise_on_error: true\n    bookext_method: index\n"
        "    template_bridge: bookext.page.FinishedTemplates\n"
        f"    templates_path: [{ROOT / 'book' / '_templates'}]\n"
    )
    front = "# Front\n\n{claim}`C01` {claim}`C02`\n\n```{states-table}\n```\n"
    cards = "```{claim-card} C01\n```\n\n```{claim-card} C02\n```\n\n```{trials-table}\n```\n"
    entries = "## Ledger\n\n```{claim-entries}\n```\n"
    (root / "index.md").write_text(f"{front}\n{cards}\n{entries}")
