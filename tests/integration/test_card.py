"""Cards of settings, read back by the library that model hubs use."""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from support.commands import gan_bench, python_code
from support.records import edit, reseal
from support.studies import EPYC, end_as_a_run_does, with_lr, write
from support.suites import SMALL, train_small
from support.trials import digits_trial
from typer.testing import CliRunner

import gan_bench as gb
from gan_bench.cli.app import app
from gan_bench.core.atomic import write_atomically
from gan_bench.core.errors import UserError
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.plan import write_plan
from gan_bench.records.publish import publish
from gan_bench.records.record import Status
from gan_bench.report import build
from gan_bench.report.card.card import write_card

RATES = ("mnist-mlp-z100,lr=0.0002,dataset=digits", "mnist-mlp-z100,dataset=digits")
SUITE = SMALL.replace("epochs: [1, 2]", "epochs: [2]").replace("seeds: [0, 1]", "seeds: [0, 1, 2]")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return train_small(tmp_path_factory.mktemp("card"), SUITE)


@pytest.fixture(scope="module")
def card(results, tmp_path_factory):
    return write_card(results, "lr=0.0002", tmp_path_factory.mktemp("out") / "card", "mit")


def test_its_metadata_are_what_a_hub_reads(card, results):
    data = ModelCard.load(card / "README.md").data
    scores = gb.load(results).scores.query("epoch == 2 and metric == 'fid'").set_index("trial")["value"]
    trials = gb.load(results).trials
    mine = trials[trials["lr_g"] == 2e-4]["trial"]
    assert data.license == "mit"
    assert data.pipeline_tag == "unconditional-image-generation"
    (fid,) = [each for each in data.eval_results if each.metric_type == "fid"]
    assert fid.metric_value == pytest.approx(scores[mine].mean(), rel=1e-5)
    assert fid.metric_name == "FID [lenet-mnist-v1,train,64], mean of 3 seeds"
    assert fid.dataset_name == "digits"


def test_its_generator_is_that_of_the_median_trial(card, results):
    scores = gb.load(results).scores.query("epoch == 2 and metric == 'fid'").set_index("trial")["value"]
    trials = gb.load(results).trials.set_index("trial")
    mine = scores[trials[trials["lr_g"] == 2e-4].index]
    median = mine[mine == mine.median()].index[0]
    assert json.loads((card / "trial.json").read_text())["id"] == median
    assert f"seed {trials['seed'][median]}:" in (card / "README.md").read_text()
    with Image.open(card / "samples.png") as grid:
        assert grid.size == (8 * 30 + 2, 8 * 30 + 2)


@pytest.mark.parametrize(
    ("seeds", "which"),
    [(1, "one with the median score"), (2, "better of two"), (4, "better of the two with the middle scores")],
)
def test_of_an_even_number_of_trials_none_is_said_to_have_the_median_score(tmp_path, seeds, which):
    """The better of two seeds was called the one with the median score, beside "125.2 to 160.7"."""
    for seed in range(seeds):
        write(tmp_path / "results", digits_trial(seed), 100.0 + seed)
        end_as_a_run_does(RecordDirectory.of(tmp_path / "results", digits_trial(seed)), EPYC, Status.DONE)
    text = (write_card(tmp_path / "results", "mnist*", tmp_path / "card") / "README.md").read_text()
    assert f": of the finished trials the {which} (FID {100 + (seeds - 1) // 2})." in " ".join(text.split())


def test_its_command_trains_the_whole_study_whichever_part_was_run_last(results, tmp_path):
    """A card of the setting of rate 2e-4 named a command that trains the other setting, or fewer seeds than it has."""
    folder = shutil.copytree(results, tmp_path / "results")
    (plan,) = folder.glob("*/plan.json")
    whole = json.loads(plan.read_text())["command"]
    edit(plan, command=f"{whole} --only '{RATES[1]}*' --seeds 2")
    (command,) = re.findall(
        r"```sh\n(.*?)\n```", (write_card(folder, RATES[0], tmp_path / "card") / "README.md").read_text()
    )
    assert command.startswith("gan-bench run ")
    assert "--only" not in command
    assert "--profile full --seeds 0,1,2" in command


def test_its_code_runs_where_only_the_card_is(card):
    (code,) = re.findall(r"```python\n(.*?)```", (card / "README.md").read_text(), flags=re.DOTALL)
    shown = "print(tuple(images.shape), images.dtype)"
    done = python_code(code + shown, cwd=card)
    assert done.stdout == "(16, 1, 28, 28) torch.uint8\n", done.stderr


def test_it_says_how_the_setting_fares(card):
    text = (card / "README.md").read_text()
    assert re.search(r"Place [12] of 2 settings of suite small on digits", text)
    assert re.search(r"\| FID ↓ \| [\d.]+ ± [\d.]+ \| [\d.]+ \| [\d.]+ \| `lenet-mnist-v1,train,64` \|", text)
    assert "| `lr_g` | 2e-4 | chosen |" in text
    assert "| `betas_g` | 0.9-0.999 | code |" in text
    assert "`mnist-mlp-z100` is the recipe of article A4" in text
    assert "@misc{mnist-mlp-z100," in text
    assert "Inception-v3" in text


def test_the_command_names_a_folder_after_the_setting(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["card", "best", "--results", str(results)], env={"COLUMNS": "300"})
    assert shown.exit_code == 0, shown.output
    (folder,) = tmp_path.iterdir()
    assert "Place 1 of 2 settings" in (folder / "README.md").read_text()
    assert "license" not in ModelCard.load(folder / "README.md").data.to_dict()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("mnist", r'"mnist" names several settings; there are mnist-mlp'),
        ("cats", r'no finished setting is called "cats"'),
    ],
)
def test_what_is_not_one_setting_is_refused(results, tmp_path, wanted, said):
    with pytest.raises(UserError, match=said):
        write_card(results, wanted, tmp_path / "card")
    assert not (tmp_path / "card").exists()


@pytest.mark.parametrize("name", RATES)
def test_a_full_name_is_enough_though_it_is_part_of_another(results, tmp_path, name):
    assert f"# {name}" in (write_card(results, name, tmp_path / "card") / "README.md").read_text()


@pytest.mark.parametrize(("wanted", "name"), [("lr=2e-4", RATES[0]), ("lr 2.0e-4", RATES[0]), ("lr=3e-4", RATES[1])])
def test_values_name_a_setting_as_tables_or_suites_write_them(results, tmp_path, wanted, name):
    assert f"# {name}" in (write_card(results, wanted, tmp_path / "card") / "README.md").read_text()


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EROFS, "choose another folder with --out"),
        (errno.EACCES, "choose another folder with --out"),
        (errno.ENOSPC, "free some space, or choose another folder with --out"),
        (errno.ENOTDIR, "remove what stands there, or choose another folder with --out"),
    ],
)
def test_a_report_that_cannot_be_written_names_a_remedy_that_can_help(results, monkeypatch, code, remedy):
    """Where a file system can only be read, nothing that stands there can be removed."""

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(build, "_add_tables", refuse)
    with pytest.raises(UserError, match=re.escape(f"({os.strerror(code)}); {remedy}") + "$"):
        build.build_report(results, html=False)


def test_no_file_of_an_earlier_card_stays(results, tmp_path):
    folder = write_card(results, RATES[0], tmp_path / "card")
    (folder / "generator-ema.safetensors").write_bytes(b"of another setting")
    (folder / "mine.txt").write_text("mine")
    write_card(results, RATES[1], folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "environment.json", "generator.safetensors", "mine.txt", "record.json", "samples.png"),
        "trial.json",
    ]


def test_another_readme_is_not_overwritten(results, tmp_path):
    (tmp_path / "README.md").write_text("precious")
    with pytest.raises(UserError, match="README.md is not known to be of an earlier card, and stays as it is"):
        write_card(results, "best", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "precious"


def test_it_says_which_version_of_its_suite_it_is_of(tmp_path):
    """Cards of two versions both said "Place 1 of 3 settings of suite test"; their scores may not be compared."""
    trials = [with_lr(digits_trial(suite_version=version), version * 1e-4) for version in (1, 2)]
    for trial in trials:
        write(tmp_path / "r", trial, 20.0)
    write_plan(tmp_path / "r", "test", 2, trials[1:])
    texts = [(write_card(tmp_path / "r", f"lr {i}e-4", tmp_path / str(i)) / "README.md").read_text() for i in (1, 2)]
    assert "The only ranked setting of suite test version 1 on digits" in texts[0]
    assert "The only ranked setting of suite test on digits" in texts[1]


def test_a_record_is_no_place_for_a_card(results):
    record = next(results.glob("*/*lr=0.0002*seed=0*"))
    before = {path.name for path in record.iterdir()}
    with pytest.raises(UserError, match="holds records; choose another folder with --out"):
        write_card(results, "lr=0.0002", record)
    assert {path.name for path in record.iterdir()} == before


def test_a_card_beside_records_hides_none_of_them(results, card, tmp_path):
    """Below a card's files at its root, all records of a publication passed for what was saved."""
    publish(results, tmp_path / "hub")
    for folder in (tmp_path / "hub", *(tmp_path / "hub").glob("*/")):
        with pytest.raises(UserError, match="holds records; choose another folder with --out"):
            write_card(results, "best", folder)
    shutil.copytree(card, tmp_path / "hub", dirs_exist_ok=True)
    assert gan_bench("verify", tmp_path / "hub").returncode == 0
    forged = next((tmp_path / "hub").glob("*/*seed=0*/evaluations.jsonl"))
    forged.write_text(re.sub(r'"value":[0-9.]+', '"value":5.0', forged.read_text()))
    done = gan_bench("verify", tmp_path / "hub")
    assert "evaluations.jsonl has changed since the record was written" in " ".join(done.stdout.split())
    assert done.returncode == 1


def test_without_weights_it_shows_no_code(results, tmp_path):
    import shutil

    shutil.copytree(results, tmp_path / "results")
    for file in (tmp_path / "results").glob("*/*/generator.safetensors"):
        file.unlink()
    for file in (tmp_path / "results").glob("*/*/environment.json"):
        edit(file, gan_bench="1\n```\n# no heading")
        reseal(RecordDirectory(file.parent))
    folder = write_card(tmp_path / "results", "best", tmp_path / "card")
    text = (folder / "README.md").read_text()
    assert "gb.generator" not in text
    assert "hold no weights" in text
    assert "\n# no heading" not in text
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "samples.png"]


def test_where_the_median_trial_has_no_weights_it_shows_the_nearest_that_has(results, tmp_path):
    """A card of published records denied the weights of the seed that was published with its own."""
    scores = gb.load(results).scores.query("epoch == 2 and metric == 'fid'").set_index("trial")["value"]
    trials = gb.load(results).trials.set_index("trial").query("lr_g == 2e-4")
    lowest, median, highest = scores[trials.index].sort_values().index
    seeds = trials["seed"]
    farther, nearer = sorted((lowest, highest), key=lambda trial: abs(scores[trial] - scores[median]), reverse=True)
    for kept, shown in (([farther], farther), ([nearer, farther], nearer), ([median, farther], median)):
        out = tmp_path / "-".join(kept)
        assert publish(results, out, [f"*lr=0.0002*seed={seeds[trial]}" for trial in kept])
        folder = write_card(out, RATES[0], out / "card")
        text = " ".join((folder / "README.md").read_text().split())
        which = "with the median score" if shown == median else "whose score is nearest to the median"
        assert f"is the generator of seed {seeds[shown]}:" in text
        assert f"the one {which} (FID {scores[shown]:.4g}" in text
        assert f"Samples of seed {seeds[shown]} after epoch 2" in text or "Samples" not in text
        assert (folder / "generator.safetensors").is_file()


def test_the_moving_average_beside_a_generator_is_documented(tmp_path):
    """It lay in the folder of a card without a word."""
    trial = {"recipe": "mnist-mlp-z100", "set": {"dataset": "digits", "ema_decay": 0.9}}
    suite = {"suite": "averaged", "version": 1, "trials": [trial], "seeds": [0], "evaluate": {"samples": 16}}
    gb.run(suite, results=tmp_path / "r", epochs=1, train_limit=64, executor="inline", tracking=False, quiet=True)
    said = gan_bench("card", "best", "--results", tmp_path / "r", "--out", tmp_path / "card").stdout
    assert "the moving average of its generator" in " ".join(said.split())
    text = (tmp_path / "card" / "README.md").read_text()
    found = gb.load(tmp_path / "r").scores.query("metric == 'fid' and epoch == 1")
    (score,) = found[found["weights"] == "ema"]["value"]
    assert f"`generator-ema.safetensors` is the moving average of its weights over training (FID {score:.4g}" in text
    assert gb.generator(tmp_path / "card" / "generator-ema.safetensors").images(2, seed=0).shape[0] == 2
    drawn = gan_bench("sample", ".", "--ema", "--out", tmp_path / "drawn", cwd=tmp_path / "card")
    assert drawn.returncode == 0, drawn.stderr
    scored = gan_bench("score", "generator-ema.safetensors", "digits", "--samples", "16", cwd=tmp_path / "card")
    assert scored.returncode == 0, scored.stderr


OWN = """\
import gan_bench as gb
from torch import nn


def generator(latent):
    return nn.Sequential(nn.Linear(latent, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))


def discriminator():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 1), nn.Flatten(0))


gb.ARCHITECTURES.register(
    "tiny-of-a-card",
    gb.Architecture(description="", image_shape=(1, 28, 28), generator=generator, discriminator=discriminator),
)
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Results of a network of one's own: the folder, the file, the results."""
    folder = tmp_path_factory.mktemp("own-network")
    (folder / "mine.py").write_text(OWN)
    suite = {
        "suite": "own",
        "version": 1,
        "plugins": [folder / "mine.py"],
        "trials": [{"recipe": "mnist-mlp-z100", "set": {"architecture": "tiny-of-a-card", "dataset": "digits"}}],
        "seeds": [0],
        "evaluate": {"samples": 16, "epochs": [1]},
    }
    forget_network()
    gb.run(suite, results=folder / "r", epochs=1, train_limit=64, allow_plugins=True, executor="inline")
    yield folder, folder / "mine.py", folder / "r"
    forget_network()


def forget_network():
    """Let its name be registered anew: tests of other files may run between these, and then this is made again."""
    if "tiny-of-a-card" in gb.ARCHITECTURES:
        gb.ARCHITECTURES.drop("tiny-of-a-card")


def test_a_card_of_an_own_network_carries_its_code_and_loads_elsewhere(own, tmp_path):
    folder, file, results = own
    moved = tmp_path / "elsewhere"
    shutil.move(write_card(results, "best", tmp_path / "made"), moved)
    for each in moved.iterdir():
        assert str(folder).encode() not in each.read_bytes(), f"{each.name} names no place of this machine"
    assert (moved / "architecture.py").read_bytes() == file.read_bytes()
    refused = gan_bench("sample", moved, "--out", tmp_path / "images")
    assert refused.returncode == 2
    assert "--allow-plugins" in refused.stderr
    hidden = file.rename(folder / "hidden.py")
    try:
        done = gan_bench("sample", moved, "--allow-plugins", "--images", "4", "--out", tmp_path / "images")
    finally:
        hidden.rename(file)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "images").glob("*.png"))) >= 4


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_code_that_is_not_what_it_was_does_not_go_along_and_that_is_said(own, tmp_path, change):
    _, file, results = own
    file.unlink() if change == "removed" else file.write_text(OWN + "# another\n")
    try:
        done = gan_bench("card", "best", "--results", results, "--out", tmp_path / "card")
    finally:
        file.write_text(OWN)
    assert "mine.py, the code of its network, is gone or changed" in done.stdout
    assert not (tmp_path / "card" / "architecture.py").exists()
    assert "is not here" in (tmp_path / "card" / "README.md").read_text()
    with pytest.raises(UserError, match=r"needs the code of the architecture tiny-of-a-card, mine\.py"):
        subprocess_load(tmp_path / "card")
    (tmp_path / "card" / "architecture.py").write_text(OWN)
    assert gan_bench("sample", tmp_path / "card", "--allow-plugins", "--out", tmp_path / "x").returncode == 0


def subprocess_load(card):
    """Load a card where its network is not known yet."""
    done = gan_bench("sample", card, "--allow-plugins", "--out", card / "x")
    if done.returncode:
        raise UserError(done.stderr)


def test_two_versions_of_one_network_load_in_one_process(own, tmp_path):
    """The second was refused for the first one's code, with a remedy that nobody could follow."""
    folder, file, results = own
    first = write_card(results, "best", tmp_path / "first")
    file.write_text(OWN + "# a second version\n")
    try:
        suite = yaml.safe_load((results / "own" / "suite.yaml").read_text())
        gb.run({**suite, "suite": "other"}, results=folder / "r2", epochs=1, train_limit=64, allow_plugins=True,
               executor="inline", tracking=False, quiet=True)  # fmt: skip
        second = write_card(folder / "r2", "best", tmp_path / "second")
    finally:
        file.write_text(OWN)
    for card in (first, second, first):
        assert gb.generator(card, allow_plugins=True).config.architecture == "tiny-of-a-card"
    (second / "architecture.py").write_text("raise SystemExit('it ran')\n")
    with pytest.raises(UserError, match="is not what"):
        gb.generator(second, allow_plugins=True)
    assert gb.generator(first, allow_plugins=True), "and the other stays"


def test_the_code_of_a_card_that_was_edited_does_not_run(own, tmp_path):
    card = write_card(own[2], "best", tmp_path / "card")
    (card / "architecture.py").write_text("raise SystemExit('it ran')\n")
    done = gan_bench("sample", card, "--allow-plugins", "--out", tmp_path / "x")
    assert done.returncode == 2
    assert "is not what it was" in done.stderr


def test_an_earlier_card_may_have_the_only_copy_of_the_code(own, tmp_path):
    _, file, results = own
    write_card(results, "best", tmp_path / "card")
    file.write_text(OWN + "# another\n")
    try:
        write_card(results, "best", tmp_path / "card")
    finally:
        file.write_text(OWN)
    assert (tmp_path / "card" / "architecture.py").read_text() == OWN


def test_a_card_that_cannot_be_written_leaves_the_earlier_one(own, tmp_path, monkeypatch):
    card = write_card(own[2], "best", tmp_path / "card")
    before = {file.name: file.read_bytes() for file in card.iterdir()}
    written = []

    def full(path, *rest):
        written.append(path)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_atomically(path, *rest)

    monkeypatch.setattr("gan_bench.report.card.card.write_atomically", full)
    with pytest.raises(UserError, match="No space left"):
        write_card(own[2], "best", tmp_path / "card")
    assert {file.name: file.read_bytes() for file in card.iterdir()} == before


def test_code_that_a_user_put_into_a_card_is_kept(own, tmp_path):
    _, file, results = own
    card = write_card(results, "best", tmp_path / "card")
    (card / "architecture.py").write_text("# what I think it was\n")
    file.write_text(OWN + "# another\n")
    try:
        done = gan_bench("card", "best", "--results", results, "--out", card)
    finally:
        file.write_text(OWN)
    assert (card / "earlier" / "architecture.py").read_text() == "# what I think it was\n"
    assert "earlier keeps what lay there and is not that" in " ".join(done.stdout.split())
    assert not (card / "architecture.py").exists()


class Hub(BaseHTTPRequestHandler):
    """As much of a model hub's interface as an upload of small files takes."""

    taken: dict[str, bytes]

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            owner = json.loads(body).get("organization") or "me"
            answer = {"url": f"http://{self.headers['Host']}/{owner}/digits-gan", "id": f"{owner}/digits-gan"}
        elif self.path.endswith("/preupload/main"):
            names = [each["path"] for each in json.loads(body)["files"]]
            answer = {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]}
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.taken[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            answer = {"commitUrl": f"http://{self.headers['Host']}/me/digits-gan/commit/1", "commitOid": "1"}
        else:  # it checks the metadata of a README
            answer = {"errors": [], "warnings": []}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def test_a_card_is_pushed_to_a_hub(results, tmp_path):
    Hub.taken = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tmp_path / "card"
    folder.mkdir()
    (folder / "secret.txt").write_text("a file of the user's own")
    there = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_TOKEN": "hf_a_token"}
    words = ("card", "lr=0.0002", "--results", results, "--out", folder, "--push", "me/digits-gan")
    done = gan_bench(*words, env=there)
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr
    assert f"uploaded to http://127.0.0.1:{server.server_port}/me/digits-gan" in done.stdout
    assert Hub.taken == {each.name: each.read_bytes() for each in folder.iterdir() if each.name != "secret.txt"}
    away = gan_bench(*words, env=there)
    assert away.returncode == 2
    assert "was not uploaded to me/digits-gan" in away.stderr


def test_one_record_and_a_card_are_verified_too(results, card, tmp_path):
    """Both were said to hold no records."""
    trial = next(results.glob("*/*seed=0--*"))
    for folder in (trial, card):
        done = gan_bench("verify", folder)
        said = "every record is whole" if folder == trial else "what is there is as it was saved"
        assert (done.returncode, f"1 checked: {said}" in done.stdout) == (0, True), done.stdout
        assert ("of the record's" in done.stdout) == (folder == card), "a card has some of its files"
    for folder, name in ((trial, "history.jsonl"), (trial, "trial.json"), (card, "generator.safetensors")):
        copy = shutil.copytree(folder, tmp_path / name / folder.name)
        with (copy / name).open("ab") as file:
            file.write(b" ")
        done = gan_bench("verify", copy)
        assert (done.returncode, "1 checked: 1 invalid" in done.stdout) == (1, True), done.stdout
        assert name in done.stdout
    (copy / "record.json").unlink()
    assert "nothing vouches for its files" in gan_bench("verify", copy).stdout
