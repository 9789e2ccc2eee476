"""The board: groups that cannot be told apart, rows of several machines, folders that are left out, its files."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support.commands import gan_bench
from support.records import edit, reseal
from support.studies import EPYC, H200, HOSTILE, end_as_a_run_does, publish, with_lr, write
from support.trials import digits_trial

from gan_bench.config.design import Design
from gan_bench.config.trial import EvaluationConfig
from gan_bench.core.errors import UserError
from gan_bench.records.audits import record_digest, write_audit
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.plan import write_plan
from gan_bench.records.record import Status
from gan_bench.report.board.entries import distinct_ends, published_folders, read_board
from gan_bench.report.board.site import CARDS, build_board, card_name
from gan_bench.report.board.tiers import Sample, tiers, unpaired_p
from gan_bench.report.findings.standings import standings
from gan_bench.report.study.looks import repeated_p
from gan_bench.report.study.stats import ALPHA
from gan_bench.report.study.studies import read_studies


class TestTiers:
    def sample(self, *values):
        return Sample(values)

    def test_the_test_is_welch_s_on_logarithms(self):
        a, b = (20.0, 21.0, 22.0, 20.5), (22.0, 24.0, 21.0, 23.0, 22.5)
        expected = stats.ttest_ind(np.log(a), np.log(b), equal_var=False).pvalue
        assert unpaired_p(Sample(a), Sample(b)) == pytest.approx(expected)
        assert unpaired_p(Sample(b), Sample(a)) == pytest.approx(expected)

    def test_few_seeds_decide_no_more_than_in_a_report(self):
        """Of 12 settings over five seeds some were parted that their own report did not judge before eight."""
        a, b = (20.0, 20.1, 20.2), (500.0, 500.1, 500.2, 500.3)
        assert unpaired_p(Sample(a), Sample(b)) == 2 / 4**3
        many = [tuple(centre * np.exp(0.001 * np.arange(5))) for centre in np.geomspace(20, 90, 16)]
        assert tiers([Sample(values) for values in many]) == [1] * 16

    def test_equal_values_are_equal(self):
        assert unpaired_p(self.sample(2.0, 2.0, 2.0), self.sample(2.0, 2.0, 2.0)) == 1

    def test_groups_begin_where_a_setting_is_decidedly_worse(self):
        rng = np.random.default_rng(0)
        made = [tuple(centre * np.exp(rng.normal(0, 0.01, 5))) for centre in (20, 20, 20, 30, 30, 60)]
        assert tiers([Sample(values) for values in made]) == [1, 1, 1, 2, 2, 3]

    def test_few_seeds_and_lost_ones_have_no_group(self):
        assert tiers([self.sample(20.0, 21.0), self.sample(30.0, 31.0, 32.0), self.sample()]) == [None, 1, None]
        assert tiers([]) == []

    def test_looks_are_allowed_for(self):
        a, b = (20.0, 21.0, 22.0), (22.8, 24.0, 25.0)
        p = unpaired_p(Sample(a), Sample(b))
        allowed = repeated_p((3, 4, 6), 3, p)
        assert p < ALPHA < allowed, "it decides where nobody looked before, and not at the first of three looks"
        assert tiers([Sample(a), Sample(b)]) == [1, 2]
        assert tiers([Sample(a, (3, 4, 6), 3), Sample(b, (3, 4, 6), 3)]) == [1, 1]
        assert tiers([Sample(a), Sample(b, (3, 4, 6), 3)]) == [1, 1], "of either study"

    def test_equal_settings_are_rarely_parted(self):
        rng = np.random.default_rng(1)
        parted = 0
        for _ in range(400):
            made = np.exp(rng.normal(3, 0.1, (8, 5)))
            ordered = made[np.argsort(np.median(made, axis=1))]
            parted += max(tiers([Sample(tuple(each)) for each in ordered])) > 1
        assert parted / 400 < 0.08


PUBLISHED = Path(__file__).resolve().parents[2] / "results/published"


def unscore(folder, lr, seeds):
    """Take the scores of the last images of some trials, as if they could not be scored."""
    for path in folder.glob("*/*--????????"):
        directory = RecordDirectory(path)
        config = json.loads(directory.trial.read_text())["config"]
        if config["lr_g"] == lr and config["seed"] in seeds:
            *lines, last = map(json.loads, directory.evaluations.read_text().splitlines())
            last["scores"] = [{**score, "value": None} for score in last["scores"]]
            directory.evaluations.write_text("".join(f"{json.dumps(line)}\n" for line in [*lines, last]))
            end_as_a_run_does(directory, EPYC, Status.DONE)


def table_lines(site):
    """The settings of the only table of a board."""
    return [line for line in (site / "board.md").read_text().splitlines() if line.startswith("| ")][2:]


class TestBoard:
    @pytest.fixture
    def folders(self, tmp_path):
        return [
            publish(tmp_path / "epyc", EPYC),
            publish(tmp_path / "h200", H200, start=44.0),
        ]

    def test_settings_of_two_machines_stand_side_by_side(self, folders, tmp_path):
        made = build_board(folders, tmp_path / "site")
        (table,) = made.tables
        assert made.left == ()
        settings = table.table.rows.dropna(subset=["machine"])
        assert list(settings["machine"]) == [EPYC, H200] * 3
        assert list(settings["median"]) == sorted(settings["median"])
        assert set(settings["seeds"]) == {5}
        frame = pd.read_csv(tmp_path / "site" / f"{table.table.name}.csv")
        assert list(frame["machine"].dropna()) == [EPYC, H200] * 3
        page = (tmp_path / "site" / "index.html").read_text()
        assert "compares equal seeds in pairs and may find otherwise: believe it about settings of that study" in page
        cards = re.findall(r'href="(cards/[^"]+)"', page)
        assert len(cards) == len(set(cards)) == 6
        for card in cards:
            text = (tmp_path / "site" / card).read_text()
            assert "lr_g" in text
            assert "data:image/webp" in text
        assert "http" not in page.replace("http-equiv", ""), "nothing is loaded from elsewhere"

    def test_other_images_of_the_same_name_make_another_table(self, folders, tmp_path):
        for folder, digest in zip(folders, ("a" * 64, "b" * 64), strict=True):
            for path in folder.glob("*/*--????????"):
                record = RecordDirectory(path)
                edit(record.environment, data_sha256=digest)
                reseal(record)
        made = build_board(folders, tmp_path / "site")
        assert made.left == ()
        assert [table.table.title.partition(",")[0] for table in made.tables] == [
            "digits (images aaaaaaaa)", "digits (images bbbbbbbb)"
        ]  # fmt: skip
        assert len({table.table.name for table in made.tables}) == 2

    def test_the_text_of_a_row_changes_only_with_its_setting(self, folders, tmp_path):
        build_board(folders[:1], tmp_path / "one")
        build_board(folders, tmp_path / "two")
        one, two = ((tmp_path / name / "board.md").read_text().splitlines() for name in ("one", "two"))
        rows = [line.split("|", 2)[2] for line in one if EPYC in line]
        assert len(rows) == 3
        assert set(rows) <= {line.split("|", 2)[2] for line in two if line.startswith("|")}

    def test_folders_of_one_name_and_versions_of_one_suite_in_them_are_told_apart(self, tmp_path):
        """All rows were "results/alpha", one row of untrained generators stood for both, and versions were not said."""
        for version, lab in ((1, "lab-a"), (2, "lab-b")):
            trials = [digits_trial(seed, suite_version=version, batch_size=64 * version) for seed in range(5)]
            for trial in trials:
                write(tmp_path / lab / "results", trial, 40.0 + trial.config.seed, gain=10.0 * version, collapsed=0.0)
                end_as_a_run_does(RecordDirectory.of(tmp_path / lab / "results", trial), EPYC, Status.DONE)
            write_plan(tmp_path / lab / "results", "test", version, trials, "gan-bench run test")
        (table,) = build_board([tmp_path / lab / "results" for lab in ("lab-a", "lab-b")], tmp_path / "site").tables
        rows = table.table.rows
        assert sorted(rows["from"].fillna("")) == sorted(
            ["", *(f"{lab}/results/test version {version}" for version, lab in ((1, "lab-a"), (2, "lab-b")))]
        )
        (untrained,) = rows[rows["label"] == "untrained generators"].to_dict("records")
        assert (untrained["median_low"], untrained["median_high"], untrained["median_n"]) == (62, 82, 2)
        assert [each.partition(" in this table")[0] for each in table.shared] == [
            f"All settings of {lab}/results/test version {version}" for version, lab in ((1, "lab-a"), (2, "lab-b"))
        ]

    def test_a_list_of_files_without_a_board_is_a_users(self, folders, tmp_path):
        """Every CSV file that a ``files.txt`` named was removed, though nothing of a board was there."""
        site = tmp_path / "site"
        site.mkdir()
        for name, text in (("files.txt", "data.csv\n"), ("data.csv", "a,b")):
            (site / name).write_text(text)
        build_board(folders, site)
        build_board(folders, site)
        assert ((site / "files.txt").read_text(), (site / "data.csv").read_text()) == ("data.csv\n", "a,b")
        other = tmp_path / "other"
        other.mkdir()
        (other / "board-files.txt").write_text("data.csv\n")
        with pytest.raises(
            UserError, match="other/board-files.txt is not known to be of an earlier board, and stays as it is"
        ):
            build_board(folders, other)
        assert (other / "board-files.txt").read_text() == "data.csv\n"

    def test_a_folder_that_is_named_twice_is_one(self, folders, tmp_path, monkeypatch):
        """By its name and by its path it was two, and the page had a path of this machine."""
        monkeypatch.chdir(folders[0].parent)
        (tmp_path / "link").symlink_to(folders[0])
        twice = [Path(folders[0].name), folders[0], tmp_path / "link"]
        assert published_folders(twice) == twice[:1]
        assert distinct_ends([folders[0], folders[0].parent / "x" / folders[0].name])[1] == f"x/{folders[0].name}"
        (table,) = build_board(twice, tmp_path / "site").tables
        assert set(table.table.rows["from"].fillna("")) == {"", f"{folders[0].name}/test version 1"}

    def test_many_settings_of_few_seeds_are_not_judged(self):
        samples = [Sample(tuple(10.0**i * (1 + seed / 100) for seed in range(5))) for i in range(16)]
        assert [max(tiers(samples[:count])) for count in (13, 14)] == [13, 1]

    def test_a_setting_whose_generators_collapsed_has_no_group(self):
        """A median FID of 447 stood in the group of 24: no test parts from it what spreads so far."""
        rows, _ = read_board([PUBLISHED / "amd-epyc-2-cores"])
        collapsed = [each for each in rows if "collapsed" in "; ".join(each.standing.remarks())]
        assert collapsed
        assert not [each for each in collapsed if each.sample.values]
        assert [each for each in rows if each.sample.values]

    def test_it_ranks_as_the_report_does(self, tmp_path):
        """The report ranked FID 15.8 first, the board below 19.2: one of its seeds had collapsed."""
        trials = []
        for lr, score in ((1e-3, 16.0), (3e-3, 23.0), (1e-4, 40.0)):
            for seed in range(5):
                trials.append(with_lr(digits_trial(seed), lr))
                fails = Status.DIVERGED if (lr, seed) == (1e-4, 0) else Status.DONE
                write(tmp_path / "r", trials[-1], score + seed, status=fails, collapsed=float((lr, seed) == (1e-3, 4)))
                end_as_a_run_does(RecordDirectory.of(tmp_path / "r", trials[-1]), EPYC, fails)
        write_plan(tmp_path / "r", "test", 1, trials, "gan-bench run test")
        (table,) = build_board([tmp_path / "r"], tmp_path / "site").tables
        (study,) = read_studies(tmp_path / "r", history=False)[1]
        ranked = [each.label for each in standings(study.scored[0]).ranked]
        assert [entry.setting.label for entry in table.entries] == ranked
        reasons = ["not grouped: 1 of 5 collapsed", "1", "not grouped: 1 of 5 failed"]
        assert [line.split(" | ")[0] for line in table_lines(tmp_path / "site")[:3]] == [
            f"| {each}" for each in reasons
        ]
        frame = pd.read_csv(tmp_path / "site" / f"{table.table.name}.csv")
        assert list(frame["group"].dropna()) == [1]
        page = (tmp_path / "site" / "index.html").read_text()
        assert "not grouped: 1 of 5 collapsed" in page
        assert 'folded"><bdi>1 of 5 collapsed' not in page, "not twice on a narrow screen"

    def test_settings_have_the_names_of_reports(self, folders, tmp_path):
        """One was called mnist-mlp-z100,lr=0.001,betas=0.5-0.999,dataset=digits,... here, and lr 1e-3 in its report."""
        (table,) = build_board(folders[:1], tmp_path / "site").tables
        assert [line.split(" | ")[1] for line in table_lines(tmp_path / "site")[:3]] == [
            "lr 1e-4",
            "lr 2e-4",
            "lr 3e-4",
        ]
        page, entry = (tmp_path / "site" / "index.html").read_text(), table.entries[0]
        assert entry.setting.name not in page
        (shared,) = table.shared
        assert re.fullmatch(
            r"All settings of epyc/test version 1 in this table: mnist-mlp-z100, dataset digits, .*batch \d+.*\.",
            shared,
        )
        assert shared in page
        assert shared in (tmp_path / "site" / "board.md").read_text()
        frame = pd.read_csv(tmp_path / "site" / f"{table.table.name}.csv")
        assert list(frame[["setting", "label"]].iloc[0]) == [entry.setting.name, "lr 1e-4"]
        card = (tmp_path / "site" / CARDS / f"{card_name(entry)}.html").read_text()
        assert "<h1><bdi>lr 1e-4</bdi></h1>" in card
        assert entry.setting.name in card

    @pytest.mark.parametrize(("seeds", "why"), [(1, "1 seed, fewer than 3"), (2, "2 seeds, fewer than 3")])
    def test_a_setting_of_few_seeds_says_why_it_has_no_group(self, tmp_path, seeds, why):
        rows, _ = read_board([publish(tmp_path / "a", EPYC, seeds=seeds)])
        assert {each.sample.why_not for each in rows} == {why}

    def test_a_setting_before_its_first_look_says_why_it_has_no_group(self, tmp_path):
        (tmp_path / "a" / "test").mkdir(parents=True)
        planned = [digits_trial(seed) for seed in range(4)]
        write_plan(tmp_path / "a", "test", 1, planned, "gan-bench run test", design=Design.of_looks((5, 8)))
        rows, _ = read_board([publish(tmp_path / "a", EPYC, seeds=4)])
        assert {each.sample.why_not for each in rows} == {"4 seeds, first look at 5"}

    def test_a_setting_whose_seeds_all_failed_is_named(self, folders, tmp_path):
        folder = publish(tmp_path / "lost", EPYC, seeds=1, status=Status.DIVERGED)
        made = build_board([folder], tmp_path / "site")
        (left,) = made.left
        assert left.folder == str(folder)
        assert re.search(r"lr 1e-4 \(.*\): its seed failed$", left.why)
        assert "its seed failed" in (tmp_path / "site" / "board.md").read_text()
        assert len(made.tables[0].entries) == 2

    def test_the_same_records_in_two_folders_stand_once(self, folders, tmp_path):
        copy = shutil.copytree(folders[0], tmp_path / "copy")
        rows, left = read_board([*folders, copy])
        assert (len(rows), {each.folder for each in left}) == (6, {str(copy)})

    @pytest.mark.parametrize("order", [1, -1])
    def test_an_earlier_publication_of_some_of_the_seeds_does_not_stand_beside_all(self, folders, tmp_path, order):
        """They were two samples, as of two machines, and a test took their equal seeds for independent ones."""
        earlier = shutil.copytree(folders[0], tmp_path / "earlier")
        for trial in earlier.glob("test/*seed=4*"):
            shutil.rmtree(trial)
        trial = with_lr(digits_trial(0, evaluation=EvaluationConfig(epochs=(0, 1, 2), samples=64,
                                                                    extractors=("lenet-mnist-v1",))), 1e-4)  # fmt: skip
        digest = record_digest(RecordDirectory.of(earlier, trial).path)
        finding = {"trial": trial.id, "name": "x", "record_sha256": digest, "level": "begun",
                   "verdict": "contradicted", "text": "another start", "seconds": 1.0}  # fmt: skip
        machine = {"device": "cpu", "device_name": EPYC, "platform": "x", "libraries": {}, "cpu_capability": "AVX2"}
        write_audit(earlier / "test", {"at": "2026-01-01T00:00:00+00:00", "version": "0.1.0", "machine": machine,
                                       "command": "x", "nonce": "n", "findings": [finding]})  # fmt: skip
        rows, left = read_board([earlier, *folders][::order])
        assert sorted(each.folder for each in rows) == sorted(3 * [str(each) for each in folders])
        assert {each.folder for each in left} == {str(earlier)}
        said = [each.why for each in left]
        assert len(said) == 3
        assert all(f": its 4 seeds are among the 5 of {folders[0]}" in why for why in said)
        assert [why.endswith("; contradicted (begun): x: another start") for why in sorted(said)] == [
            True,
            False,
            False,
        ]

    def test_a_folder_of_folders_is_taken_apart(self, folders, tmp_path):
        rows, _ = read_board([tmp_path])
        assert len(rows) == 6

    def test_what_does_not_verify_is_named_and_left_out(self, folders, tmp_path):
        record = next((folders[0] / "test").glob("*--????????"))
        (record / "evaluations.jsonl").write_text("{}\n")
        made = build_board(folders, tmp_path / "site")
        (left,) = made.left
        assert left.folder == str(folders[0])
        assert left.why.startswith("it does not verify: ")
        page = (tmp_path / "site" / "index.html").read_text()
        assert "Left out" in page
        assert EPYC not in page
        assert "left out: " in (tmp_path / "site" / "board.md").read_text()

    def test_a_damaged_audit_leaves_its_folder_out(self, folders, tmp_path):
        (folders[1] / "test" / "audit.json").write_text("{")
        made = build_board(folders, tmp_path / "site")
        assert [each.folder for each in made.left] == [str(folders[1])]

    def test_what_auditors_found_is_shown_and_what_is_against_it_first(self, folders, tmp_path):
        machine = {"device": "cpu", "device_name": "x", "platform": "x", "libraries": {}, "cpu_capability": "AVX2"}
        findings = []
        for seed, verdict in ((0, "holds"), (1, "holds"), (2, "contradicted")):
            trial = with_lr(digits_trial(seed), 1e-4)
            digest = record_digest(RecordDirectory.of(folders[0], trial).path)
            findings.append({"trial": trial.id, "name": trial.name, "record_sha256": digest, "level": "begun",
                             "verdict": verdict, "text": "step 2: 0.9 apart", "seconds": 1.0})  # fmt: skip
        audit = {"at": "2026-01-01T00:00:00+00:00", "version": "0.1.0", "machine": machine,
                 "command": "gan-bench audit", "nonce": "n",
                 "findings": findings}  # fmt: skip
        write_audit(folders[0] / "test", audit)
        (table,) = build_board(folders, tmp_path / "site").tables
        row = table.table.rows.iloc[0]
        assert row["audits"] == "begun 2 of 5"
        assert row["remarks"].startswith("contradicted (begun): ")
        page = (tmp_path / "site" / "index.html").read_text()
        assert "step 2: 0.9 apart" in page
        assert page.count('class="against folded"') == 1, "for narrow screens, below the setting"

    def test_lost_seeds_are_counted_and_leave_no_group(self, tmp_path):
        folder = publish(tmp_path / "a", EPYC, status=Status.DIVERGED)
        (table,) = build_board([folder], tmp_path / "site").tables
        lost = table.table.rows[table.table.rows["lost"] == 1]
        assert len(lost) == 1
        assert lost["group"].isna().all()

    def test_seeds_that_cannot_be_scored_are_counted_as_lost(self, tmp_path):
        """A row had 3 seeds and none lost, beside a median over 5."""
        folder = publish(tmp_path / "a", EPYC)
        unscore(folder, 1e-4, seeds=(0, 1))
        (table,) = build_board([folder], tmp_path / "site").tables
        rows = table.table.rows
        (found,) = rows[rows["remarks"] == "2 failed"].to_dict("records")
        assert (found["seeds"], found["lost"], found["median_n"]) == (5, 2, 5)

    def test_a_setting_none_of_whose_seeds_can_be_scored_is_named(self, tmp_path):
        folder = publish(tmp_path / "a", EPYC, seeds=2)
        unscore(folder, 1e-4, seeds=(0, 1))
        (left,) = build_board([folder], tmp_path / "site").left
        assert re.search(r"lr 1e-4 \(.*\): all of its 2 seeds failed$", left.why)

    def test_other_protocols_have_tables_of_their_own(self, tmp_path):
        folders = [publish(tmp_path / "a", EPYC), publish(tmp_path / "b", H200, generated=128)]
        made = build_board(folders, tmp_path / "site")
        assert len(made.tables) == 2

    def test_two_suites_with_a_setting_have_pages_of_their_own(self, folders, tmp_path):
        inner = tmp_path / "both"
        publish(inner / "a" / "same", EPYC)
        publish(inner / "b" / "same", EPYC, start=50.0)
        build_board([inner / "a" / "same", inner / "b" / "same"], tmp_path / "site")
        cards = re.findall(r'href="(cards/[^"]+)"', (tmp_path / "site" / "index.html").read_text())
        assert len(set(cards)) == 6
        assert all((tmp_path / "site" / card).is_file() for card in cards)

    def test_what_is_no_longer_made_goes_and_a_user_s_own_files_stay(self, folders, tmp_path):
        """Cards and CSV files of settings that had left the board could still be opened."""
        site = tmp_path / "site"

        def files(where):
            return {path.relative_to(where).as_posix() for path in where.rglob("*") if path.is_file()}

        publish(tmp_path / "other", H200, generated=32)
        build_board([*folders, tmp_path / "other"], site)
        mine = {"mine.csv", "cards/mine.html", "notes.txt"}
        for name in mine:
            (site / name).write_text("mine")
        build_board(folders[:1], site)
        build_board(folders[:1], tmp_path / "fresh")
        assert files(site) == files(tmp_path / "fresh") | mine

    def test_it_is_not_written_among_records(self, folders):
        with pytest.raises(UserError, match="holds records; choose another folder with --out"):
            build_board(folders, folders[0] / "test")

    def test_the_words_of_an_audit_are_text(self, folders, tmp_path):
        trial = with_lr(digits_trial(0), 1e-4)
        digest = record_digest(RecordDirectory.of(folders[0], trial).path)
        machine = {"device": "cpu", "device_name": HOSTILE["script"], "platform": "x", "libraries": {},
                   "cpu_capability": "\x1b[31m"}  # fmt: skip
        text = "\x1b[31m\n# H1 " + "x" * 1000 + HOSTILE["end"]
        finding = {"trial": trial.id, "name": HOSTILE["markdown"], "record_sha256": digest, "level": "begun",
                   "verdict": "contradicted", "text": text, "seconds": 1.0}  # fmt: skip
        audit = {"at": "2026-01-01T00:00:00+00:00", "version": "0.1.0", "machine": machine,
                 "command": "x", "nonce": "n",
                 "findings": [finding]}  # fmt: skip
        write_audit(folders[0] / "test", audit)
        build_board(folders, tmp_path / "site")
        for file in (tmp_path / "site").rglob("*.*"):
            written = file.read_text()
            assert "\x1b" not in written
            assert "<script>alert" not in written
            assert "x" * 400 not in written
            assert "\n# H1" not in written

    def test_names_are_text_wherever_they_stand(self, tmp_path):
        folders = [publish(tmp_path / name, machine, settings=1) for name, machine in HOSTILE.items()]
        (table,) = build_board(folders, tmp_path / "site").tables
        assert len(table.entries) == len(HOSTILE)
        for page in (tmp_path / "site").rglob("*.html"):
            text = page.read_text()
            assert "<script>alert" not in text
            assert "<svg onload" not in text
            assert "<img src=x" not in text

    def test_a_folder_without_records_is_said(self, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(UserError, match="holds no records"):
            build_board([tmp_path / "empty"], tmp_path / "site")

    def test_a_site_that_cannot_be_written_is_said(self, folders, tmp_path):
        (tmp_path / "site").write_text("in the way")
        with pytest.raises(UserError, match="site is no folder; choose another with --out"):
            build_board(folders, tmp_path / "site")

    def test_a_user_s_own_page_stays(self, folders, tmp_path):
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "index.html").write_text("<h1>my homepage of gan_bench board</h1>")
        with pytest.raises(UserError, match="index.html is not known to be of an earlier board, and stays as it is"):
            build_board(folders, tmp_path / "site")
        assert [path.name for path in (tmp_path / "site").iterdir()] == ["index.html"]
        (tmp_path / "site" / "index.html").unlink()
        build_board(folders, tmp_path / "site")
        build_board(folders, tmp_path / "site")

    def test_from_the_command_line(self, folders, tmp_path):
        done = gan_bench("board", *folders, "--out", tmp_path / "site")
        assert done.returncode == 0, done.stderr
        assert "6 settings" in done.stdout
        assert str(tmp_path / "site" / "index.html") in done.stdout
        next((folders[0] / "test").glob("*--*/record.json")).write_text("{")
        done = gan_bench("board", *folders, "--out", tmp_path / "site")
        assert done.returncode == 1
        assert "left out" in done.stdout
