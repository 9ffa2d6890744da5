"""Every hook that a run calls, noted down, for the tests of hooks."""

import ddopt

NOTES = []


@ddopt.hookimpl
def ddopt_configure(table):
    if table.get("seed") == 77:
        table.setdefault("output", {})["figures"] = False
        table["stop"] = {"iterations": 4}


@ddopt.hookimpl
def ddopt_before_run(run):
    NOTES.append(("before_run",))


@ddopt.hookimpl
def ddopt_after_step(run, report):
    run.theta.zero_()  # a copy
    if run.config.seed == 77:
        NOTES.append(("trials", [one.accepted for one in report.trials]))


@ddopt.hookimpl
def ddopt_on_checkpoint(run, path, restored):
    NOTES.append(("checkpoint", path is not None and path.exists(), restored))


@ddopt.hookimpl
def ddopt_on_error(run, error):
    NOTES.append(("error", type(error).__name__))


@ddopt.hookimpl
def ddopt_after_run(run, summary):
    NOTES.append(("after_run", summary["outer_iterations"]))
