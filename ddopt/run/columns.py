"""The columns of ``metrics.jsonl`` and the keys of ``summary.json``, each with its meaning.

A test compares them with what a run writes; the documentation is made of them. A problem may
report more than the figures of merit that stand here.
"""

METRICS = {
    "iteration": "outer iterations so far; 0 is the start",
    "loss": "f(θ) on the samples of the iteration",
    "ratio": "actual decrease over predicted decrease of the recombined step; null at the start",
    "radius": "trust-region radius Δ after the iteration; null without one",
    "accepted": "recombined steps that were taken, since the start",
    "rejected": "recombined steps that were not, since the start",
    "evaluations": "full gradients per process, since the start, one process for each subdomain",
    "evaluations_total": "full gradients of all processes together, since the start",
    "seconds": "seconds since the start, measuring included",
    "processor_seconds": "the same in seconds of work, of all processes together",
    "bytes_sent": "bytes sent by all processes, since the start",
    "collectives": "calls of collective operations, since the start",
    "step_accepted": "whether the recombined step of this iteration was taken",
    "step_norm": "length of the recombined step",
    "step_retried": "how often it was tried again, shorter",
    "local_accepted": "local trials of all subdomains that were taken in this iteration",
    "local_rejected": "local trials of all subdomains that were not",
    "global_ratio": "ratio of the last trial of the global pass; null without one",
    "global_radius": "radius of the global pass; null without one",
    "global_accepted": "trials of the global pass that were taken",
    "global_rejected": "trials of the global pass that were not",
}
MERITS = {
    "error": "relative L2 error against the reference, where the problem has one",
    "accuracy": "share of the test set that is classified rightly",
    "validation_loss": "the loss on samples that are not trained on",
}
SUMMARY = {
    "problem": "name of the problem",
    "strategy": "name of the strategy",
    "solver": "name of the solver",
    "subdomains": "number of subdomains N",
    "processes": "number of processes W",
    "seed": "seed of the data and of the first parameters",
    "loss": "f(θ) at the end",
    "error": "relative L2 error at the end; null without a reference",
    "accuracy": "share of the test set that is classified rightly; null without one",
    "evaluations": "full gradients: parallel is per process, total is of all processes",
    "seconds": "seconds of training, measuring included",
    "processor_seconds": "the same in seconds of work, of all processes together",
    "outer_iterations": "outer iterations",
    "accepted": "recombined steps that were taken",
    "rejected": "recombined steps that were not",
    "bytes_sent": "bytes sent by all processes",
    "collectives": "calls of collective operations",
    "stop_reason": "why the run ended, in a word",
    "stop_message": "what that means, and what can be done",
    "parameters": "number of parameters of the whole model",
    "dtype": "numbers of the parameters",
    "device": "where the tensors lived",
    "threads": "threads of one operation",
    "torch": "version of torch",
}
