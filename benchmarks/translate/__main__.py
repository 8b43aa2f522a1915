"""What a translation costs, beside building the same request with the service's own SDK: ``python benchmarks/translate``.

Both build the request of a job with 30 parameters in this one run, ours with the service's rules checked; nothing
goes over a network. A peer whose SDK is not installed is left out.
"""

import warnings
from collections.abc import Callable

import azureml_peer
import sagemaker_peer
import vertex_peer
from thirty import median_ms

PEERS: dict[str, tuple[Callable[[], Callable[[], object]], Callable[[], Callable[[], object]]]] = {
    "SageMaker": (sagemaker_peer.ours, sagemaker_peer.theirs),
    "Vertex AI": (vertex_peer.ours, vertex_peer.theirs),
    "Azure Machine Learning": (azureml_peer.ours, azureml_peer.theirs),
}

if __name__ == "__main__":
    for service, (ours, theirs) in PEERS.items():
        try:
            mine = median_ms(ours())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                other = median_ms(theirs())
        except ImportError as error:
            print(f"{service}: {error.name} is not installed")
            continue
        print(f"{service}: cloudtune {mine:.2f} ms, its SDK {other:.2f} ms; ratio {mine / other:.2f}")
