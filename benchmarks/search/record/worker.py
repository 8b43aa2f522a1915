"""One peer behind lines of JSON: runs in the peer's own environment, without cloudtune (but for cloudtune itself).

    python worker.py PEER

Each line on stdin is a request, and has one line on stdout as its answer, with ``seconds`` of the processor that it took:

    {"do": "new", "space": [{"name": "x", "type": "float", "low": 0, "high": 1, "log": false}, …], "seed": 1, "budget": 60, "parallel": 1}
    {"do": "ask"} -> {"token": 0, "values": {"x": 0.5}}
    {"do": "tell", "token": 0, "loss": 1.5}    # null: the trial failed
    {"do": "report", "token": 0, "epoch": 1, "loss": 1.5} -> {"verdict": "go"}    # of peers that follow trials; or stop, or pause

Types are float and int (low, high, log), ordinal and categorical (values). What libraries print goes to stderr.
"""

import json
import os
import sys
import time

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

from catalogue import ALL  # after the threads are limited
from fidelity_peers import FIDELITY_PEERS


def main(name: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries that print must not disturb the answers
    engine, tokens, worst, follows = None, {}, None, name in FIDELITY_PEERS
    for line in sys.stdin:
        request = json.loads(line)
        since, answer = time.process_time(), {}
        if request["do"] == "new":
            engine = ALL[name].make(request["space"], request["seed"], request["budget"], request["parallel"])
            answer["versions"] = ALL[name].versions()
        elif request["do"] == "ask":
            token, values = engine.ask()
            number = next((known for known, each in tokens.items() if follows and each == token), len(tokens))
            tokens[number] = token
            answer = {"token": number, "values": values}
        elif request["do"] == "report":
            answer["verdict"] = engine.report(tokens[request["token"]], request["epoch"], request["loss"])
        else:
            loss = request["loss"]
            if loss is None and not engine.takes_failures:
                loss = worst if worst is not None else 1e6  # as bad as the worst: what most users do
            elif loss is not None:
                worst = loss if worst is None else max(worst, loss)
            engine.tell(tokens[request["token"]], loss)
        answers.write(json.dumps({**answer, "seconds": time.process_time() - since}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
