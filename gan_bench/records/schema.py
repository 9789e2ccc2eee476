"""Every key that a record directory may hold, in one place; a test compares it with what is written."""

from __future__ import annotations

TRIAL = {
    "schema": "version of the record layout",
    "id": "first eight hex digits of the SHA-256 of the config's canonical JSON",
    "name": "setting and seed, as people call the trial",
    "setting": "the recipe and what differs from it, without the seed",
    "config": "the TrialConfig, field by field",
    "provenance": "where each recipe value comes from: stated, code, lineage or chosen",
}
"""Keys of ``trial.json``, written before training starts."""

ENVIRONMENT = {
    "schema": "version of the record layout",
    "started": "when the trial first started, ISO 8601 in UTC [timing]",
    "gan_bench": "version of this package",
    "git_commit": "commit of the working tree, or null outside one",
    "git_dirty": "whether that working tree had uncommitted changes, or null",
    "python": "version of Python",
    "platform": "operating system and machine",
    "libraries": "versions of torch, torchvision, numpy and scipy",
    "device": "what computed: cpu or cuda:N",
    "device_name": "name of the processor or graphics card",
    "data_sha256": "digest of the prepared training images",
    "networks_sha256": "digest of the layers of both networks: kinds, settings, shapes",
    "engine": "how the update was executed",
    "threads": "CPU threads of one operation; other counts may change the last bits",
    "changes": "threads, device or libraries of later parts of a resumed trial, where they differ; bits may too",
    "determinism": "settings that fix the bits; TensorFloat-32 is never used in scores",
}
"""Keys of ``environment.json``, written when the trial first starts."""

STEP = {
    "kind": '"step"',
    "epoch": "epoch in which the step lies, from 1",
    "step": "update steps done so far",
    "loss_d": "BCE(D(x), 1) + BCE(D(G(z)), 0) of this step's batch",
    "loss_g": "BCE(D(G(z)), 1) of this step's G update",
    "d_real": "mean D(x) as a probability, in the D step before its update",
    "d_fake": "mean D(G(z)) as a probability, in the D step before its update",
}
"""Keys of a ``step`` line of ``history.jsonl``."""

EPOCH = {
    "kind": '"epoch"',
    "epoch": "epochs finished",
    "step": "update steps done so far",
    "images": "real images shown so far",
    "train_seconds": "seconds of training so far, evaluation apart [timing]",
    "mean": "loss_d, loss_g, d_real, d_fake averaged over the epoch's steps",
    "last": "the same four of the epoch's last batch, as most of the articles print them",
}
"""Keys of an ``epoch`` line of ``history.jsonl``."""

EVALUATION = {
    "epoch": "epochs finished when the scores were taken; 0 is the untrained generator",
    "step": "update steps done so far",
    "images": "real images shown so far",
    "train_seconds": "seconds of training so far [timing]",
    "seconds": "seconds this evaluation took [timing]",
    "scores": "list of scores, each with its protocol",
}
"""Keys of a line of ``evaluations.jsonl``."""

SCORE = {
    "name": "score with its protocol, for example fid[lenet-mnist-v1,train,10000]",
    "metric": "the measure alone, a name of gan_bench.config.measures.MEASURES",
    "value": "the number, or null when it cannot be computed",
    "std": "spread that belongs to the measure itself, or null",
    "extractor": "name of the feature extractor",
    "split": "which real images were the reference",
    "real": "number of real images",
    "generated": "number of generated images",
    "kept": "images of each side that a measure of sampled features looked at when there were more (fid_inf, kid, "
    "precision, recall, copies; with or without a value), or null",
    "draw_std": "standard deviation over further draws of the evaluation noise for the same generator, or null",
    "note": "why the value is null or doubtful, or null",
}
"""Keys of one score."""

BASELINE = {
    "dataset": "dataset name",
    "image_size": "height and width the images were prepared to",
    "samples": "generated images of the trials this is the floor of",
    "pictures": "number of real images that were scored",
    "what": "what they are: held-out images, or one half of the training split against the other",
    "scores": "list of scores of these real images, each with its protocol",
}
"""Keys of one anchor in ``SUITE/anchors.json``: held-out real images scored as if they had been generated."""

RECORD = {
    "schema": "version of the record layout",
    "status": "done, diverged, failed, interrupted or skipped",
    "reason": "one sentence when the status is not done, else null",
    "failure": "class of the reason of a failed trial: out of memory, data, disk full, timeout, crash, "
    "setup; null otherwise",
    "epochs": "epochs finished",
    "steps": "update steps done",
    "images": "real images shown",
    "final": "the last epoch's mean losses and D outputs and the last evaluation's scores, by name",
    "best": "for every score the best value, with its epoch",
    "train_seconds": "seconds of training [timing]",
    "evaluate_seconds": "seconds of evaluation [timing]",
    "peak_memory_bytes": "most memory held: of the GPU where one trained, else of the process, or null [timing]",
    "energy_joules": "energy of the GPU while training, from its reported power, or null [timing]",
    "weights_sha256": "SHA-256 of generator.safetensors, or null when there is none",
    "group": "most trials, this one included, that took their steps together; seconds and energy are shares [timing]",
    "captured": "whether steps were replayed from a CUDA graph [timing]",
    "files": "SHA-256 of every other file of the record by its name, checkpoints apart, for gan-bench verify [timing]",
}
"""Keys of ``record.json``, written last and atomically."""

TIMING = frozenset(
    {
        "started",
        "train_seconds",
        "evaluate_seconds",
        "seconds",
        "files",
        "peak_memory_bytes",
        "energy_joules",
        "group",
        "captured",
    }
)
"""Keys whose values differ between two runs of the same trial; all others are the same bits."""
