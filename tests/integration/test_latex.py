"""The report's LaTeX tables in a real LaTeX."""

from __future__ import annotations

import subprocess

import pytest
from support.studies import hostile_results


@pytest.mark.latex
def test_tables_with_hostile_names_compile(tmp_path):
    results = hostile_results(tmp_path / "results")
    inputs = "\n".join(rf"\input{{{path.as_posix()}}}\clearpage" for path in (results / "report/tables").glob("*.tex"))
    packages = r"\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}\usepackage{booktabs,siunitx,etoolbox}"
    packages += r"\robustify\bfseries"
    (tmp_path / "all.tex").write_text(rf"\documentclass{{article}}{packages}\begin{{document}}{inputs}\end{{document}}")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-1500:]
