"""What may differ between honest machines, what a budget buys, and what stands of earlier audits."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy import stats
from support.records import change, edit, reseal
from support.runs import context
from support.studies import with_lr, write
from support.trials import digits_trial

from gan_bench.audit import again, standards, whole
from gan_bench.audit.plan import AuditCheck, _bought, _rank
from gan_bench.core.errors import RecordError, UserError
from gan_bench.records.audits import current_findings, read_audits, record_digest, write_audit
from gan_bench.records.layout import AUDIT, RecordDirectory
from gan_bench.records.reader import read_trial
from gan_bench.records.record import Score

VALUES = {"loss_d": 1.0, "loss_g": 3.0, "d_real": 0.5, "d_fake": 0.25}


def score(metric="fid", value=10.0, draw_std=None):
    return Score(
        metric=metric, value=value, std=None, extractor="e", split="train", real=100, generated=64, draw_std=draw_std
    )


def lines(*scores):
    return [each.to_json() for each in scores]


apart = partial(standards.apart, probabilities=True)


class TestDrift:
    def test_losses_are_relative_and_probabilities_are_not(self):
        assert apart(VALUES, {**VALUES, "loss_g": 3.4}) == pytest.approx(0.1)
        assert apart(VALUES, {**VALUES, "d_real": 0.6}) == pytest.approx(0.1)
        assert apart(VALUES, VALUES) == 0

    def test_what_has_no_bound_is_relative_to_its_size(self):
        """Honest Wasserstein records were contradicted: outputs of 6e3 lay 1.1 apart; losses are their differences."""
        critic = {"loss_d": -2.0, "loss_g": 6e3, "d_real": 6002.0, "d_fake": -6e3}
        now = {**critic, "loss_d": -1.5, "d_real": 6003.1, "d_fake": -6000.6}
        assert apart(critic, now, probabilities=False) == pytest.approx(1.1 / 6002)
        assert apart(critic, {**critic, "d_real": 3001.0}, probabilities=False) == pytest.approx(1.0)

    @pytest.mark.parametrize("probabilities", [True, False])
    @pytest.mark.parametrize("absurd", [{"d_real": 1e6}, {"loss_d": -5e5}, {"loss_g": 1e6, "d_fake": -1e6}])
    def test_no_size_of_one_side_alone_makes_a_difference_small(self, absurd, probabilities):
        """A record of 1e6 divided its own difference by 1e6."""
        for pair in ((VALUES, {**VALUES, **absurd}), ({**VALUES, **absurd}, VALUES)):
            assert apart(*pair, probabilities=probabilities) > 1e5

    def test_a_number_where_there_was_none_is_infinitely_far(self):
        assert apart({**VALUES, "loss_d": None}, VALUES) == math.inf
        assert apart({**VALUES, "loss_d": None}, {**VALUES, "loss_d": None}) == 0

    @pytest.mark.parametrize("noise", ["same", "other"])
    def test_bounds_grow_with_steps_and_end(self, noise):
        bounds = [standards.drift(step, noise) for step in (1, 10, 20, 50, 100, 200)]
        known = [bound for bound in bounds if bound is not None]
        assert known == sorted(known)
        assert known
        assert standards.drift(10**6, noise) is None

    def test_what_perturbed_weights_come_to_narrows_the_bound(self):
        assert standards.drift(100, "same", 1e-3) == pytest.approx(standards.OWN_DRIFT * 1e-3)
        assert standards.drift(100, "same", 1.0) == standards.drift(100, "same")
        assert standards.drift(100, "same", 0.0) == standards.OWN_LEAST
        assert standards.drift(100, "other", 1e-3) == standards.drift(100, "other")

    def test_devices_of_one_kind_draw_the_same_noise(self):
        assert standards.noise_between({"device": "cuda:1"}, "cuda") == "same"
        assert standards.noise_between({"device": "cpu"}, "cuda") == "other"
        assert standards.noise_between({}, "cpu") == "same"


GROWN = {"loss_d": -2.9e16, "loss_g": 1e16, "d_real": 2.8e16, "d_fake": -1e15}


class TestDivergence:
    def judge(self, line, now, *, diverged=True, loss="wasserstein"):
        trial = digits_trial(loss=loss)
        line = {"kind": "step", "epoch": 1, "step": 2, **line}
        return again.steps_judged(line, now, "same", context(), trial.config, diverged=diverged)

    def test_what_grows_without_bound_in_both_is_not_compared(self):
        """An honest trial that diverged was contradicted: at step 5 it lay 2.9e16 apart."""
        for now in ({**GROWN, "d_real": 1e16}, {**VALUES, "loss_g": None}):
            verdict, text = self.judge(GROWN, now)
            assert verdict == "not audited"
            assert "step 2: it diverged, and its values grow without bound here and in the record" in text

    def test_a_divergence_that_is_none_here_is_contradicted(self):
        assert self.judge(GROWN, VALUES)[0] == "contradicted"
        assert self.judge(VALUES, GROWN)[0] == "contradicted"
        assert self.judge(GROWN, {**GROWN, "d_real": 1e16}, diverged=False)[0] == "contradicted"

    @pytest.mark.parametrize("value", [-0.01, 1.01, 1e6])
    @pytest.mark.parametrize("diverged", [True, False])
    def test_a_probability_lies_between_0_and_1(self, value, diverged):
        """Of a loss on probabilities, a mean of 1e6 held."""
        for name in ("d_real", "d_fake"):
            line = {**VALUES, name: value}
            verdict, text = self.judge(line, VALUES, diverged=diverged, loss="non_saturating")
            assert verdict == "contradicted"
            assert "outputs of D are probabilities" in text


class TestScores:
    def test_with_the_same_noise_rounding_alone_is_allowed(self):
        (near,) = standards.score_gaps(lines(score(value=10.0)), lines(score(value=10.04)), "same")
        (far,) = standards.score_gaps(lines(score(value=10.0)), lines(score(value=10.06)), "same")
        assert near.share < 1 < far.share

    def test_shares_are_compared_as_they_are(self):
        (near,) = standards.score_gaps(lines(score("precision", 0.1)), lines(score("precision", 0.104)), "same")
        assert near.share < 1

    def test_with_other_noise_its_spread_is_allowed(self):
        gap = standards.score_gaps(lines(score(value=10.0)), lines(score(value=10.5, draw_std=0.1)), "other")[0]
        assert gap.share < 1
        gap = standards.score_gaps(lines(score(value=10.0)), lines(score(value=12.0, draw_std=0.1)), "other")[0]
        assert gap.share > 1

    def test_of_honest_scores_with_other_noise_hardly_any_is_called_wrong(self):
        draws = np.random.default_rng(0).normal(50, 1, (20_000, 1 + standards.DRAWS))
        allowed = stats.t.ppf(1 - standards.SCORING_LEVEL / 2, standards.DRAWS - 1) * math.sqrt(2)
        wrong = np.abs(draws[:, 0] - draws[:, 1]) > 0.25 + 1e-4 + allowed * draws[:, 1:].std(axis=1, ddof=1)
        gap = standards.score_gaps(lines(score(value=50.0)), lines(score(value=60.0, draw_std=1.0)), "other")[0]
        assert gap.share == pytest.approx(10 / (0.3 + 1e-4 + allowed))
        assert wrong.mean() <= 2e-4

    @pytest.mark.parametrize(("noise", "expected"), [("same", ["kid", "classes", "fid"]), ("other", ["kid", "fid"])])
    def test_the_furthest_comes_first_and_with_other_noise_counts_are_left_out(self, noise, expected):
        before = lines(score(value=10.0), score("kid", 2.0), score("classes", 9.0))
        gaps = standards.score_gaps(before, lines(score(value=10.01), score("kid", 3.0), score("classes", 2.0)), noise)
        assert [gap.name.partition("[")[0] for gap in gaps] == expected

    def test_a_class_more_or_less_may_be_rounding_and_a_collapse_is_none(self):
        (classes,) = standards.score_gaps(lines(score("classes", 9.0)), lines(score("classes", 10.0)), "same")
        (collapsed,) = standards.score_gaps(lines(score("collapsed", 0.0)), lines(score("collapsed", 1.0)), "same")
        assert classes.share <= 1 < collapsed.share


class TestFurtherSeeds:
    VALUES = (20.0, 22.0, 25.0, 19.0, 24.0)

    @pytest.mark.parametrize("count", [1, 5])
    def test_it_is_the_prediction_interval_of_logarithms(self, count):
        logs = np.log(self.VALUES)
        half = stats.t.ppf(0.975, 4) * logs.std(ddof=1) * math.sqrt(1 / count + 1 / 5)
        found = standards.further(self.VALUES, count)
        assert (found.low, found.high) == pytest.approx((math.exp(logs.mean() - half), math.exp(logs.mean() + half)))

    @pytest.mark.parametrize("count", [1, 4])
    def test_honest_ones_lie_outside_as_often_as_is_said(self, count):
        draws = np.exp(np.random.default_rng(1).normal(3, 0.2, (4_000, 5 + count)))
        outside = [whole.drawn(each[5:].tolist(), each[:5].tolist())[0] == "doubtful" for each in draws]
        assert np.mean(outside) == pytest.approx(standards.FURTHER_LEVEL, abs=0.012)

    def test_lucky_seeds_are_found_by_more_of_them(self):
        draws = np.exp(np.random.default_rng(2).normal(3, 0.2, (1_000, 45)))
        lucky, further = np.sort(draws[:, :40])[:, :5], draws[:, 40:]
        found = {
            count: np.mean(
                [
                    whole.drawn(b[:count].tolist(), a.tolist())[0] == "doubtful"
                    for a, b in zip(lucky, further, strict=True)
                ]
            )
            for count in (1, 5)
        }
        assert found[1] > 0.5
        assert found[5] > 0.9

    def test_seeds_that_are_lost_are_doubtful_only_where_no_published_one_is(self):
        assert whole.drawn([20.0], self.VALUES, "diverged")[0] == "doubtful"
        assert whole.drawn([20.0], self.VALUES)[0] == "holds"
        assert whole.drawn([], self.VALUES)[0] == "not audited"

    def test_two_seeds_say_nothing(self):
        assert standards.further(self.VALUES[:2]) is None
        assert whole.drawn([20.0], self.VALUES[:2])[0] == "not audited"

    def test_a_repetition_may_lie_as_far_as_two_seeds(self):
        found = standards.repetition(20.0, self.VALUES)
        half = stats.t.ppf(0.995, 4) * np.log(self.VALUES).std(ddof=1) * math.sqrt(2)
        assert found.high == pytest.approx(20 * math.exp(half))
        assert found.low == pytest.approx(20 / math.exp(half))


def test_a_nonce_chooses_the_same_where_the_system_does_not_read_it_as_utf8():
    assert _rank("\udcc3\udca4", "trial") == _rank("ä", "trial")


class TestBudget:
    def checks(self, *seconds):
        return [
            AuditCheck(level="begun", setting=None, stored=None, name=str(i), seconds=each)
            for i, each in enumerate(seconds)
        ]

    def test_without_one_everything_is_done(self):
        bought, left = _bought(self.checks(5, 1e9), None)
        assert ([each.name for each in bought], left) == (["0", "1"], [])

    def test_a_dear_check_is_passed_over_for_cheaper_ones_after_it(self):
        bought, left = _bought(self.checks(5, 100, 3, 3), 10)
        assert [each.name for each in bought] == ["0", "2"]
        assert [each.name for each in left] == ["1", "3"]


class TestRepeated:
    @pytest.fixture
    def pair(self, tmp_path):
        """The same trial twice: three epochs of one step line and one epoch line each."""
        found = []
        for name in ("record", "again"):
            trial = digits_trial()
            write(tmp_path / name, trial, 40.0)
            directory = RecordDirectory.of(tmp_path / name, trial)
            text = []
            for epoch in (1, 2, 3):
                text.append({"kind": "step", "epoch": epoch, "step": 2 * epoch - 1, **VALUES})
                part = {
                    "kind": "epoch",
                    "epoch": epoch,
                    "step": 2 * epoch,
                    "images": epoch,
                    "train_seconds": 1.0 * epoch,
                }
                text.append({**part, "mean": VALUES, "last": VALUES})
            directory.history.write_text("".join(json.dumps(line) + "\n" for line in text))
            reseal(directory)
            found.append(directory)
        return found

    def judge(self, pair, published=(40.0, 41.0, 39.0)):
        seeds = {1: [90.0, 91.0, 89.0], 2: published}
        return whole.repeated(read_trial(pair[0].path), read_trial(pair[1].path), seeds, context())

    def alter(self, directory, line, **values):
        text = [json.loads(each) for each in directory.history.read_text().splitlines()]
        text[line] |= values
        directory.history.write_text("".join(json.dumps(each) + "\n" for each in text))
        reseal(directory)

    def test_equal_bits_hold_whatever_the_seconds(self, pair):
        self.alter(pair[0], 1, train_seconds=0.5)
        assert self.judge(pair) == (
            "holds",
            "every step and epoch is the same to the bit; its scores too",
        )

    @pytest.mark.parametrize(("steps", "expected"), [(100, "contradicted"), (10, "holds")])
    def test_bits_that_part_after_an_epoch_and_many_steps_are_no_rounding(self, pair, steps, expected):
        for directory in pair:
            text = [json.loads(each) for each in directory.history.read_text().splitlines()]
            for line in text:
                line["step"] *= steps
            directory.history.write_text("".join(json.dumps(each) + "\n" for each in text))
            reseal(directory)
        self.alter(pair[0], 4, d_real=0.5000001)
        verdict, text = self.judge(pair)
        assert verdict == expected
        assert (f"for {4 * steps} steps, and other from step {5 * steps} on" in text) == (expected == "contradicted")

    def test_rounding_begins_small(self, pair):
        self.alter(pair[0], 4, d_real=0.52)
        verdict, text = self.judge(pair)
        assert verdict == "contradicted"
        assert "for 4 steps, and other from step 5 on, there 0.02 apart" in text

    def test_an_end_without_bound_is_none_of_a_forgery(self, pair):
        for directory, factor in zip(pair, (1, 3), strict=True):
            self.alter(directory, 4, **{name: factor * value for name, value in GROWN.items()})
            edit(directory.record, status="diverged", reason="loss_g is not finite at step 6")
        verdict, text = self.judge(pair)
        assert verdict == "not audited"
        assert "it has no final score here or there" in text
        edit(pair[1].record, status="done", reason=None)
        assert self.judge(pair)[0] == "contradicted"

    @pytest.mark.parametrize("part", ["mean", "last"])
    def test_an_epoch_s_line_is_compared_whole(self, pair, part):
        self.alter(pair[0], 3, **{part: {**VALUES, "loss_g": 2.0}})
        assert self.judge(pair)[0] == "contradicted"

    def test_a_history_that_is_shorter_is_another(self, pair):
        text = pair[0].history.read_text().splitlines(keepends=True)
        pair[0].history.write_text("".join(text[:-1]))
        reseal(pair[0])
        assert self.judge(pair)[0] == "contradicted"

    def test_bits_that_part_in_the_first_epoch_may_be(self, pair):
        self.alter(pair[0], 0, d_real=0.5000001)
        assert self.judge(pair)[0] == "holds"
        assert self.judge(pair, published=(40.0, 41.0))[0] == "not audited"

    def test_a_trial_that_was_resumed_elsewhere_may_part_later(self, pair):
        change(pair[0].environment, lambda content: content.update(changes=[{"threads": 2}]))
        self.alter(pair[0], 4, d_real=0.6)
        verdict, text = self.judge(pair)
        assert verdict == "not audited"
        assert "resumed on another machine" in text

    def test_a_score_of_equal_bits_must_be_equal(self, pair):
        text = [json.loads(each) for each in pair[0].evaluations.read_text().splitlines()]
        text[-1]["scores"][0]["value"] = 35.0
        pair[0].evaluations.write_text("".join(json.dumps(each) + "\n" for each in text))
        reseal(pair[0])
        verdict, text = self.judge(pair)
        assert verdict == "contradicted"
        assert "is 40 here and 35 in the record" in text

    def test_only_the_last_epoch_is_known_to_be_of_the_last_held_out_images(self, pair):
        """An honest trial that was resumed after they had changed was contradicted."""
        lines = [json.loads(each) for each in pair[0].evaluations.read_text().splitlines()]
        lines[1]["scores"][0]["value"] = 45.0
        pair[0].evaluations.write_text("".join(json.dumps(each) + "\n" for each in lines))
        change(pair[0].environment, lambda content: content.update(changes=[{"held_out_sha256": "b" * 64}]))
        reseal(pair[0])
        verdict, text = self.judge(pair)
        assert verdict == "not audited"
        assert f"epoch 1: {again.OTHER_IMAGES}" in text
        self.alter(pair[0], 0, d_real=0.5000001)
        assert self.judge(pair)[0] == "not audited"

    def test_so_must_those_on_the_way(self, pair):
        self.alter(pair[0], 0, d_real=0.5000001)
        text = [json.loads(each) for each in pair[0].evaluations.read_text().splitlines()]
        text[1]["scores"][0]["value"] = 45.0
        pair[0].evaluations.write_text("".join(json.dumps(each) + "\n" for each in text))
        reseal(pair[0])
        verdict, text = self.judge(pair)
        assert verdict == "contradicted"
        assert "epoch 1: 90 here and 45 in the record" in text

    def test_an_end_that_lies_too_far_is_none_of_rounding(self, pair):
        self.alter(pair[0], 0, d_real=0.5000001)
        assert self.judge(pair, published=(40.0, 40.001, 39.999))[0] == "holds"
        far = replace(read_trial(pair[0].path), evaluations=read_trial(pair[0].path).evaluations[:-1])
        last = read_trial(pair[0].path).evaluations[-1]
        changed = {**last, "scores": [{**last["scores"][0], "value": 20.0}]}
        far = replace(far, evaluations=[*far.evaluations, changed])
        assert (
            whole.repeated(far, read_trial(pair[1].path), {1: [90.0, 91.0, 89.0], 2: [40.0, 40.1, 39.9]}, context())[0]
            == "contradicted"
        )


class TestAuditFile:
    def audit(self, trial, digest, verdict="holds", at="2026-01-01T00:00:00+00:00", level="begun"):
        machine = {"device": "cpu", "device_name": "x", "platform": "x", "libraries": {}, "cpu_capability": "AVX2"}
        finding = {"trial": trial.id, "name": trial.name, "record_sha256": digest, "level": level,
                   "verdict": verdict, "text": "as it is", "seconds": 1.0}  # fmt: skip
        return {"at": at, "version": "0.1.0", "machine": machine, "command": "gan-bench audit", "nonce": "n",
                "findings": [finding]}  # fmt: skip

    def test_a_later_audit_adds_and_one_under_way_replaces_itself(self, tmp_path):
        trial = digits_trial()
        write_audit(tmp_path, self.audit(trial, "a"))
        write_audit(tmp_path, self.audit(trial, "a", "doubtful"))
        write_audit(tmp_path, self.audit(trial, "a", at="2026-01-02T00:00:00+00:00"))
        assert [each["findings"][0]["verdict"] for each in read_audits(tmp_path)] == ["doubtful", "holds"]

    def test_two_audits_at_a_time_lose_nothing_of_each_other(self, tmp_path):
        trial, times = digits_trial(), [f"2026-01-01T00:00:{second:02d}+00:00" for second in range(24)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda at: write_audit(tmp_path, self.audit(trial, "a", at=at)), times))
        assert sorted(each["at"] for each in read_audits(tmp_path)) == times
        assert [path.name for path in tmp_path.iterdir()] == [AUDIT]

    def test_the_worst_stands_and_other_records_do_not_count(self, tmp_path):
        write(tmp_path / "results", trial := digits_trial(), 40.0)
        digest = record_digest(RecordDirectory.of(tmp_path / "results", trial).path)
        audits = [
            self.audit(trial, digest),
            self.audit(trial, digest, "doubtful"),
            self.audit(trial, "other", "contradicted"),
        ]
        assert current_findings(audits, {trial.id: digest})[trial.id]["begun"]["verdict"] == "doubtful"
        assert current_findings(audits, {trial.id: "changed since"}) == {}

    def test_of_further_seeds_the_most_stand_and_then_the_latest(self, tmp_path):
        write(tmp_path / "results", trial := digits_trial(), 40.0)
        digest = record_digest(RecordDirectory.of(tmp_path / "results", trial).path)
        audits = []
        for seeds, verdict in (([7], "doubtful"), ([1, 2, 3], "holds"), ([8], "doubtful")):
            audits.append(self.audit(trial, digest, verdict, level="drawn again"))
            audits[-1]["findings"][0]["seeds"] = seeds
        assert current_findings(audits, {trial.id: digest})[trial.id]["drawn again"]["verdict"] == "holds"
        audits.append(self.audit(trial, digest, "doubtful", level="drawn again"))
        audits[-1]["findings"][0]["seeds"] = [4, 5, 6]
        assert current_findings(audits, {trial.id: digest})[trial.id]["drawn again"]["verdict"] == "doubtful"

    def test_a_damaged_one_is_said_and_stays(self, tmp_path):
        trial = digits_trial()
        (tmp_path / AUDIT).write_text("{")
        with pytest.raises(RecordError, match=r"audit\.json is damaged.*fetch it again, or move it away"):
            write_audit(tmp_path, self.audit(trial, "a"))
        assert (tmp_path / AUDIT).read_text() == "{"

    def test_one_that_cannot_be_written_is_said(self, tmp_path):
        with pytest.raises(UserError, match="cannot be written"):
            write_audit(tmp_path / "nowhere", self.audit(with_lr(digits_trial(), 1e-4), "a"))
