"""The report's LaTeX tables in a real LaTeX."""

from __future__ import annotations

import subprocess

import pytest
from support.studies import hostile_results

from gan_bench.report.study.latex import escape_latex


@pytest.mark.latex
def test_tables_with_hostile_names_compile(tmp_path):
    results = hostile_results(tmp_path / "results")
    letters = "".join(chr(code) for code in range(0x20, 0x250)) + "²₁₂±∞≤≥↓↑·…βε"
    (results / "report/tables/letters.tex").write_text(f"{escape_latex(letters)}\n")
    inputs = "\n".join(rf"\input{{{path.as_posix()}}}\clearpage" for path in (results / "report/tables").glob("*.tex"))
    packages = r"\usepackage{booktabs,siunitx,etoolbox}"  # those that the tables name, in the encoding of an article
    packages += r"\robustify\bfseries"
    (tmp_path / "all.tex").write_text(rf"\documentclass{{article}}{packages}\begin{{document}}{inputs}\end{{document}}")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-1500:]
