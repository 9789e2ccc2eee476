"""A worker process: ``python -m gan_bench.execution.workers.worker`` takes job after job.

Jobs come in as lines of JSON on standard input, events go out on the channel of ``gan_bench.core.channel``; a job ends
with the event ``job_done``. When standard input closes, which it does whenever the parent ends, the trials
under way save a checkpoint and the worker ends.
"""

from __future__ import annotations

import gc
import os
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gan_bench.core import GARBAGE_THRESHOLD
from gan_bench.core.channel import Sender

if TYPE_CHECKING:
    from gan_bench.execution.trial.context import RunContext
    from gan_bench.execution.workers.job import Contexts, Job

Send = Callable[..., None]


def run_job(job: Job, context: RunContext, send: Send) -> None:
    """Carry out a job, sending an event for everything that happens.

    Args:
        job: The trials.
        context: Where they run.
        send: Takes the name of an event and its content.
    """
    from gan_bench.config.trial import Trial
    from gan_bench.execution.trial.claim import claim_and_run
    from gan_bench.execution.trial.events import Event, Finished, Run
    from gan_bench.execution.workers.inline import schedule
    from gan_bench.execution.workers.job import claim_to_json, event_to_json

    def tell(event: Event) -> None:
        if not isinstance(event, Finished):  # the claim reports the end once the lock is released
            send(**event_to_json(event))

    def claimed(trial: Trial) -> Run[None]:
        claim = yield from claim_and_run(trial, job.results, context, tell, job.policy, job.patience)
        send("claimed", trial=trial.id, claim=claim_to_json(claim))

    schedule(claimed(trial) for trial in job.trials)


def context_of(job: Job, contexts: Contexts, send: Send) -> RunContext | None:
    """Return where a job runs; None where images or plug-ins are away or changed, and none of its trials begins."""
    from gan_bench.core.errors import DeviceError, UserError
    from gan_bench.execution.trial.run import blocked
    from gan_bench.execution.workers.job import claim_to_json

    try:
        return contexts.of(job.site)
    except DeviceError as error:  # this process cannot work; a worker elsewhere may
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(1)
    except UserError as error:
        for trial in job.trials:
            send("claimed", trial=trial.id, claim=claim_to_json(blocked(str(error))))
    return None


def main() -> None:
    """Carry out the jobs on standard input until it closes."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    channel = Sender()
    asked = threading.Event()
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def stop() -> None:
        asked.set()
        jobs.put("")

    def read() -> None:
        for line in sys.stdin:
            jobs.put(line)
        stop()

    def send(event: str, **content: Any) -> None:  # noqa: ANN401 - JSON
        try:
            channel({"event": event, **content})
        except OSError:  # the parent is gone, which may show here before the other pipe closes
            stop()

    signal.signal(signal.SIGTERM, lambda *_: stop())
    threading.Thread(target=read, daemon=True).start()
    warnings.showwarning = lambda message, *_: send("warning", text=str(message))
    contexts: Contexts | None = None
    while line := jobs.get():
        from gan_bench.execution.workers.job import Contexts, Job

        contexts = contexts or Contexts(asked.is_set)
        job = Job.from_json(line)
        if context := context_of(job, contexts, send):
            run_job(job, context, send)
        send("job_done")
    os._exit(0)  # the reading thread may sit in a read


if __name__ == "__main__":
    main()
