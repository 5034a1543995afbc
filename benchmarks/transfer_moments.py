"""Maps between two wide streams of many tokens: seconds and memory.

    python -m benchmarks.transfer_moments [--n-tokens N]

Planted streams of widths 2,048 and 2,304, the second a linear map of the first with noise, go through the moments batch
by batch as a comparison's do; then both maps are fitted and measured on tokens that were not fitted on.
"""

import argparse
import resource

import torch
from torch import Tensor

from analogue.comparison.transfer_metrics import StreamedMoments
from analogue.transfer import PairedMoments, best_penalty, ridge_map, rotation_map
from analogue.transfer.maps import principal_moments
from benchmarks.clock import now

D_A, D_B, BATCH, SAMPLE = 2048, 2304, 5000, 4096
NOISE = 0.1
N_HELD_OUT = 20_000


def explained_variance(predicted: Tensor, y: Tensor) -> float:
    """Of y by what was predicted for it."""
    return 1 - float((predicted - y).square().sum() / (y - y.mean(0)).square().sum())


def main() -> None:
    """Print time and memory as tokens stream by, then what the maps explain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-tokens", type=int, default=1_000_000)
    n_batches = parser.parse_args().n_tokens // BATCH
    generator = torch.Generator().manual_seed(0)
    planted = torch.randn(D_A, D_B, generator=generator) / D_A**0.5
    scale = torch.logspace(0, -2, D_A)

    def streams(n: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, D_A, generator=generator) * scale + 3
        return x, x @ planted + NOISE * torch.randn(n, D_B, generator=generator) - 1

    began = now()

    def report(what: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{what}: {now() - began:,.0f} s, {peak:.2f} GB at most", flush=True)

    moments = StreamedMoments(D_A, D_B)
    for number in range(1, n_batches + 1):
        x, y = streams(BATCH)
        sampled = torch.zeros(BATCH, dtype=torch.bool)
        sampled[: SAMPLE // n_batches + 1] = True
        moments.update(x, y, sampled, torch.randperm(BATCH, generator=generator))
        if number % max(1, n_batches // 10) == 0:
            report(f"{number * BATCH:,} tokens")
    *of_pair, _, x_sample, y_sample = moments.compute()
    paired = PairedMoments(*of_pair)
    principal = principal_moments(paired)
    ridge = ridge_map(principal, best_penalty(principal, x_sample, y_sample))
    rotation = rotation_map(paired)
    report("both maps fitted")
    x, y = streams(N_HELD_OUT)
    y = y.double()
    reachable = 1 - NOISE**2 * y.numel() / float((y - y.mean(0)).square().sum())
    explained = [explained_variance(each(x), y) for each in (ridge, rotation)]
    print("explained variance: ridge {:.4f}, rotation {:.4f}; noise leaves {:.4f}".format(*explained, reachable))


if __name__ == "__main__":
    main()
